"""Differences between predictions, or between means of several of them, and whether they are
resolved: the one test of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reports.analysis.patients import (
    counted_folds,
    patient_dice,
    patient_parts,
    patient_shares,
)
from reports.analysis.summary import MEAN, Resampled
from reports.load.counts import Counts
from reports.stats.effects import contrast
from reports.stats.intervals import nan_mean
from reports.stats.pairs import crossed_p
from reports.stats.power import LEVEL, Spread, spread_of
from reports.stats.tests import holm, signed_rank
from reports.stats.trainings import fold_excess, seed_parts, training_variance

# A pair of 64 configurations is one of 2,016: their resamples are summed in blocks.
BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasts:
    """Differences of mean Dice, [P] each: gap, and two p values before any correction.

    over_cases is Wilcoxon's signed-rank test over patients with Pratt's zeros (do these trainings
    differ?), over_seeds a t test with patients and trainings random (would new trainings differ?);
    NaN for fewer than two patients. seeds_known says that a configuration has two trainings:
    otherwise nothing is resolved. weights [P, C] are those of the predictions in each difference,
    label is a class or MEAN, the mean of the classes.
    """

    weights: np.ndarray
    label: int
    gap: np.ndarray
    over_cases: np.ndarray
    over_seeds: np.ndarray
    seeds_known: bool

    @property
    def p(self) -> np.ndarray:
        """The larger p of the two tests, [P]."""
        return np.maximum(self.over_cases, self.over_seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What is claimed of differences, [P] each: their 95 % interval, p after Holm's correction, and
    whether they are resolved.
    """

    low: np.ndarray
    high: np.ndarray
    adjusted: np.ndarray
    resolved: np.ndarray


def pair_weights(pairs: Sequence[tuple[int, int]], num: int) -> np.ndarray:
    """Weights [P, C] of the first prediction minus the second."""
    weights = np.zeros((len(pairs), num))
    for row, (i, j) in enumerate(pairs):
        weights[row, i] += 1
        weights[row, j] -= 1
    return weights


def all_pairs(resampled: Resampled) -> list[tuple[int, int]]:
    """Every two predictions that have a score."""
    return list(combinations(np.flatnonzero(~np.isnan(resampled.estimates[MEAN])).tolist(), 2))


def compare(weights: np.ndarray, counts: Counts, resampled: Resampled, label: int) -> Contrasts:
    """Test weighted sums of predictions, [P, C], in the mean Dice of a class or of the classes.

    Patients are the unit, averaged over seeds. A prediction of weight 0 may have no score.
    """
    parts = patient_parts(counts, label)
    has_patients = len(weights) > 0 and parts.shape[2] > 1
    return Contrasts(
        weights=weights,
        label=label,
        gap=contrast(weights, resampled.estimates[label]),
        over_cases=signed_rank(by_patient(weights, parts))
        if has_patients
        else np.full(len(weights), np.nan),
        over_seeds=_over_seeds(weights, counts, resampled, label),
        seeds_known=seeds_known(counts),
    )


def judge(several: Sequence[Contrasts], resampled: Resampled, planned: int = 0) -> list[Verdicts]:
    """The verdicts on differences that share one chance of a false claim, 5 %: Holm's correction
    over all of them, or over the planned number if it is larger.

    Each test is corrected on its own, and the larger p counts. A difference is resolved if that is
    below 5 %, its 95 % interval excludes zero and a configuration has two seeds.
    """
    of_cases, of_seeds = (
        _holm(np.concatenate([np.zeros(0), *(getattr(one, name) for one in several)]), planned)
        for name in ("over_cases", "over_seeds")
    )
    adjusted = np.maximum(of_cases, of_seeds)
    ends = np.cumsum([len(one.gap) for one in several]).tolist()
    return [
        _verdicts(one, adjusted[end - len(one.gap) : end], resampled)
        for one, end in zip(several, ends, strict=True)
    ]


