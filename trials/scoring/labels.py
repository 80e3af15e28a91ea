"""Everything that is said of one label in one case: overlap, surface, volume, lesions."""

import math
from collections.abc import Sequence

import numpy as np

from trials.result import dice, iou
from trials.scoring.lesions import lesion_counts
from trials.scoring.regions import Region, mask_of, voxel_counts
from trials.scoring.surface import Spacing, distances_between, hd95_mm, overlap_within, surface_dice, surface_of

MM3_PER_ML = 1000


def label_scores(true: np.ndarray, pred: np.ndarray, spacing_mm: Spacing, regions: Sequence[Region]) -> dict[str, float]:
    """Score labels [D, H, W] uint8 against the reference on their common grid: MEASURE_NAME of every region.

    Where a region is in neither, its ratios and its distance are NaN; where it is in one only, its ratios are 0 and
    its distance is inf. volume_error_ml is the predicted minus the true volume.
    """
    return {
        f"{measure}_{region.name}": value
        for region in regions
        for measure, value in _measures(mask_of(region, true), mask_of(region, pred), spacing_mm, region.tolerance_mm).items()
    }


def _measures(true: np.ndarray, pred: np.ndarray, spacing_mm: Spacing, tolerance_mm: float) -> dict[str, float]:
    counts = voxel_counts(true, pred)
    distances = distances_between(surface_of(true, spacing_mm), surface_of(pred, spacing_mm), spacing_mm)
    lesions = lesion_counts(true, pred)
    return {
        "dice": dice(*counts),
        "iou": iou(*counts),
        "surface_dice": surface_dice(overlap_within(distances, tolerance_mm)),
        "hd95_mm": hd95_mm(distances),
        "volume_error_ml": (counts[1] - counts[0]) * math.prod(spacing_mm) / MM3_PER_ML,
        **dict(zip(("true_voxels", "pred_voxels", "overlap_voxels"), counts, strict=True)),
        "lesions": lesions.lesions,
        "lesions_found": lesions.found,
        "lesions_false": lesions.false,
    }
