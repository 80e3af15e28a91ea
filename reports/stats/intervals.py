"""Bootstrap over patients, with seeds resampled inside: one set of draws for every configuration. Pure numpy."""

import numpy as np
from scipy import stats

DRAWS = 10_000
SEED = 20_250_112


def case_weights(num_cases: int, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Draw patients with replacement; returns [draws, N], how often each case was drawn, over N."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_cases, np.full(num_cases, 1 / num_cases), size=draws) / num_cases


def seed_weights(available: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Draw seeds with replacement among those each configuration has.

    available is bool [C, S]; returns [draws, C, S], each [draw, c] summing to 1, or to 0 where c has no seed at all.
    S - 1 of S seeds are drawn, which makes the variance of the mean unbiased for few seeds (Rao and Wu 1988, their
    rescaled bootstrap). Configurations with the same seeds share their draws.
    """
    weights = np.zeros((draws, *available.shape))
    for pattern in np.unique(available, axis=0):
        held = np.flatnonzero(pattern)
        if len(held) == 0:
            continue
        size = max(len(held) - 1, 1)
        picks = np.random.default_rng((seed, *held)).multinomial(size, np.full(len(held), 1 / len(held)), size=draws)
        block = np.zeros((draws, len(pattern)))
        block[:, held] = picks / size
        weights[:, (available == pattern).all(axis=1)] = block[:, None]
    return weights


def resample(values: np.ndarray, cases: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Mean of every configuration in every draw: over the drawn cases, then over the drawn seeds.

    values [C, S, N] is NaN where a case does not count (the same cases for all) and where a seed is missing;
    cases [B, N] and seeds [B, C, S] are weights. Returns [B, C]: NaN where a draw holds none of the counted
    cases, and for a configuration without any seed.
    """
    counted = ~np.isnan(values).all(axis=(0, 1))
    flat = np.nan_to_num(values).reshape(-1, values.shape[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (cases @ flat.T) / (cases @ counted)[:, None]
    drawn = np.einsum("bcs,bcs->bc", means.reshape(len(cases), *values.shape[:2]), seeds)
    return np.where(seeds.any(axis=2), drawn, np.nan)


def point(values: np.ndarray) -> np.ndarray:
    """Mean over the counted cases, then over the seeds at hand; [C, S, N] to [C], NaN where there is nothing."""
    return nan_mean(nan_mean(values, 2), 1)


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is not NaN along an axis, NaN (and no warning) where nothing is."""
    held = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(held, values, 0).sum(axis=axis) / held.sum(axis=axis)


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of each column of [B, C]; draws that are NaN are set aside, all NaN gives NaN."""
    low, high = np.full(samples.shape[1], np.nan), np.full(samples.shape[1], np.nan)
    kept = samples[~np.isnan(samples).all(axis=1)]
    whole = ~np.isnan(kept).any(axis=0) if len(kept) else np.zeros(samples.shape[1], bool)
    if whole.any():
        tails = [(1 - level) / 2, (1 + level) / 2]
        low[whole], high[whole] = np.quantile(kept[:, whole], tails, axis=0)
    return low, high


def rank_first(samples: np.ndarray) -> np.ndarray:
    """Share of draws in which each column of [B, C] is the largest; ties share the draw, NaN columns get 0."""
    kept = samples[~np.isnan(samples).all(axis=1)]
    if len(kept) == 0:
        return np.zeros(samples.shape[1])
    first = kept == np.nanmax(kept, axis=1, keepdims=True)
    return (first / first.sum(axis=1, keepdims=True)).mean(axis=0)


def seed_interval(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of one paired difference per seed, [S]; unbounded for fewer than two."""
    num = len(differences)
    if num < 2:
        return -np.inf, np.inf
    half = stats.t.ppf((1 + level) / 2, num - 1) * differences.std(ddof=1) / np.sqrt(num)
    return float(differences.mean() - half), float(differences.mean() + half)


def smallest_gap(samples: np.ndarray, power: float = 0.8) -> float:
    """The gap that a two-sided 5 % comparison detects with that power: (1.96 + 0.84) standard errors at 80 %.

    samples [B, C] are resampled paired differences; the standard error is the median over the columns. NaN if none.
    """
    errors = np.array([np.nanstd(column) for column in samples.T if not np.isnan(column).all()])
    return float((stats.norm.ppf(0.975) + stats.norm.ppf(power)) * np.median(errors)) if len(errors) else float("nan")