def _holm(p: np.ndarray, planned: int = 0) -> np.ndarray:
    """Holm's correction of [P], NaN left out; over the planned number of tests if it is larger."""
    known = ~np.isnan(p)
    num = int(known.sum())
    adjusted = np.full(len(p), np.nan)
    adjusted[known] = holm([*p[known].tolist(), *[1.0] * (planned - num)])[:num]
    return adjusted


def _over_seeds(
    weights: np.ndarray, counts: Counts, resampled: Resampled, label: int
) -> np.ndarray:
    shares = patient_shares(counts) if label == MEAN else patient_dice(counts, label)
    folds, differences = counted_folds(counts, label), by_patient(weights, shares)
    if (excess := fold_excess(shares, folds)) is None:
        of_seeds, rest = (contrast(weights**2, part) for part in seed_parts(shares))
        return crossed_p(differences, of_seeds, resampled.df[label], of_rest=rest)
    variance, _ = training_variance(shares, folds)
    return crossed_p(
        differences,
        contrast(weights**2, variance),
        resampled.df[label],
        contrast(weights**2, excess),
    )


def _verdicts(found: Contrasts, adjusted: np.ndarray, resampled: Resampled) -> Verdicts:
    blocks = [found.weights[at : at + BLOCK] for at in range(0, len(found.weights), BLOCK)]
    bounds = [np.zeros((2, 0))] + [
        np.stack(resampled.contrast_interval(found.label, block)) for block in blocks
    ]
    low, high = np.concatenate(bounds, axis=1)
    with np.errstate(invalid="ignore"):
        resolved = (adjusted < LEVEL) & ((low > 0) | (high < 0)) & found.seeds_known
    return Verdicts(low=low, high=high, adjusted=adjusted, resolved=resolved)


def against(selected: int, counts: Counts, resampled: Resampled) -> dict[tuple[int, int], float]:
    """The corrected p of the selected configuration against every other prediction in every class,
    by (prediction, label).

    Wilcoxon's test is corrected over these; the t test over every pair, because that configuration
    may have been selected for a favourable seed.
    """
    pairs = all_pairs(resampled)
    mine = [row for row, pair in enumerate(pairs) if selected in pair]
    labels = [label for label in resampled.estimates if label > 0 and counts.num_holding(label)]
    weights = pair_weights(pairs, len(counts.available))
    of_cases = [compare(weights[mine], counts, resampled, label).over_cases for label in labels]
    of_seeds = [_over_seeds(weights, counts, resampled, label) for label in labels]
    cases = _holm(np.concatenate([np.zeros(0), *of_cases]))
    trainings = _holm(np.concatenate([np.zeros(0), *of_seeds])).reshape(len(labels), len(pairs))
    p = np.maximum(cases, trainings[:, mine].ravel())
    keys = [(sum(pairs[row]) - selected, label) for label in labels for row in mine]
    return dict(zip(keys, p.tolist(), strict=True))


def by_patient(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted sums of predictions in every patient, seeds averaged: [P, C] and [C, S, N] to [P,
    N].
    """
    return contrast(weights, nan_mean(values, 1).T).T


def spreads(weights: np.ndarray, counts: Counts, label: int) -> list[Spread]:
    """The components of the error of each difference, [P, C], over the seeds that all its
    predictions have.
    """
    values = patient_shares(counts) if label == MEAN else patient_dice(counts, label)
    variance, _ = training_variance(values, counted_folds(counts, label))
    by_seed = variance * counts.available.sum(axis=1)
    several = []
    for row in weights:
        used = row != 0
        shared = counts.available[used].all(axis=0)
        block = values[used][:, shared] if shared.any() else nan_mean(values[used], 1)[:, None]
        differences = np.einsum("c,csn->sn", row[used], block)
        several.append(spread_of(differences, float((row**2) @ by_seed)))
    return several


def seeds_known(counts: Counts) -> bool:
    """Whether any configuration has two trainings: two seeds, or one seed in two folds."""
    return len(set(counts.fold_of)) > 1 or bool((counts.available.sum(axis=1) > 1).any())
