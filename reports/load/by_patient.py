"""Scores of scans as scores of patients: a patient's scans are averaged before any statistic, so
that each patient counts once.

Scans of one patient are alike, so intervals and tests that take each scan as a unit are too sure. A
mean per patient is a summary measure (Matthews et al. 1990, BMJ 300:230), and a bootstrap over
patients draws whole clusters (Field and Welsh 2007, J. R. Stat. Soc. B 69:369).
"""

from collections.abc import Sequence

import numpy as np

from trials.records.grouping import Grouping, cases_by_patient


def patients_of(grouping: Grouping, cases: Sequence[str]) -> tuple[str, ...]:
    """The patient of each case, [N]; empty if each case is a patient."""
    if len(cases_by_patient(grouping, cases)) == len(cases):
        return ()
    return tuple(grouping.patients.get(case, case) for case in cases)


def folds_of_patients(folds: tuple[int, ...], patients: tuple[str, ...]) -> tuple[int, ...]:
    """The fold of each patient, in the order in which patients first appear; the folds of the cases
    if patients is empty.
    """
    if not patients or not folds:
        return folds
    return tuple(
        dict(zip(reversed(patients), reversed(folds), strict=True))[name]
        for name in dict.fromkeys(patients)
    )


def by_patient(values: np.ndarray, patients: tuple[str, ...], axis: int = -1) -> np.ndarray:
    """The mean of each patient's scans, NaN left out, along an axis of N scans: P patients in the
    order in which they first appear.

    NaN for a patient all of whose scans are NaN. The values as they are if patients is empty.
    """
    if not patients:
        return values
    moved = np.moveaxis(np.asarray(values, float), axis, -1)
    held = ~np.isnan(moved)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = _summed(np.where(held, moved, 0), patients) / _summed(held * 1.0, patients)
    return np.moveaxis(means, -1, axis)


def sum_by_patient(values: np.ndarray, patients: tuple[str, ...]) -> np.ndarray:
    """The sum over each patient's scans, [..., N] to [..., P]; the values as they are if patients
    is empty.
    """
    return _summed(values, patients) if patients else values


def _summed(values: np.ndarray, patients: tuple[str, ...]) -> np.ndarray:
    place = {name: i for i, name in enumerate(dict.fromkeys(patients))}
    index = np.array([place[name] for name in patients])
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(place)))
    return np.add.reduceat(values[..., order], starts, axis=-1)
