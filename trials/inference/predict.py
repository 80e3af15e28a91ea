"""From logits on the cube to labels on the case's own grid: probabilities first, then argmax, a
plane at a time.
"""

import numpy as np
import torch
from torch import Tensor

from trials.data.prepared.resample import linear_taps
from trials.scoring.overlap import argmax_labels


def on_native_grid(probs: Tensor, shape: tuple[int, int, int]) -> np.ndarray:
    """Resample class probabilities [K, n, n, n] trilinearly (half-pixel centres) to shape and take
    the argmax: uint8 [D, H, W].

    All classes never exist at full size at once: one plane of the case is interpolated at a time,
    and only inside the box around the cube's voxels where some class beats the background.
    Outside it the result is background without computing: a convex combination of
    corners that all prefer background prefers background.
    """
    depth, height, width = shape
    labels = np.zeros(shape, np.uint8)
    preferred = (
        (probs[1:] > probs[:1]).any(0)
        if len(probs) > 1
        else torch.zeros(probs.shape[1:], dtype=torch.bool)
    )
    low_d, high_d, share_d = linear_taps(probs.shape[1], depth)
    rows, columns = _matrix(height, probs.shape[2]), _matrix(width, probs.shape[3])
    for plane in range(depth):
        low, high, share = int(low_d[plane]), int(high_d[plane]), float(share_d[plane])
        box = _box(preferred[low] | preferred[high], rows, columns)
        if box is None:
            continue
        at_rows, at_columns = box
        blended = torch.lerp(probs[:, low], probs[:, high], share)
        fine = rows[at_rows] @ blended @ columns[at_columns].T
        labels[plane, at_rows, at_columns] = argmax_labels(fine).numpy()
    return labels


def _matrix(size: int, edge: int) -> Tensor:
    """Linear interpolation along one axis as a matrix [size, edge] whose rows sum to one."""
    low, high, share = linear_taps(edge, size)
    # Beyond the border both are one voxel, whose weight is exactly 1.
    share[low == high] = 0
    matrix, index = np.zeros((size, edge), np.float32), np.arange(size)
    matrix[index, low] += (1 - share).astype(np.float32)
    matrix[index, high] += share.astype(np.float32)
    return torch.from_numpy(matrix)


def _box(preferred: Tensor, rows: Tensor, columns: Tensor) -> tuple[slice, slice] | None:
    """The native rows and columns that any preferred cube voxel of the plane [n, n] reaches, or
    None.
    """
    if not bool(preferred.any()):
        return None
    reached = [
        (matrix[:, preferred.any(axis)] > 0).any(1).nonzero()
        for matrix, axis in ((rows, 1), (columns, 0))
    ]
    at_rows, at_columns = (slice(int(hit[0]), int(hit[-1]) + 1) for hit in reached)
    return at_rows, at_columns
