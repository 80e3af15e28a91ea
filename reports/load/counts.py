"""The final trials as one dense block of voxel counts, configuration x seed x case x label, and
their ratios by patient.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from reports.load.by_patient import by_patient, folds_of_patients, patients_of
from reports.load.run_folder import Run
from reports.table import dice_of
from trials.records.result import PREPARED
from trials.records.spec import Cube

CELL = ["model", "loss", "sampling"]
Ratio = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Voxel counts of the pooled final trials in one split and space, of every fold together.

    cases are sorted; true [N, K] is the reference, pred and overlap [C, S, N, K] follow the run's
    cells and seeds, available [C, S] says which of them exist (the others are zeros). patient_of
    [N] names the patient of each case; it is empty if each case is a patient. P counts patients.
    fold_of [N] names the fold whose trials scored each case; it is empty for a run of one fold. A
    case that validates in two folds is there twice.
    """

    cases: tuple[str, ...]
    true: np.ndarray
    pred: np.ndarray
    overlap: np.ndarray
    available: np.ndarray
    patient_of: tuple[str, ...] = ()
    fold_of: tuple[int, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients in the order of their first cases, [P]."""
        return tuple(dict.fromkeys(self.patient_of)) or self.cases

    @property
    def patient_folds(self) -> tuple[int, ...]:
        """The fold of each patient, [P]; empty for a run of one fold."""
        return folds_of_patients(self.fold_of, self.patient_of)

    def of_fold(self, fold: int) -> "Counts":
        """The cases of one fold alone."""
        kept = [n for n, of in enumerate(self.fold_of) if of == fold]
        return replace(
            self,
            cases=tuple(self.cases[n] for n in kept),
            true=self.true[kept],
            pred=self.pred[:, :, kept],
            overlap=self.overlap[:, :, kept],
            patient_of=tuple(self.patient_of[n] for n in kept if self.patient_of),
            fold_of=(fold,) * len(kept),
        )

    def ratio(self, label: int, ratio: Ratio = dice_of) -> np.ndarray:
        """Dice (or another ratio of the counts) of one label as [C, S, P].

        The mean over a patient's cases whose reference has the label. NaN if a seed is missing, and
        for a patient without such a case.
        """
        true = np.broadcast_to(self.true[:, label], self.pred.shape[:3])
        values = ratio(true, self.pred[..., label], self.overlap[..., label])
        values = np.where((true > 0) & self.available[:, :, None], values, np.nan)
        return by_patient(values, self.patient_of)

    def holding(self, label: int) -> np.ndarray:
        """Whether the reference of each patient has the label, in any case: bool [P]."""
        return by_patient(self.true[:, label] > 0, self.patient_of) > 0

    def num_holding(self, label: int) -> int:
        """The number of patients whose reference has the label."""
        return int(self.holding(label).sum())

    def num_cases_holding(self, label: int) -> int:
        """The number of cases whose reference has the label."""
        return int((self.true[:, label] > 0).sum())

    def volumes(self, label: int, scale: np.ndarray) -> np.ndarray:
        """The reference's voxels of a label times scale [N], as the mean over a patient's cases
        that have it: [P], NaN for a patient without it.
        """
        of_case = np.where(self.true[:, label] > 0, self.true[:, label] * scale, np.nan)
        return by_patient(of_case, self.patient_of)

    def false_positives(self, label: int) -> np.ndarray:
        """Predicted voxels of a label in the cases without it, as the mean over a patient's: [C, S,
        patients with such a case]; NaN for missing seeds.
        """
        without = np.flatnonzero(self.true[:, label] == 0)
        pred = np.where(self.available[:, :, None], self.pred[:, :, without, label], np.nan)
        return by_patient(pred, tuple(self.patient_of[n] for n in without if self.patient_of))


def on_one_grid(run: Run, scores: pd.DataFrame) -> pd.DataFrame:
    """The scores with those on the prepared grid of one preparation alone, since each has voxels of
    its own: the cube that most trials have; without any cube, what most have.
    """
    of_trial = {result.trial: result.spec.recipe.preparation for result in run.results}
    numbers = Counter(of_trial.values())
    if len(numbers) < 2:
        return scores
    shown = max(numbers, key=lambda one: (isinstance(one, Cube), numbers[one]))
    others = [trial for trial, preparation in of_trial.items() if preparation != shown]
    return scores[(scores["space"] != PREPARED) | ~scores["trial"].isin(others)]


def count(run: Run, scores: pd.DataFrame, split: str, space: str) -> Counts:
    """The counts of one split and space from the scores table; no patients if nothing was
    scored.
    """
    pooled = {result.trial for result in run.pooled}
    rows = scores[
        (scores["split"] == split) & (scores["space"] == space) & scores["trial"].isin(pooled)
    ]
    cases, folds, at_case = cases_by_fold(run, rows)
    cell, seed = trial_places(run, rows["trial"])
    at = (cell, seed, at_case, rows["label"].to_numpy(np.int64))
    shape = (len(run.cells), len(run.seeds), len(cases), len(run.classes))
    pred, overlap, true = (
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape[2:], np.int64),
    )
    available = np.zeros(shape[:2], bool)
    if len(rows):
        pred[at], overlap[at] = rows["pred_voxels"], rows["overlap_voxels"]
        true[at[2:]] = rows["true_voxels"]
        available[at[:2]] = True
    return Counts(
        cases=cases,
        true=true,
        pred=pred,
        overlap=overlap,
        available=available,
        patient_of=patients_of(run.grouping, cases),
        fold_of=folds,
    )


def cases_by_fold(
    run: Run, rows: pd.DataFrame
) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    """The cases of a table's rows, each once for every fold that scored it, by name; the fold of
    each, empty for a run of one fold; and the place of every row's case among them.
    """
    names = sorted(rows["case"].unique())
    at_name = places(rows["case"], {name: i for i, name in enumerate(names)})
    at_fold = places(rows["fold"], {fold: i for i, fold in enumerate(run.folds)})
    keys, at = np.unique(at_name * len(run.folds) + at_fold, return_inverse=True)
    cases = tuple(names[key // len(run.folds)] for key in keys)
    folds = tuple(run.folds[key % len(run.folds)] for key in keys) if len(run.folds) > 1 else ()
    return cases, folds, at.ravel()


def trial_places(run: Run, trials: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The index of the configuration and of the seed of every final trial in a column."""
    cells = {cell: i for i, cell in enumerate(run.cells)}
    cell_at = {result.trial: cells[result.spec.cell] for result in run.finals}
    seed_at = {result.trial: run.seeds.index(result.spec.seed) for result in run.finals}
    return places(trials, cell_at), places(trials, seed_at)


def places(column: pd.Series, place: Mapping[Any, int]) -> np.ndarray:
    """The index of every value of a column, int64. Series.map takes ten times as long for many
    equal strings.
    """
    codes, values = column.factorize()
    return np.array([place[value] for value in values], np.int64)[codes]
