"""What predicting background everywhere scores in the background class: the floor that says nothing
of a network.
"""

import csv
from dataclasses import dataclass
from importlib import resources
from statistics import fmean

from reports.audit.printed_table import PrintedNumber, read_number
from trials.records.result import dice, iou

# A twentieth of the way from the floor to a perfect score. A study seldom says how it averaged, and
# averaging over batches of eight patients instead of patients moves KiTS23's floor by one to two
# hundredths of that way.
SLACK = 0.05
# The decimals that a float can hold.
EXACT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Background Dice and IoU of an empty prediction; source says of which cases."""

    dice: PrintedNumber
    iou: PrintedNumber
    source: str


def kits23_floor() -> Floor:
    """The floor of KiTS23's published test split (ids 507 to 587): IoU 0.9882 and Dice 0.9940,
    means over its 81 patients.

    From the voxels of the published masks (github.com/neheller/kits23, version 0.1.4) on each
    case's own grid; resizing all to one cube keeps a patient's shares, and so the means. Pooled
    over native voxels they would be 0.9911 and 0.9955.
    """
    text = (
        resources.files("reports.audit")
        .joinpath("kits23_test_background.csv")
        .read_text(encoding="utf-8")
    )
    counts = [
        (int(row["background_voxels"]), int(row["voxels"]))
        for row in csv.DictReader(text.splitlines())
    ]
    # All background of a case is found, and everything is predicted as it.
    return Floor(
        dice=_computed(fmean(dice(true, voxels, true) for true, voxels in counts)),
        iou=_computed(fmean(iou(true, voxels, true) for true, voxels in counts)),
        source="KiTS23's published test split",
    )


def given_floor(dice_text: str, iou_text: str) -> Floor:
    """A floor somebody computed, rounded to the decimals it shows, a bare 0 or 1 exact. Raises
    ValueError outside 0..1.
    """
    return Floor(
        dice=read_number(dice_text, EXACT),
        iou=read_number(iou_text, EXACT),
        source="the given floor",
    )


def at_floor(printed: PrintedNumber, floor: PrintedNumber) -> bool:
    """Say whether a printed figure is the floor, within the rounding of both and SLACK of what lies
    above the floor.
    """
    return abs(printed.value - floor.value) <= printed.half_unit + floor.half_unit + SLACK * (
        1 - floor.value
    )


def _computed(value: float) -> PrintedNumber:
    return PrintedNumber(text=f"{value:.4f}", value=value, half_unit=0.0)
