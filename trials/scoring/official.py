"""The KiTS23 challenge's own scores: Dice and Surface Dice of nested regions, 1 where both masks
are empty.

Regions and tolerances as in github.com/neheller/kits23, version 0.1.4.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trials.records.result import dice
from trials.scoring.case import measure
from trials.scoring.regions import Region
from trials.scoring.rows import shared_rows
from trials.scoring.surface import Spacing, surface_dice

# The hierarchical evaluation classes, each within the one before.
KITS23 = (
    Region(name="kidney_and_mass", labels=(1, 2, 3), tolerance_mm=1.0330772532390826),
    Region(name="mass", labels=(2, 3), tolerance_mm=1.1328796488598762),
    Region(name="tumor", labels=(2,), tolerance_mm=1.1498198361434828),
)


def official_scores(
    true: np.ndarray, pred: np.ndarray, spacing_mm: Spacing, regions: Sequence[Region]
) -> dict[str, float]:
    """Score labels [D, H, W] uint8 against the reference on their common grid.

    Returns dice_NAME of every region, then surface_dice_NAME: 0..1; 1 where both are empty, 0 where
    only one is.
    """
    rows = shared_rows(true, pred)
    measured = {region.name: measure(*rows, spacing_mm, region) for region in regions}
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


# By the name of the data set; phantoms have the classes of KiTS23.
OFFICIAL: Mapping[str, tuple[Region, ...]] = {"kits23": KITS23, "phantoms": KITS23}
