"""What one trial leaves behind: counts, never ratios; ratios are derived from them here and nowhere
else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trials.records.spec import Cell, Preparation, TrialSpec

COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAILED"
REASONS = ("oom", "diverged", "precision", "exception", "timeout", "interrupted")
NATIVE, PREPARED = "native", "prepared"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScore:
    """Voxel counts of one label in one case; space is "native" (the case's own grid) or "prepared"
    (the grid of the recipe's preparation).
    """

    case: str
    split: str
    space: str
    label: int
    true_voxels: int
    pred_voxels: int
    overlap_voxels: int


@dataclass(frozen=True, slots=True, kw_only=True)
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
    tolerance_mm: float
    true_voxels: int
    pred_voxels: int
    overlap_voxels: int
    true_mm2: float
    pred_mm2: float
    true_within_mm2: float
    pred_within_mm2: float
    lesions: int
    lesions_found: int
    lesions_false: int
    voxel_mm3: float | None = None
    hd95_mm: float | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochScore:
    """One epoch: mean training loss and mean Dice a label (prepared space) over the
    reference-positive cases.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The outcome of a trial: complete as soon as its file exists.

    val_score is the mean over foreground labels of the validation Dice at best_epoch (for a
    pretraining minus the restoration loss), NaN-free: None if the trial failed before a first
    epoch. A pruned trial keeps its curve and its val_score so far, and has no scores. surfaces
    holds every region of every test case, of a final trial alone. facts holds what explains the
    trial: class weights, draw histogram, dropped items, parameters, multiply-adds, device, threads,
    versions, host, seconds by part. code holds the digests of the code that ran, by part:
    "segbench" for ours, and "loss tversky" or the like for each part that a grid file brought;
    empty in results of versions that did not record it.
    """

    trial: str
    spec: TrialSpec
    state: str
    reason: str | None = None
    error: str | None = None
    val_score: float | None = None
    best_epoch: int | None = None
    scores: tuple[CaseScore, ...] = ()
    surfaces: tuple[SurfaceScore, ...] = ()
    curve: tuple[EpochScore, ...] = ()
    seconds: float = 0.0
    peak_gib: float = 0.0
    num_parameters: int = 0
    num_trainable: int = 0
    multiply_adds: int = 0
    started: str = ""
    commit: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalPredictions:
    """Somebody else's predictions of a run's test cases, scored by the run's rules: every label and
    region, native grid.
    """

    name: str
    scores: tuple[CaseScore, ...] = ()
    surfaces: tuple[SurfaceScore, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What one preparation allows at most on the test cases. data is the digest of the prepared
    set, as in TrialSpec.
    """

    data: str
    preparation: Preparation
    scores: tuple[CaseScore, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The ceilings of a run, one a preparation."""

    ceilings: tuple[Ceiling, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """What a cell's study taught (studies.json): each hyperparameter's share in telling the best of
    its trials from all.

    importance is None where there are too few trials to say.
    """

    cell: Cell
    importance: Mapping[str, float] | None
    trials: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A case's native grid in (D, H, W), and the voxels of every class on it."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    class_voxels: tuple[int, ...]


# Of what a trial's facts hold, what is more than printed: each key with its type.
FACT_KEYS: dict[str, Any] = {
    **dict.fromkeys(
        ("device", "device_type", "host", "weights_sha256", "precision", "arithmetic"), str
    ),
    **dict.fromkeys(("precision_note", "compile_note"), str),
    **dict.fromkeys(("compiled", "arithmetic_right"), bool),
    "arithmetic_seconds": float,
    "threads": int,
    "cases_prepared_again": tuple[str, ...],
    "class_counts.voxels": tuple[int, ...],
}
# What run.json holds, as far as anybody reads it: each key with its type.
RUN_KEYS: dict[str, Any] = {
    **dict.fromkeys(("grid", "dataset", "splits", "command", "started", "grid_file"), str),
    "fold": int,
    "dirty": bool,
    "classes": tuple[str, ...],
    "cells": tuple[Cell, ...],
    "seeds": tuple[int, ...],
    "commit": str | None,
    "code": Mapping[str, str],
    "planned": Mapping[str, int],
    **dict.fromkeys(("tuning", "data", "machine", "versions"), Mapping[str, object] | None),
    "tuning.trials": int,
    **dict.fromkeys(("recipes", "hyper", "spaces"), Mapping[str, Mapping[str, object]]),
    **dict.fromkeys(("studies", "families", "preparations"), tuple[Mapping[str, object], ...]),
    "weights": Mapping[str, str],
    "weights_notes": tuple[str, ...],
    **dict.fromkeys(("data.root", "data.licence", "data.data_digest"), str),
    **dict.fromkeys(("data.excluded", "data.bad_cases", "data.warnings"), Mapping[str, str]),
    "data.geometry": Mapping[str, Geometry],
    "data.case_metadata": Mapping[str, Mapping[str, str]],
    "data.published": int | None,
    "data.split_cases": Mapping[str, tuple[str, ...]],
    "data.cases": int,
    "data.shows_images": bool,
}
