"""Bootstrap over patients with the effect of seeds: one set of draws for all configurations. Pure
numpy and scipy.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import stats

DRAWS = 10_000
SEED = 20_250_112


@lru_cache(maxsize=8)
def case_weights(num_cases: int, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Draw patients with replacement; returns [draws, N], how often each case was drawn, divided by
    N. Read-only.
    """
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(num_cases, np.full(num_cases, 1 / num_cases), size=draws) / num_cases
    weights.flags.writeable = False
    return weights


def draw_seeds(available: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Draw a seed effect with replacement for every training: [draws, C, S] indices into the run's
    pool (seed_effects).

    available is bool [C, S]. Empty, [draws, C, 0], if no configuration has two seeds, since the
    effect of seeds is unknown then.
    """
    size = int(available[available.sum(axis=1) > 1].sum())
    shape = (draws, len(available), available.shape[1] if size else 0)
    return np.random.default_rng((seed, size)).integers(0, max(size, 1), shape, dtype=np.int32)


def seed_variance(values: np.ndarray) -> tuple[float, int]:
    """Variance between the trainings of one configuration, over all patients, and its degrees of
    freedom.

    values [C, S, N] is NaN where a case does not count or a seed is missing. The mean squares of
    the seeds, minus the part that is due to patients, over the number of patients: a two-way
    random-effects analysis of variance, pooled over the configurations and never below 0 (Searle,
    Casella and McCulloch 1992, section 4.3). (0, 0) if no configuration has two seeds.
    """
    means, rest, df = seed_squares(values)
    return max(0.0, means - rest), df


def seed_squares(values: np.ndarray) -> tuple[float, float, int]:
    """What seed_variance subtracts: the mean square of the means of seeds, the part of it that is
    due to patients in single trainings, and the degrees of freedom of the first.
    """
    counted = values[:, :, ~np.isnan(values).all(axis=(0, 1))]
    num_cases = counted.shape[2]
    held = ~np.isnan(counted).any(axis=2) if num_cases else np.zeros(values.shape[:2], bool)
    several = held.sum(axis=1) > 1
    seeds_df = int((held.sum(axis=1) - 1)[several].sum())
    if not seeds_df:
        return 0.0, 0.0, 0
    block = np.where(held[:, :, None], counted, np.nan)[several]
    by_seed, by_case = nan_mean(block, 2)[:, :, None], nan_mean(block, 1)[:, None]
    mean = nan_mean(by_seed, 1)[:, None]
    between, rest = (
        np.nansum((by_seed - mean) ** 2),
        np.nansum((block - by_seed - by_case + mean) ** 2),
    )
    of_rest = float(rest) / max(num_cases * (num_cases - 1), 1)
    return float(between) / seeds_df, of_rest / seeds_df, seeds_df


def seed_effects(values: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """The effect of seeds on every configuration's mean in every draw: [B, C].

    The pool holds each training's difference from the mean of its configuration, scaled to
    seed_variance; a draw takes one for every seed of a configuration. Zero if the variance between
    seeds is unknown.
    """
    by_seed = nan_mean(values, 2)
    held = ~np.isnan(by_seed)
    pool = (by_seed - nan_mean(by_seed, 1)[:, None])[held & (held.sum(axis=1, keepdims=True) > 1)]
    spread, wanted = float(np.mean(pool**2)) if len(pool) else 0.0, seed_variance(values)[0]
    if spread == 0 or wanted == 0 or picks.shape[2] == 0:
        return np.zeros(picks.shape[:2])
    scaled, total = pool * np.sqrt(wanted / spread), np.zeros(picks.shape[:2])
    for seed in range(held.shape[1]):
        total += np.where(held[:, seed], scaled[picks[:, :, seed]], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / held.sum(axis=1)


def resample(values: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Mean of every configuration over the drawn patients, its seeds averaged first.

    values [C, S, N] is NaN where a case does not count and where a seed is missing; cases [B, N]
    are weights. Returns [B, C]: NaN where a draw holds none of the counted cases, and for a
    configuration without any seed.
    """
    by_case = nan_mean(values, 1)
    counted = ~np.isnan(by_case)
    anywhere = counted.any(axis=0)
    # A class counts in the same cases for all; a distance only where a prediction holds it too.
    is_shared = (counted == anywhere).all(axis=1) | ~counted.any(axis=1)
    drawn = (cases @ anywhere)[:, None] if is_shared.all() else cases @ counted.T
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (cases @ np.nan_to_num(by_case).T) / drawn
    return np.where(np.isnan(by_case).all(axis=1), np.nan, means)


def point(values: np.ndarray) -> np.ndarray:
    """Mean over the counted cases, then over the available seeds; [C, S, N] to [C], NaN if there
    are none.
    """
    return nan_mean(nan_mean(values, 2), 1)


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the values along an axis that are not NaN; NaN (and no warning) if there are none."""
    held = ~np.isnan(values)
    if held.size and held.all():
        return values.mean(axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(held, values, 0).sum(axis=axis) / held.sum(axis=axis)


def class_shares(values: Sequence[np.ndarray]) -> np.ndarray:
    """The contribution of each patient to the mean of classes, [C, S, N], from their scores, each
    [C, S, N] with NaN for a patient without the class; the mean of these over N is that mean.

    A class's mean plus the patient's difference from it, with a larger weight for a rarer class
    (the linearisation of a mean of ratios; Cochran 1977, chapter 6). NaN if a seed is missing, and
    for a patient without any class.
    """
    held = [(~np.isnan(of)).any(axis=(0, 1)) for of in values]
    anywhere = np.any(held, axis=0)
    shares = []
    for of, counted in zip(values, held, strict=True):
        means = nan_mean(of, 2)[:, :, None]
        distance = np.where(counted, of - means, 0)
        shares.append(means + distance * anywhere.sum() / max(counted.sum(), 1))
    return np.where(anywhere, np.mean(shares, axis=0), np.nan)


def nan_variance(values: np.ndarray) -> np.ndarray:
    """Variance of each column, [B, C] to [C], of the values that are not NaN; NaN (and no warning)
    if there are none.
    """
    return nan_mean((values - nan_mean(values, 0)) ** 2, 0)


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of each column of [B, C]; rows that are all NaN are ignored, and a column
    with NaN has none.
    """
    low, high = np.full(samples.shape[1], np.nan), np.full(samples.shape[1], np.nan)
    kept = samples[~np.isnan(samples).all(axis=1)]
    whole = ~np.isnan(kept).any(axis=0) if len(kept) else np.zeros(samples.shape[1], bool)
    if whole.any():
        tails = [(1 - level) / 2, (1 + level) / 2]
        low[whole], high[whole] = np.quantile(kept[:, whole], tails, axis=0)
    return low, high


def student_interval(
    estimates: np.ndarray,
    draws: np.ndarray,
    seed_effect: np.ndarray,
    df: tuple[int, int],
    level: float = 0.95,
    of_folds: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval of draws, [B, C], widened about the estimates, [C], for the
    uncertainty of few patients and seeds.

    seed_effect [B, C] is the part of the draws that is due to seeds; df are the degrees of freedom
    of the patients' part and of the seeds' part; of_folds [C] is as in critical(). The factor is
    the ratio of critical() to the quantile of the normal distribution, times sqrt(n / (n - 1)),
    because a bootstrap of n patients is too narrow by that factor (Hesterberg 2015). NaN where the
    draws are NaN, and with fewer than two patients.
    """
    low, high = interval(draws, level)
    if df[0] < 1:
        return np.full_like(low, np.nan), np.full_like(high, np.nan)
    of_seeds, of_cases = (
        nan_variance(seed_effect),
        nan_variance(draws - seed_effect) * (df[0] + 1) / df[0],
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        narrow = np.sqrt((of_cases + of_seeds) / nan_variance(draws))
    tail = (1 - level) / 2
    factor = critical(of_cases, of_seeds, df, tail, of_folds) / stats.norm.isf(tail)
    factor = factor * np.where(np.isfinite(narrow), narrow, 1)
    return estimates + factor * (low - estimates), estimates + factor * (high - estimates)


def critical(
    of_cases: np.ndarray,
    of_seeds: np.ndarray,
    df: tuple[int, int],
    tail: float,
    of_folds: np.ndarray | None = None,
) -> np.ndarray:
    """How many standard errors an estimate must exceed to be significant in one tail, for a
    variance that is the sum of a part of patients and a part of seeds, each estimated with its own
    degrees of freedom.

    Student's quantile of each part weighted by its variance: sqrt(sum(t_i^2 v_i) / sum(v_i)), which
    keeps the level whatever the true parts are (Banerjee 1960, Sankhya 22:357). The level of
    Satterthwaite's approximation is exceeded where few seeds are the larger part.

    That holds for parts that are estimated apart. The part of the trainings of several folds is
    what differences vary between folds beyond their patients, and few folds often give 0. Then
    of_folds, which is not cut off at 0, makes the limit at least Student's quantile of the
    trainings for the variance of the means of the folds, of_cases + of_folds. For two
    configurations and equal folds that is nearly the paired t test of these means.
    """
    of_patients = stats.t.isf(tail, df[0])
    of_trainings = stats.t.isf(tail, df[1]) if df[1] else of_patients
    total = of_cases + of_seeds
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = (of_patients**2 * of_cases + of_trainings**2 * of_seeds) / total
        if of_folds is not None:
            least = of_trainings**2 * (of_cases + of_folds) / total
            squared = np.where(total > 0, np.fmax(squared, least), squared)
    return np.sqrt(np.where(np.isnan(squared), of_patients**2, squared))


def rank_first(samples: np.ndarray) -> np.ndarray:
    """Share of draws in which each column of [B, C] is the largest; tied columns share a draw, NaN
    columns get 0.
    """
    kept = np.round(samples[~np.isnan(samples).all(axis=1)], 12)
    if len(kept) == 0:
        return np.zeros(samples.shape[1])
    first = kept == np.nanmax(kept, axis=1, keepdims=True)
    return (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
