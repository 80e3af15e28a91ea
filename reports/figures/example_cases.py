"""The test patients of one trial, worst first, and which of them are shown as images."""

from dataclasses import dataclass

import numpy as np

from reports.analysis.context import Context
from trials.records.result import NATIVE, TrialResult, dice

NUM_WORST, NUM_RANDOM = 12, 4
RANDOM = "drawn at random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One test patient in one trial: mean Dice over the labels it has, and each label's Dice (NaN
    if absent).
    """

    case: str
    mean: float
    by_label: tuple[float, ...]
    false_voxels: tuple[int, ...]

    @property
    def held(self) -> list[int]:
        """The labels that the reference has."""
        return [label for label, value in enumerate(self.by_label, 1) if not np.isnan(value)]


def unit_of(context: Context) -> str:
    """What a test case is: a patient, or one scan of a patient who has several."""
    return "scan" if context.test[NATIVE].patient_of else "patient"


def patients_of(context: Context, trial: TrialResult) -> list[Patient]:
    """Every test patient, worst first; those without any label come last."""
    scores = {
        (score.case, score.label): score
        for score in trial.scores
        if score.split == "test" and score.space == NATIVE
    }
    patients = []
    for case in sorted({case for case, _ in scores}):
        of_case = [scores[case, label] for label in context.run.labels]
        by_label = tuple(
            dice(score.true_voxels, score.pred_voxels, score.overlap_voxels)
            if score.true_voxels
            else float("nan")
            for score in of_case
        )
        held = [value for value in by_label if not np.isnan(value)]
        mean = sum(held) / len(held) if held else float("nan")
        patients.append(
            Patient(
                case=case,
                mean=mean,
                by_label=by_label,
                false_voxels=tuple(s.pred_voxels - s.overlap_voxels for s in of_case),
            )
        )
    return sorted(
        patients, key=lambda patient: (np.isnan(patient.mean), patient.mean, patient.case)
    )


def select_example_cases(patients: list[Patient]) -> list[tuple[Patient, str]]:
    """The NUM_WORST worst patients, then NUM_RANDOM drawn from the rest at random (fixed seed),
    each with the reason why it is shown.
    """
    worst_ones = [
        (patient, f"worst {i + 1} of {len(patients)}")
        for i, patient in enumerate(patients[:NUM_WORST])
    ]
    rest = sorted(patients[NUM_WORST:], key=lambda patient: patient.case)
    drawn = np.random.default_rng(0).permutation(len(rest))[:NUM_RANDOM]
    return worst_ones + [(rest[i], RANDOM) for i in sorted(drawn)]
