"""The test patients of a configuration's first seed, worst first, and which of them are shown as
images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reports.analysis.context import Context
from trials.records.result import NATIVE, TrialResult, dice
from trials.records.spec import Cell

NUM_WORST, NUM_RANDOM = 12, 4
RANDOM = "drawn at random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One test patient in the trial that predicted it: mean Dice over the labels it has, and each
    label's Dice (NaN if absent).
    """

    trial: str
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


def first_seed(context: Context, cell: Cell) -> list[TrialResult]:
    """The trials of a configuration's first complete seed, one for each pooled fold."""
    mine = [result for result in context.run.pooled if result.spec.cell == cell]
    first = min(result.spec.seed for result in mine)
    return [result for result in mine if result.spec.seed == first]


def patients_of(context: Context, trials: Sequence[TrialResult]) -> list[Patient]:
    """Every test patient of these trials, worst first; those without any label come last."""
    patients = [patient for trial in trials for patient in _patients_of(context, trial)]
    return sorted(
        patients, key=lambda patient: (np.isnan(patient.mean), patient.mean, patient.case)
    )


def _patients_of(context: Context, trial: TrialResult) -> Iterator[Patient]:
    scores = {
        (score.case, score.label): score
        for score in trial.scores
        if score.split == "test" and score.space == NATIVE
    }
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
        yield Patient(
            trial=trial.trial,
            case=case,
            mean=mean,
            by_label=by_label,
            false_voxels=tuple(s.pred_voxels - s.overlap_voxels for s in of_case),
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
