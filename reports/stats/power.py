"""Variance components of the scores, and what a number of patients and seeds can resolve."""

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import stats

from reports.stats.intervals import critical
from reports.stats.pairs import walsh_bound

LEVEL = 0.05
# At 80 % power a difference lies this many standard errors above the critical value.
POWER_SD = float(stats.norm.ppf(0.8))
# More patients or seeds than this are not advised.
MOST_PATIENTS, MOST_SEEDS = 10_000, 10
# Up to this many patients the power of the signed-rank test is taken from drawn samples.
DRAWN_PATIENTS, DRAW_SEED = 30, 20_250_112


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """Variance components of a single score: patient, configuration, their interaction (mix), seed,
    and the rest. NaN if unknown.
    """

    case: float
    configuration: float
    mix: float
    seed: float
    rest: float


def variance_split(values: np.ndarray) -> VarianceSplit | None:
    """Split the variance of [C, S, N], no NaN, by the analysis-of-variance estimator (method of
    moments), none below 0.

    The model: patient + configuration + patient x configuration + seed within configuration + rest,
    all random (Searle, Casella and McCulloch 1992, chapter 4). None for fewer than two
    configurations or patients; with one seed, seed is unknown and the rest is part of mix.
    """
    num_cells, num_seeds, num_cases = values.shape
    if num_cells < 2 or num_cases < 2:
        return None
    cells, cases, mixed = values.mean((1, 2)), values.mean((0, 1)), values.mean(1)
    total = values.mean()
    ms_cell = num_seeds * num_cases * ((cells - total) ** 2).sum() / (num_cells - 1)
    ms_case = num_seeds * num_cells * ((cases - total) ** 2).sum() / (num_cases - 1)
    mixing = mixed - cells[:, None] - cases + total
    ms_mix = num_seeds * (mixing**2).sum() / ((num_cells - 1) * (num_cases - 1))
    ms_seed = ms_rest = math.nan
    if num_seeds > 1:
        seeds = values.mean(2)
        ms_seed = num_cases * ((seeds - cells[:, None]) ** 2).sum() / (num_cells * (num_seeds - 1))
        rest = values - seeds[:, :, None] - mixed[:, None] + cells[:, None, None]
        ms_rest = (rest**2).sum() / (num_cells * (num_seeds - 1) * (num_cases - 1))
    between = ms_cell - ms_mix - (ms_seed - ms_rest if num_seeds > 1 else 0.0)
    parts = {
        "case": (ms_case - ms_mix) / (num_seeds * num_cells),
        "configuration": between / (num_seeds * num_cases),
        "mix": (ms_mix - ms_rest) / num_seeds if num_seeds > 1 else ms_mix,
        "seed": (ms_seed - ms_rest) / num_cases,
        "rest": ms_rest,
    }
    return VarianceSplit(
        **{
            name: value if math.isnan(value) else max(0.0, float(value))
            for name, value in parts.items()
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The components of the error of a difference.

    The variance of its mean over N patients and S seeds each is mix / N + rest / (N S) +
    seed_effect / S.
    """

    mix: float
    rest: float
    seed_effect: float


def spread_of(differences: np.ndarray, seed_effect: float) -> Spread:
    """Split a paired difference, [S, N] without NaN, into patient x configuration and the rest;
    seed_effect, the variance between trainings of all its configurations together, is known from
    seed_variance.

    With one seed the rest is part of mix. NaN for fewer than two patients.
    """
    num_seeds, num_cases = differences.shape
    by_case = differences.mean(0)
    spread = float(by_case.var(ddof=1)) if num_cases > 1 else math.nan
    rest = 0.0
    if num_seeds > 1 and num_cases > 1:
        scatter = differences - differences.mean(1, keepdims=True) - by_case + differences.mean()
        rest = float((scatter**2).sum()) / ((num_seeds - 1) * (num_cases - 1))
    return Spread(mix=max(0.0, spread - rest / num_seeds), rest=rest, seed_effect=seed_effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a comparison rests on: test patients, seeds of each configuration, the number of
    configurations with these seeds, the number of comparisons that Holm's correction covers, and
    the number of folds of a cross-validation.
    """

    patients: int
    seeds: int
    configurations: int
    comparisons: int = 1
    folds: int = 1

    @property
    def training_df(self) -> int:
        """The degrees of freedom of the variance between trainings (trainings.fold_variance)."""
        if self.folds > 1:
            return max(self.configurations - 1, 1) * (self.folds - 1)
        return self.configurations * (self.seeds - 1)

    @property
    def level(self) -> float:
        """The level of the comparison with the smallest p: that of Holm's first step."""
        return LEVEL / max(1, self.comparisons)


def smallest_p(num_patients: int) -> float:
    """The smallest two-sided p of Wilcoxon's signed-rank test of this many patients: all differ in
    one direction, which is 2 of 2^n ways to choose signs. 1 without a patient.
    """
    return min(1.0, 2.0 ** (1 - num_patients))


def fewest_patients(comparisons: int) -> int:
    """The number of patients below which no comparison can be resolved after Holm's correction:
    then the smallest p is not below its first step.
    """
    num = 1
    while smallest_p(num) >= LEVEL / max(1, comparisons):
        num += 1
    return num


def smallest_gap(spread: Spread, design: Design) -> float:
    """The smallest difference that is resolved with 80 % power, as the only one of its comparisons;
    inf if none can be resolved.

    The larger gap of the two tests: Student's t for patients and seeds, whose critical value is
    that of critical(), and Wilcoxon's signed-rank test for normal differences. NaN where the spread
    is unknown.
    """
    if design.training_df < 1 or design.patients < fewest_patients(design.comparisons):
        return math.inf
    df = (design.patients - 1, design.training_df)
    of_rest = spread.rest / design.seeds / design.patients
    of_cases = spread.mix / design.patients + of_rest
    of_seeds = spread.seed_effect / design.seeds
    error, tail = math.sqrt(of_cases + of_seeds), design.level / 2
    if error == 0 or math.isnan(error):
        return error
    # Several seeds on one split: the rest is estimated with the seeds, as in crossed_p().
    moved = of_rest if design.folds == 1 else 0.0
    parts = np.array(of_cases - moved), np.array(of_seeds + moved)
    limit = critical(*parts, df, tail, parts[1] if design.folds > 1 else None)
    by_t = error * (float(limit) + POWER_SD)
    by_ranks = signed_rank_gap(design.patients, tail) * math.sqrt(of_cases * design.patients)
    return max(by_t, by_ranks)


@cache
def signed_rank_gap(num_patients: int, tail: float) -> float:
    """The mean difference, in standard deviations, that Wilcoxon's test finds with 80 % power in
    this many patients whose differences are normal; inf if they are too few for the level.

    The test finds a difference where its k-th smallest Walsh average is above zero (Hollander,
    Wolfe and Chicken 2014, section 3.3). Up to 30 patients from 2,000 drawn samples; above, by its
    efficiency of 3 / pi relative to the t test (Lehmann 1975).
    """
    if num_patients > DRAWN_PATIENTS:
        return (float(stats.norm.isf(tail)) + POWER_SD) * math.sqrt(math.pi / 3 / num_patients)
    bound = walsh_bound(num_patients, 1 - 2 * tail)
    if bound == 0:
        return math.inf
    drawn = np.random.default_rng(DRAW_SEED).standard_normal((2000, num_patients))
    first, second = np.triu_indices(num_patients)
    walsh = (drawn[:, first] + drawn[:, second]) / 2
    return float(-np.quantile(np.partition(walsh, bound - 1, axis=1)[:, bound - 1], 0.2))


def patients_needed(gap: float, spread: Spread, design: Design) -> int | None:
    """The fewest test patients with which a difference of this size is resolved with 80 % power;
    None if no number up to MOST_PATIENTS is enough.
    """
    sizes = range(1, MOST_PATIENTS + 1)
    found = bisect_left(sizes, True, key=lambda n: _finds(gap, spread, replace(design, patients=n)))
    return sizes[found] if found < MOST_PATIENTS else None


def seeds_needed(gap: float, spread: Spread, design: Design) -> int | None:
    """The fewest seeds of each configuration with which a difference of this size is resolved with
    80 % power; None if MOST_SEEDS are not enough.
    """
    counts = range(2, MOST_SEEDS + 1)
    return next((n for n in counts if _finds(gap, spread, replace(design, seeds=n))), None)


def _finds(gap: float, spread: Spread, design: Design) -> bool:
    return smallest_gap(spread, design) <= abs(gap)
