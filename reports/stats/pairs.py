"""The size and the certainty of differences between two configurations, for many pairs at a time;
patients are the unit.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

from reports.stats.tests import EXACT_CASES, flip_distribution

# From 1 to 1e-15: p is interpolated between them, right to a relative error of 1e-5.
LOG_P = np.linspace(0, np.log(1e-15), 2000)
P_GRID = np.exp(LOG_P)


def hodges_lehmann(
    differences: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median of the Walsh averages of every row of [P, N] with its interval: estimate, low, high,
    each [P].

    The interval inverts the signed-rank test (Hollander, Wolfe and Chicken 2014, section 3.3),
    exactly up to 50 patients. NaN without a patient; the interval also if there are too few
    patients for the level.
    """
    num = differences.shape[1]
    if num == 0:
        nothing = np.full(len(differences), np.nan)
        return nothing, nothing, nothing
    first, second = np.triu_indices(num)
    estimate, low, high = (np.full(len(differences), np.nan) for _ in range(3))
    bound = walsh_bound(num, level)
    # A thousand pairs of 81 patients have 3 million averages, so they are sorted in blocks.
    for start in range(0, len(differences), 256):
        rows = slice(start, start + 256)
        walsh = np.sort((differences[rows][:, first] + differences[rows][:, second]) / 2, axis=1)
        estimate[rows] = np.median(walsh, axis=1)
        if bound > 0:
            low[rows], high[rows] = walsh[:, bound - 1], walsh[:, -bound]
    return estimate, low, high


def walsh_bound(num: int, level: float) -> int:
    """Which Walsh average from either end bounds the interval, counted from 1; 0 if the level
    cannot be reached.
    """
    tail = (1 - level) / 2
    if num <= EXACT_CASES:
        return int(
            np.searchsorted(np.cumsum(flip_distribution(np.arange(1, num + 1))), tail, side="right")
        )
    mean, spread = num * (num + 1) / 4, np.sqrt(num * (num + 1) * (2 * num + 1) / 24)
    return int(np.floor(mean + stats.norm.ppf(tail) * spread))


def superiority(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability that the first of a pair scores higher on a new patient, ties count half, with
    its 95 % interval; rows of [P, N].

    The interval is Wilson's (1927) for a share of N. NaN without a patient.
    """
    num = differences.shape[1]
    kept = np.round(differences, 12)
    if num == 0:
        nothing = np.full(len(kept), np.nan)
        return nothing, nothing, nothing
    share = ((kept > 0) + (kept == 0) / 2).mean(axis=1)
    z = stats.norm.ppf(0.975)
    middle, half = (
        share + z**2 / (2 * num),
        z * np.sqrt(share * (1 - share) / num + z**2 / (4 * num**2)),
    )
    return share, (middle - half) / (1 + z**2 / num), (middle + half) / (1 + z**2 / num)


@lru_cache(maxsize=16)
def _quantiles(df: int) -> np.ndarray:
    """Student's two-sided quantiles at every p of P_GRID."""
    return np.asarray(stats.t.isf(P_GRID / 2, df))


def crossed_p(
    differences: np.ndarray,
    of_seeds: np.ndarray,
    df: tuple[int, int],
    of_folds: np.ndarray | None = None,
    of_rest: np.ndarray | None = None,
) -> np.ndarray:
    """Two-sided p of the mean difference of every pair, with patients and trainings random.

    differences [P, N] are averages over seeds; of_seeds [P] is the variance of their mean that is
    due to seeds (seed_variance over the number of seeds, for both sides). df are the degrees of
    freedom of patients and of seeds, 0 where the variance between seeds is unknown; of_folds [P] is
    as in critical(). The p at which the difference reaches critical() standard errors. 1 if nothing
    differs; NaN for fewer than two patients.

    of_rest [P] is the part of of_seeds and of the variance over patients that is due to patients in
    single trainings; it is subtracted from of_seeds, which is not cut off at 0. It counts with the
    seeds: the mean square of the seeds holds it, and the level is kept for parts that are estimated
    apart (Banerjee 1960).
    """
    num = differences.shape[1]
    if num < 2 or df[0] < 1:
        return np.full(len(differences), np.nan)
    mean = np.abs(differences.mean(axis=1))
    of_cases = differences.var(axis=1, ddof=1) / num
    if df[1] and of_rest is not None:
        of_cases, of_seeds = np.maximum(0, of_cases - of_rest), np.maximum(0, of_seeds + of_rest)
    squared = _quantiles(df[0]) ** 2 * of_cases[:, None]
    if df[1]:
        squared = squared + _quantiles(df[1]) ** 2 * of_seeds[:, None]
    if df[1] and of_folds is not None:
        squared = np.maximum(squared, _quantiles(df[1]) ** 2 * (of_cases + of_folds)[:, None])
    limits = np.sqrt(squared)
    p = np.array([np.interp(m, row, LOG_P) for m, row in zip(mean, limits, strict=True)])
    return np.where(mean < 1e-12, 1.0, np.where(limits[:, -1] == 0, 0.0, np.exp(p)))
