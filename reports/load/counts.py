"""The final trials as one dense block of voxel counts, configuration x seed x case x label, and
their ratios by patient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.load.by_patient import by_patient, patients_of
from reports.load.run_folder import Run
from reports.table import dice_of

CELL = ["model", "loss", "sampling"]
Ratio = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Voxel counts of the complete final trials in one split and space.

    cases are sorted; true [N, K] is the reference, pred and overlap [C, S, N, K] follow the run's
    cells and seeds, available [C, S] says which of them exist (the others are zeros). patient_of
    [N] names the patient of each case; it is empty if each case is a patient. P counts patients.
    """

    cases: tuple[str, ...]
    true: np.ndarray
    pred: np.ndarray
    overlap: np.ndarray
    available: np.ndarray
    patient_of: tuple[str, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients in the order of their first cases, [P]."""
        return tuple(dict.fromkeys(self.patient_of)) or self.cases

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


def count(run: Run, scores: pd.DataFrame, split: str, space: str) -> Counts:
    """The counts of one split and space from the scores table; no patients if nothing was
    scored.
    """
    complete = {result.trial for result in run.finals}
    rows = scores[
        (scores["split"] == split) & (scores["space"] == space) & scores["trial"].isin(complete)
    ]
    cases = tuple(sorted(rows["case"].unique()))
    at = _places(run, rows, cases)
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
    )


def _places(run: Run, rows: pd.DataFrame, cases: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    cell_of = {(cell.model, cell.loss, cell.sampling): i for i, cell in enumerate(run.cells)}
    trials = {result.trial: result.spec for result in run.finals}
    cell_at = {
        name: cell_of[spec.cell.model, spec.cell.loss, spec.cell.sampling]
        for name, spec in trials.items()
    }
    seed_at = {name: run.seeds.index(spec.seed) for name, spec in trials.items()}
    case_at = {case: i for i, case in enumerate(cases)}
    trial, case = rows["trial"], rows["case"]
    return (
        places(trial, cell_at),
        places(trial, seed_at),
        places(case, case_at),
        rows["label"].to_numpy(np.int64),
    )


def places(column: pd.Series, place: Mapping[str, int]) -> np.ndarray:
    """The index of every value of a column, int64. Series.map takes ten times as long for many
    equal strings.
    """
    codes, values = column.factorize()
    return np.array([place[value] for value in values], np.int64)[codes]
