"""The background score of predicting background everywhere: a floor that any model reaches."""

import csv
from dataclasses import dataclass
from importlib import resources
from statistics import fmean

from reports.audit.printed_number import PrintedNumber, read_number
from trials.records.result import dice, iou

# A score is at the floor within this share of the distance from the floor to 1. Papers seldom say
# how they averaged; averages over batches of eight patients move KiTS23's floor by 1 to 2 % of it.
SLACK = 0.05
# Decimals of a float.
EXACT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Background Dice and IoU of an empty prediction; source names the cases."""

    dice: PrintedNumber
    iou: PrintedNumber
    source: str


def kits23_floor() -> Floor:
    """The floor of KiTS23's published test split (ids 507 to 587): IoU 0.9882 and Dice 0.9940,
    means over its 81 patients.

    Computed from the voxels of the published masks (github.com/neheller/kits23, version 0.1.4) on
    each case's own grid. Resizing all cases to one cube does not change the share of the background
    in a patient, and so not the means. Pooled over native voxels the floor is 0.9911 and 0.9955.
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
    # Every voxel is predicted as background: the overlap is all of the true background.
    return Floor(
        dice=_computed(fmean(dice(true, voxels, true) for true, voxels in counts)),
        iou=_computed(fmean(iou(true, voxels, true) for true, voxels in counts)),
        source="KiTS23's published test split",
    )


def given_floor(dice_text: str, iou_text: str) -> Floor:
    """A floor computed elsewhere, rounded to the decimals it shows; a bare 0 or 1 is exact. Raises
    ValueError outside 0..1.
    """
    return Floor(
        dice=read_number(dice_text, EXACT),
        iou=read_number(iou_text, EXACT),
        source="the given floor",
    )


def at_floor(printed: PrintedNumber, floor: PrintedNumber) -> bool:
    """Whether a printed number equals the floor, within the rounding of both and SLACK of the
    distance from the floor to 1.
    """
    return abs(printed.value - floor.value) <= printed.half_unit + floor.half_unit + SLACK * (
        1 - floor.value
    )


def _computed(value: float) -> PrintedNumber:
    return PrintedNumber(text=f"{value:.4f}", value=value, half_unit=0.0)
