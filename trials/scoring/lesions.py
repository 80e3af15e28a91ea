"""Counts lesions found: connected components of one label, connected by face, edge or corner.

Components are built from runs, maximal sequences of voxels along a row, so empty space costs
nothing.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trials.scoring.lattice import Rows, shared_rows

# The offsets (D, H) of a row's later neighbours; earlier ones are found from their side.
LATER_ROWS = ((0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionCounts:
    """Components of the reference, those that were found, and false components of the
    prediction.
    """

    lesions: int
    found: int
    false: int


def lesion_counts(true: np.ndarray, pred: np.ndarray) -> LesionCounts:
    """Count lesions of two masks [D, H, W], bool or 0 and 1.

    The rule is overlap by one voxel: a lesion of the reference is found if the prediction shares a
    voxel with it, and a component of the prediction is false if it shares none with the reference.
    """
    return lesion_counts_of_rows(*shared_rows(true, pred))


def lesion_counts_of_rows(true: Rows, pred: Rows) -> LesionCounts:
    """Count lesions of two masks given on the same rows."""
    lesions, found = _touched(true, pred.values)
    predicted, right = _touched(pred, true.values)
    return LesionCounts(lesions=lesions, found=found, false=predicted - right)


def _touched(rows: Rows, other: np.ndarray) -> tuple[int, int]:
    """The number of components of a mask, and of those that overlap the other mask."""
    row, start, stop = _runs(rows.values)
    if not len(row):
        return 0, 0
    num, component = connected_components(_neighbours(rows, row, start, stop), directed=False)
    stride = other.shape[1]
    # A run shares a voxel with the other mask if that mask's cumulative sum grows along it.
    before = np.concatenate([[0], np.cumsum(other.ravel(), dtype=np.int64)])
    shared = before[row * stride + stop] > before[row * stride + start]
    return int(num), len(np.unique(component[shared]))


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first column and end column (exclusive) of every run, in row-major order."""
    padded = np.zeros((len(values), values.shape[1] + 2), np.int8)
    padded[:, 1:-1] = values != 0
    steps = np.diff(padded, axis=1)
    row, start = np.nonzero(steps == 1)
    return row, start, np.nonzero(steps == -1)[1]


def _neighbours(rows: Rows, row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> coo_array:
    """The adjacency of runs, as a sparse matrix. All rows are laid out on one line with gaps
    between them.
    """
    gap = rows.values.shape[1] + 2
    height = int(rows.h.max()) + 2
    line = (rows.d[row].astype(np.int64) * height + rows.h[row]) * gap
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for down, right in LATER_ROWS:
        beside = line + (down * height + right) * gap
        # From the first run there that ends at or after this run's start, to the last that starts
        # at or before its end.
        low = np.searchsorted(line + stop, beside + start, "left")
        count = np.maximum(np.searchsorted(line + start, beside + stop, "right") - low, 0)
        firsts.append(np.repeat(np.arange(len(row)), count))
        seconds.append(
            np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
            + np.arange(count.sum())
        )
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    return coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(row), len(row)))
