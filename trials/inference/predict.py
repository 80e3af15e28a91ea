"""From certainties on the prepared grid to labels on the case's own, a plane at a time: of a whole
cube, or of slabs that come one by one, in the memory of a slab, since those of a large case never
exist together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from trials.data.prepared.resample import linear_taps
from trials.scoring.decision import is_foreground, labels_of


def on_native_grid(
    probs: Tensor, shape: tuple[int, int, int], order: Sequence[int] = ()
) -> np.ndarray:
    """Resample certainties [K, n, n, n] (see decision.certainty, and there for order) trilinearly
    (half-pixel centres) to shape and take the labels: uint8 [D, H, W].

    All classes never exist at full size at once: one plane of the case is interpolated at a time,
    and only inside the box around the cube's voxels that are foreground. Outside it the result is
    background without computing: a convex combination of corners that are all background is
    background.
    """
    return summed_on_native_grid([probs], shape, order)


def summed_on_native_grid(
    several: Sequence[Tensor], shape: tuple[int, int, int], order: Sequence[int] = ()
) -> np.ndarray:
    """The same for the sum of several certainties, each [K, d, h, w] on a grid of its own; a sum
    has the labels of the mean.
    """
    labels = np.zeros(shape, np.uint8)
    grids = [_prepared_grid(probs, shape, order) for probs in several]
    for plane in range(shape[0]):
        boxes = [box for grid in grids if (box := grid.box(plane)) is not None]
        if boxes:
            at = _around(boxes)
            fine = reduce(torch.add, (grid.fine(plane, at) for grid in grids))
            labels[plane, at[0], at[1]] = labels_of(fine, order).numpy()
    return labels


Box = tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedGrid:
    """Certainties [K, d, h, w], where they are foreground [d, h, w], and the way to the native
    grid: taps along D, matrices along H and W.
    """

    probs: Tensor
    preferred: Tensor
    taps: tuple[np.ndarray, np.ndarray, np.ndarray]
    rows: Tensor
    columns: Tensor

    def box(self, plane: int) -> Box | None:
        """The native rows and columns of a plane that may be foreground, or None."""
        low, high, _ = self.taps
        return reached_box(
            self.preferred[int(low[plane])] | self.preferred[int(high[plane])],
            self.rows,
            self.columns,
        )

    def fine(self, plane: int, at: Box) -> Tensor:
        """The certainties [K, h, w] in a box of a native plane."""
        low, high, share = self.taps
        blended = torch.lerp(
            self.probs[:, int(low[plane])], self.probs[:, int(high[plane])], float(share[plane])
        )
        return self.rows[at[0]] @ blended @ self.columns[at[1]].T


def _prepared_grid(
    probs: Tensor, shape: tuple[int, int, int], order: Sequence[int]
) -> _PreparedGrid:
    depth, height, width = shape
    return _PreparedGrid(
        probs=probs,
        preferred=is_foreground(probs, order),
        taps=linear_taps(probs.shape[1], depth),
        rows=interpolation(height, probs.shape[2]),
        columns=interpolation(width, probs.shape[3]),
    )


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all boxes."""
    rows, columns = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return rows, columns


def interpolation(size: int, edge: int) -> Tensor:
    """Linear interpolation along one axis as a matrix [size, edge] whose rows sum to one."""
    low, high, share = linear_taps(edge, size)
    # Beyond the border both are one voxel, whose weight is exactly 1.
    share[low == high] = 0
    matrix, index = np.zeros((size, edge), np.float32), np.arange(size)
    matrix[index, low] += (1 - share).astype(np.float32)
    matrix[index, high] += share.astype(np.float32)
    return torch.from_numpy(matrix)


def reached_box(preferred: Tensor, rows: Tensor, columns: Tensor) -> Box | None:
    """The native rows and columns that any preferred cube voxel of the plane [n, n] reaches, or
    None. A case of fewer than half the cube's voxels leaves some of them between its own.
    """
    reached = [
        (matrix[:, preferred.any(axis)] > 0).any(1).nonzero()
        for matrix, axis in ((rows, 1), (columns, 0))
    ]
    if not all(len(hit) for hit in reached):
        return None
    at_rows, at_columns = (slice(int(hit[0]), int(hit[-1]) + 1) for hit in reached)
    return at_rows, at_columns


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
