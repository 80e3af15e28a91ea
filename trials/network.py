"""A model together with how it is run: on which device, in which precision, on volumes or on slices."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from trials.data.loading import pinned
from trials.data.slices import SLICE_AXES
from trials.models.freezing import set_train

PRECISIONS = {"auto": None, "float32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """module maps [B, 1, D, H, W] (dims 3) or [B, 1, H, W] (dims 2) to logits [B, K, ...].

    autocast is the low precision of forward passes, or None for float32. frozen modules stay in evaluation mode.
    parts is how many pieces a batch goes through in, to save memory.
    """

    module: nn.Module
    dims: int
    slice_axis: str
    device: torch.device
    autocast: torch.dtype | None
    frozen: list[nn.Module] = field(default_factory=list)
    parts: int = 1

    def low_precision(self) -> AbstractContextManager:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None)

    def train(self) -> None:
        """Training mode, but for the frozen stages, whose running statistics must not move."""
        set_train(self.module, self.frozen)


def pick_device() -> torch.device:
    """The graphics card that this process sees, else the processor."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def pick_precision(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type: bfloat16 where asked for, or where the hardware computes it ("auto"); else None, float32."""
    if precision not in PRECISIONS:
        raise ValueError(f"recipe.precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else None


@torch.inference_mode()
def cube_logits(network: Network, images: Sequence[np.ndarray], batch_size: int) -> Iterator[Tensor]:
    """Yield float32 logits [K, D, H, W] on the CPU for each prepared image [D, H, W], in order.

    Volumes go through in batches of batch_size; a 2D network sees one volume's slices after the other, twice as many
    at once as in training, since nothing is kept for a gradient.
    """
    network.module.eval()
    batch_size = -(-batch_size // network.parts)
    if network.dims == 2:
        for image in images:
            yield _sliced_logits(network, image, 2 * batch_size)
        return
    for start in range(0, len(images), batch_size):
        batch = np.stack(images[start : start + batch_size])[:, None]
        yield from _forward(network, batch)


def _forward(network: Network, batch: np.ndarray) -> Tensor:
    images = pinned(torch.from_numpy(batch), network.device).to(network.device, torch.float32, non_blocking=True)
    with network.low_precision():
        logits = network.module(images)
    return logits.float().cpu()


def _sliced_logits(network: Network, image: np.ndarray, batch_size: int) -> Tensor:
    axis = SLICE_AXES[network.slice_axis]
    slices = np.array(np.moveaxis(image, axis, 0))[:, None]
    parts = [_forward(network, slices[start : start + batch_size]) for start in range(0, len(slices), batch_size)]
    return torch.cat(parts).movedim(0, axis + 1)
