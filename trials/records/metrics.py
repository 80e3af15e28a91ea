"""The metrics: each a function of what a SurfaceScore counts. `segbench score`, the tables and the
report show every entry of METRICS. Standard library only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from trials.records.registry import Entry
from trials.records.result import SurfaceScore, dice, iou, surface_dice

HIGHER, LOWER, ZERO = "higher", "lower", "zero"
BETTER = {HIGHER: "higher is better", LOWER: "lower is better", ZERO: "best at 0"}
HELD, BOTH, ALL = "reference holds it", "both hold it", "all"
MM3_PER_ML = 1000
VOXELS = ("true_voxels", "pred_voxels", "overlap_voxels")
AREAS = ("true_mm2", "pred_mm2", "true_within_mm2", "pred_within_mm2")


@dataclass(frozen=True, slots=True)
class MetricEntry(Entry):
    """A metric of one region in one case: target is a function of the numbers that `of` names,
    fields of SurfaceScore, given in that order; a number that was not recorded is NaN.

    The function returns a float, NaN where it is not defined; a division by zero is NaN too. title
    and unit stand above its column; the title of "" is the entry's name. better is "higher",
    "lower", or "zero" for a signed error. A mean is over the cases that `over` names ("reference
    holds it", "both hold it" or "all") and in which the metric is not NaN. bounds are the least and
    the largest value.
    """

    of: tuple[str, ...] = VOXELS
    title: str = ""
    unit: str = ""
    better: str = HIGHER
    over: str = HELD
    bounds: tuple[float, float] = (0.0, 1.0)

    def title_of(self, name: str) -> str:
        """Its title, or the entry's name where it has none."""
        return self.title or name.replace("_", " ")

    def heading(self, name: str) -> str:
        """What stands above its column: the title and the unit."""
        title = self.title_of(name)
        return f"{title}, {self.unit}" if self.unit else title


def metric_of(entry: MetricEntry, score: SurfaceScore) -> float:
    """The metric of one region in one case; NaN where it is not defined."""
    numbers = (getattr(score, name) for name in entry.of)
    return value_of(entry.load(), *(math.nan if one is None else one for one in numbers))


def value_of(function: Callable[..., float], *numbers: float) -> float:
    """A metric's function of its numbers; NaN for a division by zero."""
    try:
        return float(function(*numbers))
    except ZeroDivisionError:
        return math.nan


def is_counted(entry: MetricEntry, true_voxels: float, pred_voxels: float) -> bool:
    """Whether a case with so many voxels of a region counts in the metric's mean."""
    if entry.over == ALL:
        return True
    return true_voxels > 0 and (entry.over == HELD or pred_voxels > 0)


def check_metric(entry: MetricEntry) -> None:
    """Raise ValueError for a field that no metric has, or a function that gives no number where
    masks are equal, apart or empty.
    """
    known = {field.name for field in fields(SurfaceScore) if field.type not in (str, "str")}
    if unknown := sorted(set(entry.of) - known):
        raise ValueError(f"of must name numbers of a case ({', '.join(known)}); got {unknown[0]!r}")
    for name, word, words in (
        ("better", entry.better, (HIGHER, LOWER, ZERO)),
        ("over", entry.over, (HELD, BOTH, ALL)),
    ):
        if word not in words:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}; got {word!r}")
    for score in (_sample(8, 8), _sample(8, 0), _sample(0, 8), _sample(0, 0)):
        try:
            metric_of(entry, score)
        except Exception as error:  # a user's own function runs here, and raises what it likes
            given = ", ".join(f"{name}={getattr(score, name)}" for name in entry.of)
            raise ValueError(
                f"its function must return a number; of {given} it raised "
                f"{type(error).__name__}: {error}"
            ) from error


def _sample(true: int, pred: int) -> SurfaceScore:
    """A case of two equal masks of 8 voxels, or in which one or both are empty."""
    shared = min(true, pred)
    return SurfaceScore(
        case="case",
        split="test",
        region="region",
        tolerance_mm=1.0,
        true_voxels=true,
        pred_voxels=pred,
        overlap_voxels=shared,
        true_mm2=3.0 * true,
        pred_mm2=3.0 * pred,
        true_within_mm2=3.0 * shared,
        pred_within_mm2=3.0 * shared,
        lesions=int(true > 0),
        lesions_found=int(shared > 0),
        lesions_false=int(pred > shared),
        voxel_mm3=1.0,
        hd95_mm=0.0 if shared else None,
    )


def hd95(true_voxels: float, pred_voxels: float, hd95_mm: float) -> float:
    """The 95 % Hausdorff distance in mm; inf where only one mask is empty, NaN where both are."""
    if bool(true_voxels) != bool(pred_voxels):
        return math.inf
    return hd95_mm


def volume_error_ml(true_voxels: float, pred_voxels: float, voxel_mm3: float) -> float:
    """The predicted minus the true volume in ml; 0 where both masks are empty."""
    return (pred_voxels - true_voxels) * voxel_mm3 / MM3_PER_ML


def lesion_recall(lesions: float, lesions_found: float) -> float:
    """Share of the reference's lesions that the prediction shares a voxel with, 0..1; NaN where
    there is none.
    """
    return lesions_found / lesions


def false_lesions(lesions_false: float) -> float:
    """Lesions of the prediction that share no voxel with the reference."""
    return lesions_false


METRICS: dict[str, MetricEntry] = {
    "dice": MetricEntry(dice, title="Dice", about="overlap of both masks over their mean size"),
    "iou": MetricEntry(iou, title="IoU", about="overlap of both masks over their union"),
    "surface_dice": MetricEntry(
        surface_dice,
        title="Surface Dice",
        about="share of both surfaces within the tolerance of the other",
        of=AREAS,
    ),
    "hd95_mm": MetricEntry(
        hd95,
        title="HD95",
        unit="mm",
        about="distance within which 95 % of each surface lies from the other",
        of=("true_voxels", "pred_voxels", "hd95_mm"),
        better=LOWER,
        over=BOTH,
        bounds=(0.0, math.inf),
    ),
    "volume_error_ml": MetricEntry(
        volume_error_ml,
        title="volume error",
        unit="ml",
        about="predicted minus true volume",
        of=("true_voxels", "pred_voxels", "voxel_mm3"),
        better=ZERO,
        over=ALL,
        bounds=(-math.inf, math.inf),
    ),
    "lesion_recall": MetricEntry(
        lesion_recall,
        title="lesion recall",
        about="share of a case's lesions with which the prediction shares a voxel",
        of=("lesions", "lesions_found"),
    ),
    "lesions_false": MetricEntry(
        false_lesions,
        title="false lesions a case",
        about="predicted lesions that share no voxel with the reference",
        of=("lesions_false",),
        better=LOWER,
        over=ALL,
        bounds=(0.0, math.inf),
    ),
}
