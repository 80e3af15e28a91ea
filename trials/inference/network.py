"""A model together with how it is run: on which device, in which precision, on whole volumes, on
patches or on slices.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trials.data.batches.loading import pinned
from trials.data.batches.slices import SLICE_AXES, slices
from trials.data.spacing.intensities import Scaling
from trials.models.freezing import set_train
from trials.models.registry import MODELS
from trials.process.environment import reset_peak
from trials.records.registry import pick
from trials.records.spec import TrialSpec

PRECISIONS = {"auto": None, "float32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """module maps [B, C, D, H, W] (dims 3) or [B, C, H, W] (dims 2) to logits [B, K, ...], or to
    logits at several resolutions, the full one first.

    autocast is the low precision of forward passes, or None for float32. frozen modules stay in
    evaluation mode. accumulation_steps is how many pieces a batch goes through in, to save memory.
    is_compiled says that torch compiled the module. patch is the size (D, H, W) of what it is given
    of larger volumes, None for whole cubes; scalings is what each channel of the stored intensities
    goes through first, empty if nothing.
    """

    module: nn.Module
    dims: int
    slice_axis: str
    device: torch.device
    autocast: torch.dtype | None
    channels: int = 1
    frozen: list[nn.Module] = field(default_factory=list)
    accumulation_steps: int = 1
    is_compiled: bool = False
    patch: tuple[int, int, int] | None = None
    scalings: tuple[Scaling, ...] = ()

    def forward(self, images: Tensor) -> Tensor:
        """Float32 logits [B, K, ...] of images [B, C, ...] at their own resolution, computed in the
        network's precision.
        """
        return self.outputs(images)[0]

    def outputs(self, images: Tensor) -> list[Tensor]:
        """The same, followed by the logits at lower resolutions of a network that returns some."""
        if self.is_compiled:
            # One graph serves every number of items: half a batch, or the last cases of a
            # validation, compile nothing. The copy has the strides of a new tensor, which those of
            # an axis of one item need not be.
            images = images.clone(memory_format=torch.contiguous_format)
            torch._dynamo.maybe_mark_dynamic(images, 0)
        with self.low_precision():
            found = self.module(images)
        several = found if isinstance(found, list | tuple) else [found]
        return [logits.float() for logits in several]

    def low_precision(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return torch.autocast(
            self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None
        )

    def train(self) -> None:
        """Training mode, but for the frozen stages, whose running statistics must not move."""
        set_train(self.module, self.frozen)


@contextmanager
def untouched(network: Network) -> Iterator[None]:
    """Take back what steps do to a network that change no weight: running statistics, random draws,
    gradients, peak memory.
    """
    kept = [(buffer, buffer.detach().clone()) for buffer in network.module.buffers()]
    try:
        with torch.random.fork_rng([network.device] if network.device.type == "cuda" else []):
            yield
    finally:
        network.module.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)
        del kept
        reset_peak()


class Mirrored(nn.Module):
    """The mean of a module's logits [B, K, ...] over all mirror images of its input, each turned
    back.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        axes = range(2, images.dim())
        total, count = torch.zeros(()), 0
        for number in range(len(axes) + 1):
            for flipped in combinations(axes, number):
                found = self.module(images.flip(flipped))
                logits = found[0] if isinstance(found, list | tuple) else found
                total, count = total.to(logits.device) + logits.flip(flipped), count + 1
        return total / count


def mirrored(network: Network) -> Network:
    """The network as it predicts with mirroring: eight passes of a volume, four of a slice."""
    return replace(network, module=Mirrored(network.module))


def memory_format(layout: str, dims: int) -> torch.memory_format:
    """The torch name of a layout, "channels_last" or "contiguous", for volumes (dims 3) or slices
    (dims 2).
    """
    if layout == "contiguous":
        return torch.contiguous_format
    return torch.channels_last_3d if dims == 3 else torch.channels_last


def on_best_device(module: nn.Module, spec: TrialSpec, channels: int) -> Network:
    """A spec's model as its trial runs it: on the GPU that this process sees, else the CPU, in the
    recipe's precision and the memory layout of its registry entry.
    """
    part, device = pick(MODELS, "model", spec.cell.model), pick_device()
    # Reset both: an earlier trial in this process may have changed them.
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = (
        part.kernel_search > 1,
        part.kernel_search,
    )
    return Network(
        module=module.to(memory_format=memory_format(part.layout, part.dims)).to(device),
        dims=part.dims,
        slice_axis=spec.recipe.slice_axis,
        device=device,
        autocast=pick_precision(spec.recipe.precision, device),
        channels=channels,
    )


def pick_device() -> torch.device:
    """The GPU that this process sees, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def pick_precision(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type, None for float32: bfloat16 where it is asked for by name, and by "auto" on
    a GPU that computes it.

    On a CPU "auto" is float32: bfloat16 is faster on few processors, and on some of those its
    gradients are wrong.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"recipe.precision must be one of {', '.join(PRECISIONS)}; got {precision!r}"
        )
    if precision != "auto":
        return PRECISIONS[precision]
    is_low = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_low else None


@torch.inference_mode()
def cube_logits(
    network: Network, images: Sequence[np.ndarray], batch_size: int
) -> Iterator[Tensor]:
    """Yield float32 logits [K, D, H, W] on the network's device for each prepared image
    [C, D, H, W], in order.

    Volumes go through in batches of batch_size; a 2D network sees one volume's slices after the
    other, twice as many at once as in training, since nothing is kept for a gradient.
    """
    network.module.eval()
    batch_size = -(-batch_size // network.accumulation_steps)
    if network.dims == 2:
        for image in images:
            yield _sliced_logits(network, image, 2 * batch_size)
        return
    for start in range(0, len(images), batch_size):
        batch = np.stack(images[start : start + batch_size])
        yield from predict_batch(network, on_device(batch, network.device))


def predict_batch(network: Network, images: Tensor) -> Tensor:
    """Logits of a batch. A compiled network is given at least two items: for a single one it would
    be compiled again.
    """
    if network.is_compiled and len(images) == 1:
        return network.forward(images.repeat(2, *[1] * (images.dim() - 1)))[:1]
    return network.forward(images)


def on_device(batch: np.ndarray, device: torch.device) -> Tensor:
    """An array as a float32 tensor on a device, which the copy does not wait for."""
    return pinned(torch.from_numpy(batch), device).to(device, torch.float32, non_blocking=True)


def _sliced_logits(network: Network, image: np.ndarray, batch_size: int) -> Tensor:
    stack = on_device(np.array(slices(image, network.slice_axis)), network.device)
    logits = torch.cat([predict_batch(network, part) for part in stack.split(batch_size)])
    return logits.movedim(0, SLICE_AXES[network.slice_axis] + 1)
