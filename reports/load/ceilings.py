"""The highest score that each kind of prepared data allows, and the score of an empty
prediction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from reports.load.by_patient import by_patient
from reports.load.counts import Counts
from reports.load.run_folder import refuse_overlaps
from reports.table import dice_of, iou_of
from trials.records.codec import from_json
from trials.records.result import CaseScore, Ceilings, dice, iou
from trials.records.spec import Preparation, preparation_text
from trials.storage.atomic import exists, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScore:
    """Mean Dice and IoU (0..1) over the patients that hold a label."""

    dice: float
    iou: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttainableScore:
    """The highest scores that one kind of prepared data allows: its grid in words, and the scores
    of every label that some patient has.
    """

    grid: str
    by_label: Mapping[int, LabelScore]


def read_ceilings(out: Path, test: Counts) -> dict[str, AttainableScore]:
    """The ceilings in RUN/ceiling.json by the hash of the prepared data; empty if the file does not
    exist yet.

    Raises ValueError for a damaged file, and for ceilings of test cases or references that are not
    the run's.
    """
    path, tested = out / "ceiling.json", {*test.cases}
    if not exists(path) or not tested:
        return {}
    again = "delete it and run the grid again"
    try:
        found = {one.data: one for one in from_json(Ceilings, read_text(path)).ceilings}
        for one in found.values():
            refuse_overlaps(one.scores)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as ceilings ({error}); {again}") from None
    # Folds may have prepared sets of their own, each with the test cases of its fold.
    pooled: dict[Preparation, dict[tuple[str, int], CaseScore]] = defaultdict(dict)
    for one in found.values():
        pooled[one.preparation] |= {(score.case, score.label): score for score in one.scores}
    for scores in pooled.values():
        true = {place: score.true_voxels for place, score in scores.items() if place[0] in tested}
        ours = {
            (case, label): int(test.true[i, label])
            for i, case in enumerate(test.cases)
            for label in range(test.true.shape[1])
        }
        if true != ours:
            raise ValueError(
                f"{path} is about other test cases or references than the run's trials; {again}"
            )
    return {
        data: AttainableScore(
            grid=preparation_text(one.preparation),
            by_label=_mean_scores(
                [score for score in pooled[one.preparation].values() if score.case in tested], test
            ),
        )
        for data, one in found.items()
    }


def background_floor(test: Counts, annotated: Sequence[int] = ()) -> LabelScore:
    """The background scores of an empty prediction, averaged over the test patients; it scores 0 in
    every other class. annotated counts the voxels of each case; by default it is the sum of the
    classes, which is too much where regions overlap.
    """
    background = test.true[:, 0]
    voxels = np.array(annotated) if len(annotated) == len(background) else test.true.sum(axis=1)
    return LabelScore(
        dice=float(np.mean(by_patient(dice_of(background, voxels, background), test.patient_of))),
        iou=float(np.mean(by_patient(iou_of(background, voxels, background), test.patient_of))),
    )


def _mean_scores(scores: Sequence[CaseScore], test: Counts) -> dict[int, LabelScore]:
    """The means over patients, a patient's cases averaged first."""
    patient = dict(zip(test.cases, test.patient_of or test.cases, strict=True))
    held: dict[int, dict[str, list[tuple[int, int, int]]]] = {}
    for score in scores:
        if score.true_voxels:
            held.setdefault(score.label, {}).setdefault(patient[score.case], []).append(
                (score.true_voxels, score.pred_voxels, score.overlap_voxels)
            )
    return {
        label: LabelScore(
            dice=fmean(fmean(dice(*counts) for counts in of) for of in rows.values()),
            iou=fmean(fmean(iou(*counts) for counts in of) for of in rows.values()),
        )
        for label, rows in sorted(held.items())
    }
