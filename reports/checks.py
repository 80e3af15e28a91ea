"""What must hold before a number is printed: refusals that name the trial, the patient and the way out."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports.audit import feasible
from reports.run_folder import Run
from reports.summary import Standing
from reports.wording import cell_name
from trials.result import TrialResult
from trials.spec import FINAL

PLACE = ["split", "space", "case", "label"]


def refuse_unsound(run: Run, scores: pd.DataFrame) -> None:
    """Raise ValueError if the results in this folder cannot stand beside each other on one page.

    A patient counts once per trial; a cell has one final trial per seed; counts are possible; finals of one split were
    scored on the same patients against the same references; only final trials opened the test split.
    """
    _refuse_impossible_counts(scores)
    _refuse_double_cases(scores)
    _refuse_double_trials(run)
    _refuse_test_before_final(scores)
    complete = {result.trial for result in run.finals}
    finals = scores[scores["trial"].isin(complete)]
    _refuse_other_cases(run, finals)
    _refuse_other_references(finals)


def refuse_infeasible(run: Run, space: str, standings: Mapping[tuple[int, int], Standing]) -> None:
    """Raise ValueError if a mean we are about to print breaks IoU <= Dice <= 2 IoU / (1 + IoU)."""
    for (i, label), standing in standings.items():
        if not math.isnan(standing.dice) and not feasible(standing.dice, standing.iou):
            place = f"{cell_name(run.cells[i])}, label {label}, {space} space"
            raise ValueError(
                f"{place}: Dice {standing.dice} and IoU {standing.iou} contradict each other; the counts are damaged"
            )


def _refuse_impossible_counts(scores: pd.DataFrame) -> None:
    smaller = np.minimum(scores["true_voxels"], scores["pred_voxels"])
    wrong = scores[(scores["overlap_voxels"] < 0) | (scores["overlap_voxels"] > smaller)]
    if len(wrong):
        row = wrong.iloc[0]
        raise ValueError(
            f"trial {row.trial}: {row.case} {row.class_name} overlaps in {row.overlap_voxels} voxels of {row.true_voxels} true "
            f"and {row.pred_voxels} predicted; the result is damaged, delete its folder and run the grid again"
        )


def _refuse_double_cases(scores: pd.DataFrame) -> None:
    double = scores[scores.duplicated(["trial", *PLACE])]
    if len(double):
        row = double.iloc[0]
        raise ValueError(
            f"trial {row.trial} counts {row.case} twice ({row.split}, {row.class_name}, {row.space}); "
            "delete its folder and run the grid again"
        )


def _refuse_double_trials(run: Run) -> None:
    seen: dict[tuple[object, int], TrialResult] = {}
    for result in run.results:
        if result.spec.phase != FINAL:
            continue
        other = seen.setdefault((result.spec.cell, result.spec.seed), result)
        if other is not result:
            raise ValueError(
                f"{cell_name(result.spec.cell)} seed {result.spec.seed} has two final trials, {other.trial} and {result.trial}, "
                "and its patients would count twice; remove the folder of the one that an earlier run left"
            )


def _refuse_test_before_final(scores: pd.DataFrame) -> None:
    early = scores[(scores["split"] == "test") & (scores["phase"] != FINAL)]
    if len(early):
        row = early.iloc[0]
        raise ValueError(
            f"{row.phase} trial {row.trial} was scored on test case {row.case}; only final trials may open the test split"
        )


def _refuse_other_cases(run: Run, finals: pd.DataFrame) -> None:
    placed = {result.trial: f"{cell_name(result.spec.cell)} seed {result.spec.seed}" for result in run.finals}
    for (split, space), rows in finals.groupby(["split", "space"]):
        scored = {trial: set(zip(block["case"], block["label"], strict=True)) for trial, block in rows.groupby("trial")}
        scored |= {trial: set() for trial in placed if trial not in scored}
        first, *others = sorted(scored)
        for other in others:
            if odd := sorted(scored[first] ^ scored[other]):
                raise ValueError(
                    f"{placed[first]} and {placed[other]} were scored on different {split} cases ({space} space): "
                    f"{odd[0][0]}, label {odd[0][1]}, is in one of them only; score both on the same cases"
                )


def _refuse_other_references(finals: pd.DataFrame) -> None:
    references = finals.groupby(PLACE)["true_voxels"]
    low, high = references.min(), references.max()
    if (low != high).any():
        split, space, case, label = (low != high).idxmax()
        raise ValueError(
            f"{case}: label {label} has {low[split, space, case, label]} reference voxels in one trial and "
            f"{high[split, space, case, label]} in another ({split}, {space} space); the data changed between trials, run them on one version"
        )
