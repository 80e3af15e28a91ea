"""Challenge scores: Dice and Surface Dice of a data set's official regions by KiTS23's rule, 1 if
both masks are empty.
"""

import math
from collections.abc import Sequence

import numpy as np

from trials.data.datasets.label_set import Region
from trials.records.result import dice
from trials.scoring.case import measure
from trials.scoring.ignored import as_background, beside_ignored
from trials.scoring.lattice import Spacing
from trials.scoring.rows import shared_rows
from trials.scoring.surface import surface_dice


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
