"""Paired tests over patients, many pairs at a time, and the correction for making many of them."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

# Up to this many patients the signed-rank distribution is exact, with ties and zeros; for more, the
# normal approximation is used.
EXACT_CASES = 50
FLIPS = 10_000
FLIP_SEED = 20_250_112


def wilcoxon(differences: np.ndarray) -> float:
    """signed_rank of a single pair, [N]; 1 without a patient."""
    return float(signed_rank(differences[None])[0])


def signed_rank(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of Wilcoxon's signed-rank test of every row of [P, N], with zeros ranked (Pratt
    1959).

    Exact up to 50 patients, over all sign flips of the observed ranks; the normal approximation
    with tie correction for more. 1 if no patient differs. Raises ValueError on NaN.
    """
    if np.isnan(differences).any():
        raise ValueError(
            "a paired test needs a difference for every patient; got NaN; drop these patients from "
            "both sides"
        )
    num_cases = differences.shape[1]
    if num_cases == 0:
        return np.ones(len(differences))
    # Differences of ratios of integers: a tie is broken by rounding errors alone below 1e-12.
    kept = np.round(differences, 12)
    ranks = np.where(kept == 0, 0, stats.rankdata(np.abs(kept), axis=1))
    positive = np.where(kept > 0, ranks, 0).sum(axis=1)
    if num_cases <= EXACT_CASES:
        return _exact(ranks, positive)
    spread = np.sqrt((ranks**2).sum(axis=1) / 4)
    away = np.abs(positive - ranks.sum(axis=1) / 2)
    return np.where(spread > 0, 2 * stats.norm.sf(away / np.where(spread > 0, spread, 1)), 1.0)


def _exact(ranks: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Ranks are multiples of 0.5, so the sum of the doubled ranks is an integer."""
    doubled, places = np.unique(
        np.sort(np.rint(2 * ranks).astype(np.int64), axis=1), axis=0, return_inverse=True
    )
    p = np.empty(len(ranks))
    for i, row in enumerate(doubled):
        cumulative = np.cumsum(flip_distribution(row[row > 0]))
        of_row = np.flatnonzero(places.ravel() == i)
        at = np.rint(2 * positive[of_row]).astype(np.int64)
        above = 1 - np.where(at > 0, cumulative[np.maximum(at - 1, 0)], 0)
        p[of_row] = np.minimum(1, 2 * np.minimum(cumulative[at], above))
    return p


def flip_distribution(weights: np.ndarray) -> np.ndarray:
    """Probability of each sum 0..total of integer weights, [n], each included with probability
    1/2.
    """
    chances = np.zeros(int(weights.sum()) + 1)
    chances[0] = 1
    for weight in weights:
        shifted = np.zeros_like(chances)
        shifted[weight:] = chances[: len(chances) - weight]
        chances = (chances + shifted) / 2
    return chances


def sign_flip(differences: np.ndarray, flips: int = FLIPS, seed: int = FLIP_SEED) -> np.ndarray:
    """Two-sided p of the mean of every row of [P, N] under random sign flips of the patients; at
    least 1 / (flips + 1).
    """
    rng = np.random.default_rng(seed)
    observed = np.abs(differences.sum(axis=1)) - 1e-9
    reached = np.ones(len(differences))
    for start in range(0, flips, 1000):
        signs = (
            rng.integers(0, 2, (min(1000, flips - start), differences.shape[1]), dtype=np.int8)
            * 2.0
            - 1
        )
        reached += (np.abs(signs @ differences.T) >= observed).sum(axis=0)
    return reached / (flips + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that the chance of any false claim in the family stays below the level
    (Holm 1979).
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]))
    return [float(value) for value in adjusted]


def friedman(scores: np.ndarray) -> float:
    """p of Friedman's test that all columns of [N, L] have equal ranks; NaN for fewer than three
    columns or two rows.
    """
    if scores.shape[0] < 2 or scores.shape[1] < 3:
        return float("nan")
    kept = np.round(scores, 12)
    if not np.ptp(kept, axis=1).any():
        return 1.0
    return float(stats.friedmanchisquare(*kept.T).pvalue)


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Mean rank of every column of [N, L] over the rows; the largest value has rank 1, ties share
    their mean rank.
    """
    return stats.rankdata(-np.round(scores, 12), axis=1).mean(axis=0)


def critical_difference(levels: int, num_cases: int, level: float = 0.05) -> float:
    """Nemenyi's critical difference (1963): the smallest difference of two mean ranks that is
    significant, for this many levels and rows.

    Demsar 2006, equation for CD: q sqrt(L (L + 1) / (6 N)), where q is the studentised range
    quantile over sqrt(2).
    """
    q = stats.studentized_range.ppf(1 - level, levels, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(levels * (levels + 1) / (6 * num_cases)))
