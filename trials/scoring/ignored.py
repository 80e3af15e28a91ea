"""Voxels that are not annotated: they count in no mask, on no surface and in no lesion."""

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.scoring.surface import Surface


def find_ignored(true: np.ndarray, labels: LabelSet) -> np.ndarray | None:
    """Where a reference [D, H, W] holds the ignore label: bool of its shape, None if nowhere."""
    if not labels.has_ignore:
        return None
    ignored = true == len(labels.classes)
    return ignored if ignored.any() else None


def as_background(labels: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """Labels with background where voxels are ignored."""
    return labels if ignored is None else np.where(ignored, np.uint8(0), labels)


def beside_ignored(ignored: np.ndarray | None) -> np.ndarray | None:
    """Which corners between voxels touch an ignored one: [D, H, W] to bool, longer by one each."""
    if ignored is None:
        return None
    padded = np.pad(ignored, 1)
    for axis in range(3):
        before, after = (
            padded.take(range(start, padded.shape[axis] - 1 + start), axis) for start in (0, 1)
        )
        padded = before | after
    return padded


def off_ignored(surface: Surface, touching: np.ndarray | None) -> Surface:
    """A surface without the elements whose corners touch an ignored voxel: there the boundary of
    the mask is not known.
    """
    if touching is None:
        return surface
    kept = ~touching[tuple(surface.corners.T)]
    return Surface(corners=surface.corners[kept], areas_mm2=surface.areas_mm2[kept])
