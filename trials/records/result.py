"""What one trial leaves behind: counts, never ratios; ratios are derived from them here and nowhere
else.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from trials.records.record import Amount, Count, OneOf, record
from trials.records.spec import Cell, Preparation, TrialSpec

COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAILED"
REASONS = ("oom", "diverged", "precision", "exception", "timeout", "interrupted")
NATIVE, PREPARED = "native", "prepared"
LONGEST_SECONDS = 1e9


def date_and_time(text: str) -> str:
    """A date and time near ours, or "", as it is. Raises ValueError for any other text."""
    if text and not 1970 < datetime.fromisoformat(text).year < 9000:
        raise ValueError(f"must be a date and time between 1970 and 9000; got {text}")
    return text


@record
class CaseScore:
    """Voxel counts of one label in one case; space is "native" (the case's own grid) or "prepared"
    (the grid of the recipe's preparation).
    """

    case: str
    split: str
    space: Annotated[str, OneOf("native", "prepared")]
    label: Count
    true_voxels: Count
    pred_voxels: Count
    overlap_voxels: Count


@record
class SurfaceScore:
    """Counts of one region (a label, or labels taken as one) in one case, on the case's own grid.

    Areas in mm2: both surfaces, and what of each lies at most tolerance_mm from the other (elements
    and areas as google-deepmind/surface-distance defines them). Lesions are connected by face, edge
    or corner; one of the reference is found where the prediction shares a voxel with it, one of the
    prediction is false where it shares none. hd95_mm is the 95 % Hausdorff distance, None where a
    mask is empty. Results of versions that did not record them have neither it nor voxel_mm3.
    """

    case: str
    split: str
    region: str
    tolerance_mm: Amount
    true_voxels: Count
    pred_voxels: Count
    overlap_voxels: Count
    true_mm2: Amount
    pred_mm2: Amount
    true_within_mm2: Amount
    pred_within_mm2: Amount
    lesions: Count
    lesions_found: Count
    lesions_false: Count
    voxel_mm3: Amount | None = None
    hd95_mm: Amount | None = None


def dice(true_voxels: float, pred_voxels: float, overlap_voxels: float) -> float:
    """2 |P and T| / (|P| + |T|), 0..1; NaN where both are empty, for the reader's convention to
    decide.
    """
    total = true_voxels + pred_voxels
    return 2 * overlap_voxels / total if total else float("nan")


def iou(true_voxels: float, pred_voxels: float, overlap_voxels: float) -> float:
    """|P and T| / |P or T|, 0..1; NaN where both are empty."""
    union = true_voxels + pred_voxels - overlap_voxels
    return overlap_voxels / union if union else float("nan")


def surface_dice(
    true_mm2: float, pred_mm2: float, true_within_mm2: float, pred_within_mm2: float
) -> float:
    """Share of both surfaces that lies within the tolerance of the other, 0..1 (Nikolov et al.
    2018, arXiv:1809.04430).

    0 where only one mask is empty; NaN where both are, for the reader's convention to decide.
    """
    total = true_mm2 + pred_mm2
    return (true_within_mm2 + pred_within_mm2) / total if total else float("nan")


def headline(dice_by_label: Mapping[int, float | None]) -> float:
    """The number that selects: the mean over foreground labels of their mean Dice; 0 where no case
    holds any.
    """
    present = [value for value in dice_by_label.values() if value is not None]
    return sum(present) / len(present) if present else 0.0


@record
class EpochScore:
    """One epoch: mean training loss and mean Dice a label (prepared space) over the patients whose
    reference has it.

    Dice maps a foreground label to 0..1, or to None where no case holds the label. An epoch without
    validation has no val_loss and empty mappings.
    """

    epoch: int
    lr: float
    train_loss: float
    val_loss: float | None
    train_dice: Mapping[int, float | None]
    val_dice: Mapping[int, float | None]
    seconds: float


@record
class TrialResult:
    """The outcome of a trial: complete as soon as its file exists.

    val_score is the mean over foreground labels of the validation Dice at best_epoch (for a
    pretraining minus the restoration loss), NaN-free: None if the trial failed before a first
    epoch. A pruned trial keeps its curve and its val_score so far, and has no scores. surfaces
    holds every region of every test case, of a final trial alone; mirrored the native scores of the
    test cases predicted as the mean over their mirror images, where the recipe asks for them. facts
    holds what explains the trial: class weights, draw histogram, dropped items, parameters,
    multiply-adds, device, threads, versions, host, seconds by part. code holds the digests of the
    code that ran, by part:
    "segbench" for ours, and "loss tversky" or the like for each part that a grid file defines;
    empty in results of versions that did not record it.
    """

    trial: str
    spec: TrialSpec
    state: Annotated[str, OneOf("COMPLETE", "PRUNED", "FAILED")]
    reason: str | None = None
    error: str | None = None
    val_score: float | None = None
    best_epoch: int | None = None
    scores: tuple[CaseScore, ...] = ()
    surfaces: tuple[SurfaceScore, ...] = ()
    mirrored: tuple[CaseScore, ...] = ()
    curve: tuple[EpochScore, ...] = ()
    seconds: Annotated[float, Field(ge=0, le=LONGEST_SECONDS)] = 0.0
    peak_gib: Amount = 0.0
    num_parameters: Count = 0
    num_trainable: Count = 0
    multiply_adds: Count = 0
    started: Annotated[str, AfterValidator(date_and_time)] = ""
    commit: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


@record
class ExternalPredictions:
    """Somebody else's predictions of a run's test cases, scored by the run's rules: every label and
    region, native grid.
    """

    name: str
    scores: tuple[CaseScore, ...] = ()
    surfaces: tuple[SurfaceScore, ...] = ()


@record
class EnsembleScores:
    """The seeds of one configuration as an ensemble by mean probability, scored on the run's test
    cases: every label and region, native grid. trials maps each member to the SHA-256 of its
    weights.
    """

    cell: Cell
    trials: Mapping[str, str]
    scores: tuple[CaseScore, ...]
    surfaces: tuple[SurfaceScore, ...]


@record
class Ceiling:
    """What one preparation allows at most on the test cases. data is the digest of the prepared
    set, as in TrialSpec.
    """

    data: str
    preparation: Preparation
    scores: tuple[CaseScore, ...]


@record
class Ceilings:
    """The ceilings of a run, one a preparation."""

    ceilings: tuple[Ceiling, ...]


@record
class StudySummary:
    """What a cell's study in one fold taught (studies.json): each hyperparameter's share in telling
    the best of its trials from all.

    importance is None where there are too few trials to say.
    """

    cell: Cell
    importance: Mapping[str, float] | None
    trials: int = 0
    fold: int | None = None


def duration(seconds: float) -> str:
    """Seconds in the largest unit that keeps two figures: 40 s, 12 min, 5.5 h, 3.2 days."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if seconds / unit >= 10 else 1}f} {name}"
    return f"{seconds / 86_400:.1f} days"
