"""From probabilities that come slab by slab to labels on the case's own grid, in the memory of a
slab: those of a large case never exist together.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from trials.data.prepared.resample import linear_taps
from trials.inference.predict import interpolation, reached_box
from trials.scoring.overlap import argmax_labels

Size = tuple[int, int, int]


def slabs_on_native_grid(slabs: Iterable[Tensor], size: Size, shape: Size) -> np.ndarray:
    """What on_native_grid() gives for probabilities [K, n, H, W] that follow each other along D,
    together of this size, on any device: uint8 of that shape.
    """
    depth, height, width = shape
    labels = np.zeros(shape, np.uint8)
    low, high, share = linear_taps(size[0], depth)
    rows, columns = interpolation(height, size[1]), interpolation(width, size[2])
    held: dict[int, Tensor] = {}
    plane = 0
    for number, prepared in enumerate(_planes(slabs)):
        held[number] = prepared
        while plane < depth and high[plane] <= number:
            blended = _blended(held[int(low[plane])], held[int(high[plane])], float(share[plane]))
            _write_plane(labels[plane], *blended, rows, columns)
            plane += 1
        held = {kept: held[kept] for kept in held if plane < depth and kept >= low[plane]}
    return labels


def _planes(slabs: Iterable[Tensor]) -> Iterator[Tensor]:
    return (plane for slab in slabs for plane in slab.unbind(1))


def _blended(low: Tensor, high: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The probabilities [K, H, W] between two planes, and where one of them prefers some class to
    the background.
    """
    preferred = [
        (plane[1:] > plane[:1]).any(0)
        if len(plane) > 1
        else torch.zeros(plane.shape[1:], dtype=torch.bool, device=plane.device)
        for plane in (low, high)
    ]
    return torch.lerp(low, high, share), preferred[0] | preferred[1]


def _write_plane(
    labels: np.ndarray, blended: Tensor, preferred: Tensor, rows: Tensor, columns: Tensor
) -> None:
    """Write the labels of one native plane [H, W] from a plane [K, h, w] at its height."""
    box = reached_box(preferred.cpu(), rows, columns)
    if box is None:
        return
    at_rows, at_columns = box
    by_rows, by_columns = (
        part.to(blended.device) for part in (rows[at_rows], columns[at_columns].T)
    )
    labels[at_rows, at_columns] = argmax_labels(by_rows @ blended @ by_columns).cpu().numpy()
