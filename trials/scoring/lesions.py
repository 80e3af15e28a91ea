"""Which lesions were found: connected components of one label, touching by face, edge or corner.

Components are joined from runs, the stretches of a row without a gap, so that a scan's size does
not matter.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trials.scoring.rows import Rows, shared_rows

# The rows (D, H) beside a row that come after it; the others are met from their side.
LATER_ROWS = ((0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionCounts:
    """Components of the reference, those of them that were found, and components of the prediction
    that are false.
    """

    lesions: int
    found: int
    false: int


def lesion_counts(true: np.ndarray, pred: np.ndarray) -> LesionCounts:
    """Count lesions of two masks [D, H, W], bool or 0 and 1.

    The rule is overlap by one voxel: a lesion of the reference is found where the prediction shares
    any voxel with it, and a component of the prediction is false where it shares none with the
    reference.
    """
    return lesion_counts_of_rows(*shared_rows(true, pred))


def lesion_counts_of_rows(true: Rows, pred: Rows) -> LesionCounts:
    """The same of two masks given by the same rows."""
    lesions, found = _touched(true, pred.values)
    predicted, right = _touched(pred, true.values)
    return LesionCounts(lesions=lesions, found=found, false=predicted - right)


def _touched(rows: Rows, other: np.ndarray) -> tuple[int, int]:
    """How many components a mask has, and how many of them the other mask touches."""
    row, start, stop = _runs(rows.values)
    if not len(row):
        return 0, 0
    num, component = connected_components(_neighbours(rows, row, start, stop), directed=False)
    stride = other.shape[1]
    # A run shares a voxel with the other mask where that mask's running sum grows along it.
    before = np.concatenate([[0], np.cumsum(other.ravel(), dtype=np.int64)])
    shared = before[row * stride + stop] > before[row * stride + start]
    return int(num), len(np.unique(component[shared]))


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first column and the column after the last of every run, in reading order."""
    padded = np.zeros((len(values), values.shape[1] + 2), np.int8)
    padded[:, 1:-1] = values != 0
    steps = np.diff(padded, axis=1)
    row, start = np.nonzero(steps == 1)
    return row, start, np.nonzero(steps == -1)[1]


def _neighbours(rows: Rows, row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> coo_array:
    """Which runs touch, as a sparse matrix. On one line that holds all rows, gaps between them, run
    by run.
    """
    gap = rows.values.shape[1] + 2
    height = int(rows.h.max()) + 2
    line = (rows.d[row].astype(np.int64) * height + rows.h[row]) * gap
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for down, right in LATER_ROWS:
        beside = line + (down * height + right) * gap
        # From the first run there that ends at or behind our start, to the last that starts at or
        # before our end.
        low = np.searchsorted(line + stop, beside + start, "left")
        count = np.maximum(np.searchsorted(line + start, beside + stop, "right") - low, 0)
        firsts.append(np.repeat(np.arange(len(row)), count))
        seconds.append(
            np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
            + np.arange(count.sum())
        )
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    return coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(row), len(row)))
