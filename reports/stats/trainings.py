"""What trainings add to the error of a mean over patients: several seeds on one split, or the
trainings of a cross-validation, one for each fold.

In a cross-validation the trainings of a fold share their training cases and are tested on other
patients than those of the next fold. Seeds alone would not show what another training set changes,
so the variance is taken from how the differences between configurations vary from fold to fold,
beyond what their patients explain. What all configurations of a fold have in common, an easy group
of patients or a good training set, cannot be told apart and counts as patients; training sets
overlap, so no estimator without bias exists (Bengio and Grandvalet 2004, JMLR 5:1089).
"""

from collections.abc import Sequence

import numpy as np

from reports.stats.intervals import (
    DRAWS,
    SEED,
    draw_seeds,
    nan_mean,
    seed_effects,
    seed_squares,
    seed_variance,
)


def training_variance(values: np.ndarray, folds: Sequence[int] = ()) -> tuple[np.ndarray, int]:
    """The variance of every configuration's mean that is due to its trainings, [C], and its degrees
    of freedom.

    values [C, S, N] is NaN where a patient does not count or a seed is missing; folds [N] names the
    fold that tests each patient, empty for one split. Zeros and 0 if no configuration has two
    trainings.
    """
    if len(set(folds)) > 1:
        variance, df = fold_variance(values, folds)
        shares = fold_shares(values, folds)
        return np.full(len(values), variance * float((shares**2).sum())), df
    variance, df = seed_variance(values)
    seeds = (~np.isnan(values)).any(axis=2).sum(axis=1)
    return variance / np.maximum(seeds, 1), df


def seed_parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The variance of every configuration's mean that is due to seeds, not cut off at 0, and the
    part that is due to patients in single trainings, [C] each.
    """
    means, rest, _ = seed_squares(values)
    seeds = np.maximum((~np.isnan(values)).any(axis=2).sum(axis=1), 1)
    return (means - rest) / seeds, rest / seeds


def fold_excess(values: np.ndarray, folds: Sequence[int] = ()) -> np.ndarray | None:
    """What training_variance cuts off at 0: below 0 where folds differ by less than their patients
    explain, [C]. None for one split.
    """
    if len(set(folds)) < 2:
        return None
    excess, _ = _excess(values, folds)
    return np.full(len(values), excess * float((fold_shares(values, folds) ** 2).sum()))


def fold_variance(values: np.ndarray, folds: Sequence[int]) -> tuple[float, int]:
    """Variance between the trainings of one configuration in different folds, seeds averaged first,
    and its degrees of freedom.

    The one-way random-effects analysis of variance with unequal groups (Searle, Casella and
    McCulloch 1992, section 3.6) of each patient's difference from the mean of all configurations,
    pooled over them and never below 0; of the scores themselves for one configuration. (0, 0) for
    fewer than two folds, or not more patients than folds.
    """
    excess, df = _excess(values, folds)
    return max(0.0, excess), df


def _excess(values: np.ndarray, folds: Sequence[int]) -> tuple[float, int]:
    """fold_variance before it is cut off at 0."""
    by_case, group, sizes = _grouped(values, folds)
    by_case = by_case[~np.isnan(by_case).any(axis=1)]
    (num_cells, num_cases), num_folds = by_case.shape, len(sizes)
    if not num_cells or num_folds < 2 or num_cases <= num_folds:
        return 0.0, 0
    own = by_case - by_case.mean(axis=0) if num_cells > 1 else by_case
    means = _fold_means(own, group, num_folds)
    free = max(num_cells - 1, 1)
    between = (sizes * (means - own.mean(axis=1, keepdims=True)) ** 2).sum()
    within = ((own - means[:, group]) ** 2).sum()
    df = free * (num_folds - 1)
    size = (num_cases - (sizes**2).sum() / num_cases) / (num_folds - 1)
    excess = between / df - within / (free * (num_cases - num_folds))
    return float(excess / size), df


def fold_shares(values: np.ndarray, folds: Sequence[int]) -> np.ndarray:
    """The share of the counted patients in each fold that has any, [F]; sums to 1."""
    _, _, sizes = _grouped(values, folds)
    return sizes / max(sizes.sum(), 1)


def draw_trainings(
    available: np.ndarray, folds: Sequence[int] = (), draws: int = DRAWS
) -> np.ndarray:
    """Draw an effect with replacement for every training: indices into the pool of
    training_effects, [draws, C, S], or [draws, C, F] for several folds.
    """
    if (num_folds := len(set(folds))) < 2:
        return draw_seeds(available, draws)
    size = int(available.any(axis=1).sum()) * num_folds
    shape = (draws, len(available), num_folds if size else 0)
    generator = np.random.default_rng((SEED, num_folds, size))
    return generator.integers(0, max(size, 1), shape, dtype=np.int32)


def training_effects(
    values: np.ndarray, picks: np.ndarray, folds: Sequence[int] = ()
) -> np.ndarray:
    """The effect of trainings on every configuration's mean in every draw, [B, C]; see
    seed_effects. The pool of several folds holds each configuration's difference from its mean, and
    from the mean of the fold, scaled to fold_variance.
    """
    if len(set(folds)) < 2:
        return seed_effects(values, picks)
    by_case, group, sizes = _grouped(values, folds)
    names = sorted(set(folds))
    counted = [names.index(fold) for fold in sorted({folds[n] for n in _counted(values)})]
    scored = ~np.isnan(by_case).all(axis=1)
    own = by_case[scored] - nan_mean(by_case[scored], 0) if scored.sum() > 1 else by_case[scored]
    pool = np.zeros((int(scored.sum()), len(names)))
    if pool.size and counted:
        means = _fold_means(own, group, len(sizes))
        pool[:, counted] = np.nan_to_num(means - nan_mean(own, 1)[:, None])
    spread, wanted = float(np.mean(pool**2)) if pool.size else 0.0, fold_variance(values, folds)[0]
    if spread == 0 or wanted == 0 or picks.shape[2] == 0:
        return np.zeros(picks.shape[:2])
    shares = np.zeros(len(names))
    shares[counted] = sizes / sizes.sum()
    scaled = (pool * np.sqrt(wanted / spread)).ravel()
    total = np.zeros(picks.shape[:2])
    for fold, share in enumerate(shares):
        total += share * scaled[picks[:, :, fold]]
    return total


def _counted(values: np.ndarray) -> np.ndarray:
    """The patients that count, as indices."""
    return np.flatnonzero(~np.isnan(values).all(axis=(0, 1)))


def _grouped(values: np.ndarray, folds: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The counted patients: seeds averaged [C, N], the place of each one's fold [N], and the number
    of patients of each fold.
    """
    counted = _counted(values)
    of_folds = np.asarray(folds, np.int64)[counted]
    _, group, sizes = np.unique(of_folds, return_inverse=True, return_counts=True)
    return nan_mean(values[:, :, counted], 1), group.ravel(), sizes


def _fold_means(by_case: np.ndarray, group: np.ndarray, num_folds: int) -> np.ndarray:
    """The mean of each fold's patients, [C, N] to [C, F]."""
    return np.stack([nan_mean(by_case[:, group == fold], 1) for fold in range(num_folds)], axis=1)
