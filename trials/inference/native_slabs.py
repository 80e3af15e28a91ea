"""From certainties that come slab by slab to labels on the case's own grid, in the memory of a
slab: those of a large case never exist together.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from trials.data.prepared.resample import linear_taps
from trials.inference.predict import Box, interpolation, reached_box
from trials.scoring.decision import is_foreground, labels_of

Size = tuple[int, int, int]


def slabs_on_native_grid(
    slabs: Iterable[Tensor], size: Size, shape: Size, order: Sequence[int] = ()
) -> np.ndarray:
    """What on_native_grid() gives for certainties [K, n, H, W] that follow each other along D,
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
            between = held[int(low[plane])], held[int(high[plane])]
            box = reached_box(_foreground(*between, order).cpu(), rows, columns)
            if box is not None:
                fine = _fine(torch.lerp(*between, float(share[plane])), box, rows, columns)
                labels[plane, box[0], box[1]] = labels_of(fine, order).cpu().numpy()
            plane += 1
        held = {kept: held[kept] for kept in held if plane < depth and kept >= low[plane]}
    return labels


def _planes(slabs: Iterable[Tensor]) -> Iterator[Tensor]:
    return (plane for slab in slabs for plane in slab.unbind(1))


def _foreground(low: Tensor, high: Tensor, order: Sequence[int]) -> Tensor:
    """Where one of two planes [K, H, W] may be foreground: bool [H, W]."""
    return is_foreground(low, order) | is_foreground(high, order)


def _fine(blended: Tensor, box: Box, rows: Tensor, columns: Tensor) -> Tensor:
    """The certainties [K, h, w] in a box of a native plane, from a plane at its height."""
    by_rows, by_columns = (part.to(blended.device) for part in (rows[box[0]], columns[box[1]].T))
    return by_rows @ blended @ by_columns
