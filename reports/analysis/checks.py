"""What must be true before a number is shown: errors that name the trial, the patient and the
fix.
"""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports.analysis.summary import ScoreSummary
from reports.audit.rules import feasible
from reports.formatting import cell_name
from reports.load.run_folder import Run
from trials.records.grouping import divided_patients
from trials.records.result import NATIVE, PREPARED, TrialResult
from trials.records.spec import FINAL

PLACE = ["split", "space", "case", "label"]


def refuse_unsound(run: Run, scores: pd.DataFrame) -> None:
    """Raise ValueError if the results in this folder cannot be compared on one page.

    A patient counts once per trial; a cell has one final trial per seed and fold; counts are
    possible; final trials of a fold were scored on the same patients, all against the same
    references; a patient is tested in one fold; only final trials used the test split.
    """
    _refuse_impossible_counts(scores)
    _refuse_double_cases(scores)
    _refuse_double_trials(run)
    _refuse_test_before_final(scores)
    complete = {result.trial for result in run.finals}
    finals = scores[scores["trial"].isin(complete)]
    _refuse_missing_labels(run, finals)
    _refuse_other_cases(run, finals)
    _refuse_shared_tests(run, finals)
    _refuse_other_references(finals)


def refuse_infeasible(
    run: Run, space: str, summaries: Mapping[tuple[int, int], ScoreSummary]
) -> None:
    """Raise ValueError if a mean breaks IoU <= Dice <= 2 IoU / (1 + IoU)."""
    for (i, label), summary in summaries.items():
        if not math.isnan(summary.dice) and not feasible(summary.dice, summary.iou):
            place = f"{cell_name(run.cells[i])}, label {label}, {space} space"
            raise ValueError(
                f"{place}: Dice {summary.dice} and IoU {summary.iou} contradict each other, so "
                "the counts are damaged; run the grid again"
            )


def _refuse_impossible_counts(scores: pd.DataFrame) -> None:
    smaller = np.minimum(scores["true_voxels"], scores["pred_voxels"])
    wrong = scores[(scores["overlap_voxels"] < 0) | (scores["overlap_voxels"] > smaller)]
    if len(wrong):
        row = wrong.iloc[0]
        raise ValueError(
            f"trial {row['trial']}: {row['case']} {row['class_name']} has {row['overlap_voxels']} "
            f"overlapping voxels, but {row['true_voxels']} true and {row['pred_voxels']} "
            "predicted ones; delete the trial's folder and run the grid again"
        )


def _refuse_double_cases(scores: pd.DataFrame) -> None:
    double = scores[scores.duplicated(["trial", *PLACE])]
    if len(double):
        row = double.iloc[0]
        raise ValueError(
            f"trial {row['trial']} counts {row['case']} twice ({row['split']}, "
            f"{row['class_name']}, {row['space']}); "
            "delete its folder and run the grid again"
        )


def _refuse_double_trials(run: Run) -> None:
    seen: dict[tuple[object, int, int], TrialResult] = {}
    for result in run.results:
        if result.spec.phase != FINAL:
            continue
        spec = result.spec
        other = seen.setdefault((spec.cell, spec.seed, spec.fold), result)
        if other is not result:
            raise ValueError(
                f"{_name(run, result)} has two final trials, {other.trial} and {result.trial}, so "
                "its patients would count twice; delete the folder of the older one"
            )


def _refuse_test_before_final(scores: pd.DataFrame) -> None:
    early = scores[(scores["split"] == "test") & (scores["phase"] != FINAL)]
    if len(early):
        row = early.iloc[0]
        raise ValueError(
            f"{row['phase']} trial {row['trial']} was scored on test case {row['case']}, but only "
            "final trials may use the test split; delete its folder and run the grid again"
        )


def _refuse_missing_labels(run: Run, finals: pd.DataFrame) -> None:
    held = finals.groupby(["trial", "split", "space", "case"])["label"].size().reset_index()
    short = held[held["label"] != len(run.classes)]
    if len(short):
        place = short.iloc[0]
        raise ValueError(
            f"trial {place['trial']} scores {place['label']} of {len(run.classes)} labels of "
            f"{place['split']} case "
            f"{place['case']} ({place['space']} space); delete its folder and run the grid again"
        )


def _refuse_other_cases(run: Run, finals: pd.DataFrame) -> None:
    """The native grid is scored by every trial of a fold, the prepared one by those of the
    preparation that is shown (on_one_grid).
    """
    on_prepared = set(finals.loc[finals["space"] == PREPARED, "trial"])
    shown = {one.spec.recipe.preparation for one in run.finals if one.trial in on_prepared}
    expected = {
        NATIVE: Counter(one.spec.fold for one in run.finals),
        PREPARED: Counter(
            one.spec.fold for one in run.finals if one.spec.recipe.preparation in shown
        ),
    }
    times = finals.groupby(["fold", *PLACE])["trial"].nunique().reset_index()
    wanted = [
        expected[space][fold] for fold, space in zip(times["fold"], times["space"], strict=True)
    ]
    lacking = times[times["trial"] != wanted]
    if len(lacking):
        place = lacking.iloc[0]
        of_fold = [
            one
            for one in run.finals
            if one.spec.fold == place["fold"]
            and (place["space"] == NATIVE or one.spec.recipe.preparation in shown)
        ]
        with_it = set(finals.loc[(finals[PLACE] == place[PLACE]).all(axis=1), "trial"])
        one = next(result for result in of_fold if result.trial in with_it)
        other = next(result for result in of_fold if result.trial not in with_it)
        raise ValueError(
            f"{_name(run, one)} and {_name(run, other)} were scored on different {place['split']} "
            f"cases ({place['space']} space): only the first has {place['case']}, label "
            f"{place['label']}; score both on the same cases"
        )


def _refuse_shared_tests(run: Run, finals: pd.DataFrame) -> None:
    tested = finals.loc[finals["split"] == "test", ["fold", "case"]].drop_duplicates()
    parts = {str(fold): cases for fold, cases in tested.groupby("fold")["case"]}
    for patient, folds in divided_patients(run.grouping, parts).items():
        raise ValueError(
            f"patient {patient} was tested in folds {' and '.join(folds)}, so it would count "
            "twice; each patient must be in the test part of one fold"
        )


def _refuse_other_references(finals: pd.DataFrame) -> None:
    bounds = finals.groupby(PLACE)["true_voxels"].agg(["min", "max"]).reset_index()
    changed = bounds[bounds["min"] != bounds["max"]]
    if len(changed):
        place = changed.iloc[0]
        raise ValueError(
            f"{place['case']}: label {place['label']} has {place['min']} reference voxels in one "
            f"trial and {place['max']} in another ({place['split']}, {place['space']} space), so "
            "the data changed between trials; run them all on one version of the data"
        )


def _name(run: Run, result: TrialResult) -> str:
    fold = f" fold {result.spec.fold}" if len(run.folds) > 1 else ""
    return f"{cell_name(result.spec.cell)} seed {result.spec.seed}{fold}"
