"""Scores by patient, which is the unit of every statistic. P counts patients; below, N those that
count.
"""

import numpy as np

from reports.analysis.summary import MEAN
from reports.load.counts import Counts
from reports.stats.intervals import class_shares, nan_mean


def held_labels(counts: Counts) -> list[int]:
    """The foreground labels that at least one patient's reference has."""
    return [label for label in range(1, counts.true.shape[1]) if counts.num_holding(label)]


def counted_cases(counts: Counts, label: int) -> np.ndarray:
    """The indices of the patients that a label's score is over; for MEAN, those that have any
    label.
    """
    labels = range(1, counts.true.shape[1]) if label == MEAN else (label,)
    return np.flatnonzero(np.any([counts.holding(of) for of in labels], axis=0))


def counted_folds(counts: Counts, label: int) -> tuple[int, ...]:
    """The fold of each counted patient; empty for a run of one fold."""
    folds = counts.patient_folds
    return tuple(folds[n] for n in counted_cases(counts, label) if folds)


def patient_dice(counts: Counts, label: int) -> np.ndarray:
    """Dice of every counted patient, [C, S, N]; for MEAN a patient's mean over the labels its
    reference has.

    NaN if a seed is missing.
    """
    cases = counted_cases(counts, label)
    if label != MEAN:
        return counts.ratio(label)[:, :, cases]
    held = held_labels(counts)
    if not held:
        return np.full((*counts.available.shape, 0), np.nan)
    return nan_mean(np.stack([counts.ratio(of)[:, :, cases] for of in held]), 0)


def patient_parts(counts: Counts, label: int) -> np.ndarray:
    """What each patient adds to a mean, [C, S, N]: the mean of these over N is the mean over the
    patients that have the label, for MEAN the mean of the classes.

    For MEAN a patient's own Dice of each class it has, times the share of that class's patients
    that it is. Unlike patient_shares, a patient's part depends on no other patient's score, so the
    sign of a difference can be flipped patient by patient. NaN if a seed is missing.
    """
    cases, held = counted_cases(counts, label), held_labels(counts)
    if label != MEAN or not held:
        return patient_dice(counts, label)
    weighed = [
        counts.ratio(of)[:, :, cases] * len(cases) / (len(held) * counts.num_holding(of))
        for of in held
    ]
    known = counts.available[:, :, None]
    return np.where(known, np.nan_to_num(weighed).sum(axis=0), np.nan)


def patient_shares(counts: Counts) -> np.ndarray:
    """The contribution of each counted patient to the mean of the classes, [C, S, N], see
    class_shares; no patient if no patient has a label.
    """
    cases = counted_cases(counts, MEAN)
    held = held_labels(counts)
    if not held:
        return np.full((*counts.available.shape, 0), np.nan)
    return class_shares([counts.ratio(label)[:, :, cases] for label in held])
