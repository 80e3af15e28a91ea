"""One region of one case: additive counts of its voxels, surfaces and lesions, computed on
non-empty rows, and the columns of a table that they give; and a challenge's scores, Dice and
Surface Dice of a data set's official regions by KiTS23's rule, 1 if both masks are empty.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trials.data.datasets.label_set import Region
from trials.records.metrics import METRICS, VOXELS, metric_of
from trials.records.result import SurfaceScore, dice
from trials.scoring.lattice import Rows, Spacing, shared_rows
from trials.scoring.lesions import LesionCounts, lesion_counts_of_rows
from trials.scoring.regions import as_background, beside_ignored, mask_of, off_ignored, voxel_counts
from trials.scoring.surface import (
    Surface,
    SurfaceOverlap,
    distances_between,
    find_surface_of_rows,
    hd95_mm,
    surface_dice,
    surface_overlap,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMeasurement:
    """True, predicted and overlapping voxels of a region, both its surfaces, and how
    they overlap."""

    masks: tuple[Rows, Rows]
    voxels: tuple[int, int, int]
    surfaces: tuple[Surface, Surface]
    overlap: SurfaceOverlap


def measure(
    true: Rows,
    pred: Rows,
    spacing_mm: Spacing,
    region: Region,
    touching: np.ndarray | None = None,
) -> CaseMeasurement:
    """Measure a region in two uint8 label volumes given on the same rows; surfaces leave out the
    corners where touching, see beside_ignored().
    """
    masks = _region_rows(true, region), _region_rows(pred, region)
    surfaces = (
        off_ignored(find_surface_of_rows(masks[0], spacing_mm), touching),
        off_ignored(find_surface_of_rows(masks[1], spacing_mm), touching),
    )
    return CaseMeasurement(
        masks=masks,
        voxels=voxel_counts(masks[0].values, masks[1].values),
        surfaces=surfaces,
        overlap=surface_overlap(*surfaces, spacing_mm, region.tolerance_mm),
    )


def lesions_of(measured: CaseMeasurement) -> LesionCounts:
    """Count the lesions of a measured region."""
    return lesion_counts_of_rows(*measured.masks)


def surface_scores(
    true: np.ndarray,
    pred: np.ndarray,
    spacing_mm: Spacing,
    regions: Sequence[Region],
    case: str,
    split: str,
    ignored: np.ndarray | None = None,
) -> list[SurfaceScore]:
    """One record per region of predicted labels [D, H, W] uint8 against the reference on the same
    grid; where ignored, both count as background and have no surface.
    """
    rows = shared_rows(as_background(true, ignored), as_background(pred, ignored))
    touching = beside_ignored(ignored)
    return [
        _record(measure(*rows, spacing_mm, region, touching), spacing_mm, region, case, split)
        for region in regions
    ]


def _record(
    measured: CaseMeasurement, spacing_mm: Spacing, region: Region, case: str, split: str
) -> SurfaceScore:
    (true_voxels, pred_voxels, overlap_voxels), lesions = measured.voxels, lesions_of(measured)
    return SurfaceScore(
        case=case,
        split=split,
        region=region.name,
        tolerance_mm=region.tolerance_mm,
        true_voxels=true_voxels,
        pred_voxels=pred_voxels,
        overlap_voxels=overlap_voxels,
        true_mm2=measured.overlap.true_mm2,
        pred_mm2=measured.overlap.pred_mm2,
        true_within_mm2=measured.overlap.true_within_mm2,
        pred_within_mm2=measured.overlap.pred_within_mm2,
        lesions=lesions.lesions,
        lesions_found=lesions.found,
        lesions_false=lesions.false,
        voxel_mm3=math.prod(spacing_mm),
        hd95_mm=hd95_mm(distances_between(*measured.surfaces, spacing_mm))
        if all(len(surface.areas_mm2) for surface in measured.surfaces)
        else None,
    )


def _region_rows(rows: Rows, region: Region) -> Rows:
    return Rows(d=rows.d, h=rows.h, values=mask_of(region, rows.values))


COUNTED = (*VOXELS, "lesions", "lesions_found", "lesions_false")


def metric_columns(scores: Iterable[SurfaceScore]) -> dict[str, float]:
    """METRIC_REGION of every region and entry of METRICS, then its counts.

    If a region is in neither mask, ratios and distances are NaN; if it is in only one, ratios are 0
    and distances inf.
    """
    return {
        f"{name}_{score.region}": value
        for score in scores
        for name, value in _numbers(score).items()
    }


def _numbers(score: SurfaceScore) -> dict[str, float]:
    metrics = {name: metric_of(entry, score) for name, entry in METRICS.items()}
    return metrics | {name: getattr(score, name) for name in COUNTED}


def official_scores(
    true: np.ndarray,
    pred: np.ndarray,
    spacing_mm: Spacing,
    regions: Sequence[Region],
    ignored: np.ndarray | None = None,
) -> dict[str, float]:
    """Score predicted labels [D, H, W] uint8 against the reference on the same grid, without the
    voxels that are ignored.

    Returns dice_NAME of every region, then surface_dice_NAME: 0..1; 1 if both are empty, 0 if only
    one is.
    """
    rows = shared_rows(as_background(true, ignored), as_background(pred, ignored))
    touching = beside_ignored(ignored)
    measured = {region.name: measure(*rows, spacing_mm, region, touching) for region in regions}
    overlaps = {
        f"dice_{name}": _one_if_both_empty(dice(*found.voxels)) for name, found in measured.items()
    }
    surfaces = {
        f"surface_dice_{name}": _one_if_both_empty(surface_dice(found.overlap))
        for name, found in measured.items()
    }
    return overlaps | surfaces


def _one_if_both_empty(score: float) -> float:
    return 1.0 if math.isnan(score) else score
