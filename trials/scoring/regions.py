"""A region is what one score is about: a label, or several labels taken as one."""

from collections.abc import Sequence

import numpy as np

from trials.data.datasets.registry import Region

DEFAULT_TOLERANCE_MM = 1.0


def label_regions(classes: Sequence[str], official: Sequence[Region]) -> tuple[Region, ...]:
    """One region for each class but the background.

    Its tolerance is that of the smallest official region that holds its label, 1 mm where none
    does.
    """
    regions = []
    for label, name in enumerate(classes[1:], start=1):
        holding = sorted(
            (region for region in official if label in region.labels),
            key=lambda region: len(region.labels),
        )
        tolerance = holding[0].tolerance_mm if holding else DEFAULT_TOLERANCE_MM
        regions.append(Region(name=name, labels=(label,), tolerance_mm=tolerance))
    return tuple(regions)


def all_regions(classes: Sequence[str], official: Sequence[Region]) -> tuple[Region, ...]:
    """The official regions, then those of the labels; a label that is an official region stands
    once, as that region.
    """
    names = {region.name for region in official}
    return (
        *official,
        *(region for region in label_regions(classes, official) if region.name not in names),
    )


def mask_of(region: Region, labels: np.ndarray) -> np.ndarray:
    """Where labels (uint8, any shape) are of the region: bool, same shape."""
    # Comparing label by label is several times quicker than looking each voxel up.
    mask = labels == region.labels[0]
    for label in region.labels[1:]:
        mask |= labels == label
    return mask


def voxel_counts(true: np.ndarray, pred: np.ndarray) -> tuple[int, int, int]:
    """True, predicted and overlapping voxels of two bool masks."""
    return (
        int(np.count_nonzero(true)),
        int(np.count_nonzero(pred)),
        int(np.count_nonzero(true & pred)),
    )
