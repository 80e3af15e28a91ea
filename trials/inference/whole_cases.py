"""Logits of whole cases, slab by slab: a cube is one slab; a larger case is covered by overlapping
windows, and each plane is handed on as soon as no window touches it any more.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from trials.data.batches.loading import pinned
from trials.data.batches.patch_draws import crop
from trials.data.batches.resident import network_input
from trials.data.spacing.intensities import pads_of
from trials.inference.network import Network, cube_logits, predict_batch

Size = tuple[int, int, int]
# The Gaussian by which a window's voxels count, and the least weight: as in MONAI's
# sliding_window_inference and in nnU-Net, whose tails would vanish otherwise.
SIGMA_SHARE, LEAST_WEIGHT = 0.125, 1e-3
# The share of a GPU's free memory that sums of logits may take; they lie on the host beyond it.
SHARE_OF_FREE = 0.5


@dataclass(frozen=True, slots=True)
class Slab:
    """Logits [K, n, H, W] of the planes of a case from `first` on, float32."""

    first: int
    logits: Tensor


def case_logits(
    network: Network, images: Sequence[np.ndarray], batch_size: int, overlap: float
) -> Iterator[Iterator[Slab]]:
    """Yield the slabs of each prepared image [C, D, H, W], in order; each must be read before the
    next is asked for.

    Cubes go through in batches, see cube_logits. overlap is the share of a patch that neighbouring
    windows of a larger case have in common.
    """
    if network.patch is None:
        for logits in cube_logits(network, images, batch_size):
            yield iter([Slab(0, logits)])
        return
    batch_size = -(-batch_size // network.accumulation_steps)
    for image in images:
        yield window_slabs(network, image, network.patch, batch_size, overlap)


@torch.inference_mode()
def window_slabs(
    network: Network, image: np.ndarray, patch: Size, batch_size: int, overlap: float
) -> Iterator[Slab]:
    """Yield the logits of an image [C, D, H, W], each plane once and in order: the mean over all
    windows that hold a voxel, weighted by a Gaussian around the window's centre.

    Twice batch_size windows go through at once, since nothing is kept for a gradient. A case that
    is smaller than the patch lies in its middle. Equal to MONAI's sliding_window_inference(mode=
    "gaussian"), with no more logits in memory than those of one patch's planes.
    """
    network.module.eval()
    _, depth, height, width = image.shape
    starts = [
        window_starts(size, edge, overlap)
        for size, edge in zip(image.shape[1:], patch, strict=True)
    ]
    weights = importance(patch).to(network.device)
    rows = list(product(*starts[1:]))
    sums = _Sums(patch, (depth, height, width))
    for first, following in zip(starts[0], [*starts[0][1:], None], strict=True):
        for part in range(0, len(rows), 2 * batch_size):
            places = [(first, *row) for row in rows[part : part + 2 * batch_size]]
            logits = predict_batch(network, _windows(network, image, places, patch))
            for (_, row, column), one in zip(places, logits, strict=True):
                sums.add(one * weights, weights, max(0, row), max(0, column))
        yield sums.finished(patch[0] if following is None else following - first)


def _windows(
    network: Network, image: np.ndarray, places: Sequence[tuple[int, ...]], patch: Size
) -> Tensor:
    """The windows at some places as a network's input [B, C, d, h, w], on its device."""
    pads = pads_of(network.scalings)
    windows = np.stack([crop(image, np.array(place), patch, pads) for place in places])
    stored = pinned(torch.from_numpy(windows), network.device)
    return network_input(stored.to(network.device, non_blocking=True), network.scalings)


def window_starts(size: int, edge: int, overlap: float) -> list[int]:
    """The first voxels of the windows along one axis: the last one ends with the axis. A single
    negative one where the axis is shorter than the window.
    """
    if size <= edge:
        return [-((edge - size) // 2)]
    step = max(1, int(edge * (1 - overlap)))
    count = -(-(size - edge) // step) + 1
    return [min(number * step, size - edge) for number in range(count)]


def importance(patch: Size) -> Tensor:
    """The weight of each voxel of a window, float32 [d, h, w]: 1 in the middle of a Gaussian whose
    deviation is an eighth of the edge, at least 0.001.
    """
    weights = torch.ones(1)
    for edge in patch:
        x = torch.arange(edge) - (edge - 1) / 2
        line = torch.exp(-x.square() / (2 * (SIGMA_SHARE * edge) ** 2))
        weights = weights[..., None] * line
    return weights[0].clamp_min(max(LEAST_WEIGHT, float(weights.min())))


class _Sums:
    """Weighted sums of logits [K, d, H, W] and of weights [d, H, W], of the planes of a case that
    are not finished; axes shorter than the window have its length.
    """

    def __init__(self, patch: Size, size: Size):
        self.size = size
        self.shape = (
            patch[0],
            *(max(n, edge) for n, edge in zip(size[1:], patch[1:], strict=True)),
        )
        self.before = [max(0, edge - n) // 2 for n, edge in zip(size, patch, strict=True)]
        # The first plane of the sums, counted from the window's border where that lies outside.
        self.first = 0
        self.logits = self.weights = torch.empty(0)

    def add(self, logits: Tensor, weights: Tensor, row: int, column: int) -> None:
        """Add a window's weighted logits [K, d, h, w] at a row and a column."""
        if not self.logits.numel():
            device = _device_for(len(logits) * math.prod(self.shape), logits.device)
            self.logits = torch.zeros(len(logits), *self.shape, device=device)
            self.weights = torch.zeros(self.shape, device=device)
        height, width = weights.shape[1:]
        box = (..., slice(row, row + height), slice(column, column + width))
        self.logits[box] += logits.to(self.logits.device)
        self.weights[box] += weights.to(self.logits.device)

    def finished(self, count: int) -> Slab:
        """Take the first planes out: their mean logits, within the case."""
        logits = self.logits[:, :count] / self.weights[:count]
        start, stop = (
            max(self.first, self.before[0]) - self.first,
            min(self.first + count, self.before[0] + self.size[0]) - self.first,
        )
        rows, columns = (
            slice(before, before + n)
            for before, n in zip(self.before[1:], self.size[1:], strict=True)
        )
        slab = Slab(self.first + start - self.before[0], logits[:, start:stop, rows, columns])
        for sums in (self.logits, self.weights):
            planes = sums.movedim(-3, 0)
            planes[: len(planes) - count] = planes[count:].clone()
            planes[len(planes) - count :] = 0
        self.first += count
        return slab


def _device_for(numbers: int, device: torch.device) -> torch.device:
    """The device for so many sums in float32: the network's where they and their mean fit."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if 3 * 4 * numbers <= SHARE_OF_FREE * free else torch.device("cpu")
