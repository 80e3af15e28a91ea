"""A region is what a score refers to: one label, or a union of labels."""

from collections.abc import Sequence

import numpy as np

from trials.data.datasets.label_set import LabelSet, Region

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
