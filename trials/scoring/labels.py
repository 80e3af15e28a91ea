"""Everything that is said of one label in one case: overlap, surface, volume, lesions."""

import math
from collections.abc import Sequence

import numpy as np

from trials.records.result import dice, iou
from trials.scoring.case import Measured, lesions_of, measure
from trials.scoring.regions import Region
from trials.scoring.rows import shared_rows
from trials.scoring.surface import Spacing, distances_between, hd95_mm, surface_dice

MM3_PER_ML = 1000


def label_scores(
    true: np.ndarray, pred: np.ndarray, spacing_mm: Spacing, regions: Sequence[Region]
) -> dict[str, float]:
    """Score labels [D, H, W] uint8 against the reference on their common grid: MEASURE_NAME of
    every region.

    Where a region is in neither, its ratios and its distance are NaN; where it is in one only, its
    ratios are 0 and its distance is inf. volume_error_ml is the predicted minus the true volume.
    """
    rows = shared_rows(true, pred)
    return {
        f"{name}_{region.name}": value
        for region in regions
        for name, value in _scores(measure(*rows, spacing_mm, region), spacing_mm).items()
    }


def _scores(measured: Measured, spacing_mm: Spacing) -> dict[str, float]:
    voxels, lesions = measured.voxels, lesions_of(measured)
    return {
        "dice": dice(*voxels),
        "iou": iou(*voxels),
        "surface_dice": surface_dice(measured.overlap),
        "hd95_mm": hd95_mm(distances_between(*measured.surfaces, spacing_mm)),
        "volume_error_ml": (voxels[1] - voxels[0]) * math.prod(spacing_mm) / MM3_PER_ML,
        **dict(zip(("true_voxels", "pred_voxels", "overlap_voxels"), voxels, strict=True)),
        "lesions": lesions.lesions,
        "lesions_found": lesions.found,
        "lesions_false": lesions.false,
    }
