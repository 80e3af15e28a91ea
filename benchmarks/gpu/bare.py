"""A bare training loop on tensors at hand, in plain torch: what a model's step could cost at best
in each way of running it.
"""

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.gpu.machine import Marks

# Steps in which kernels are compiled, chosen and given their memory.
WARMING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """images [B, 1, ...] float32 and labels [B, ...] uint8 on a device."""

    images: Tensor
    labels: Tensor


def random_batch(items: int, edge: int, dims: int, num_classes: int, device: torch.device) -> Batch:
    """A batch of noise."""
    shape = (items, 1, *[edge] * dims)
    labels = torch.randint(0, num_classes, (items, *shape[2:]), dtype=torch.uint8, device=device)
    return Batch(images=torch.randn(shape, device=device), labels=labels)


def train_bare(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: Batch,
    low: torch.dtype | None,
    steps: int,
    lr: float,
) -> Marks:
    """Take steps with fused Adam, forward in low precision where low names one; a mark before each
    and after the last.
    """
    device = batch.images.device
    optimizer = torch.optim.Adam(module.parameters(), lr=lr, fused=True)
    marks = Marks(device)
    module.train()
    for _ in range(steps):
        marks.mark()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, low) if low else nullcontext():
            logits = module(batch.images)
        loss(logits.float(), batch.labels).backward()
        optimizer.step()
    marks.mark()
    return marks


def step_ms(marks: Marks) -> float:
    """The median step, without those that warm up where there are more."""
    times = marks.milliseconds()
    return statistics.median(times[WARMING:] or times)


def search_kernels(most: int) -> None:
    """Let cuDNN try so many kernels for a convolution; 1 takes its own first choice."""
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = most > 1, most


def compile_bare(module: nn.Module) -> None:
    """Compile a module in place, as torch does by itself, for the one shape it will see."""
    torch._dynamo.reset()
    module.compile()
