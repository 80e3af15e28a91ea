"""What a score refers to: a region, which is one label or a union of labels, without the voxels
that are not annotated: those count in no mask, on no surface and in no lesion.
"""

from collections.abc import Sequence

import numpy as np

from trials.data.datasets.label_set import LabelSet, Region
from trials.scoring.surface import Surface

DEFAULT_TOLERANCE_MM = 1.0


def label_regions(classes: Sequence[str], official: Sequence[Region]) -> tuple[Region, ...]:
    """One region per foreground class.

    Its tolerance is that of the smallest official region that contains its label, 1 mm if none
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


def scored_regions(labels: LabelSet, official: Sequence[Region]) -> tuple[Region, ...]:
    """The regions that dataset.json declares, then those of the labels; a label that is a region
    of its own appears once. official regions give tolerances, see label_regions().
    """
    names = {region.name for region in labels.regions}
    of_labels = label_regions(labels.classes, (*official, *labels.regions))
    return (*labels.regions, *(region for region in of_labels if region.name not in names))


def every_region(labels: LabelSet, official: Sequence[Region]) -> tuple[Region, ...]:
    """The official regions, then those of scored_regions(); a label that is an official region
    appears once, as that region.
    """
    names = {region.name for region in official}
    others = scored_regions(labels, official)
    return (*official, *(region for region in others if region.name not in names))


def mask_of(region: Region, labels: np.ndarray) -> np.ndarray:
    """The mask of a region in labels (uint8, any shape): bool, same shape."""
    # Comparing label by label is several times faster than a look-up table.
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
