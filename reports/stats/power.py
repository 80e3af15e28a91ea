"""Variance components of the scores, and how many more patients or seeds would resolve a difference
between two configurations.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

# At the two-sided 5 % level and 80 % power the difference must be this many standard errors.
ERRORS = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
# More patients or seeds than this count as infinitely many.
MANY = 100_000


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
class Gap:
    """A difference between two configurations and the components of its error.

    The variance of the mean over N patients and S seeds each is mix / N + rest / (N S) +
    seed_effect / S.
    """

    gap: float
    mix: float
    rest: float
    seed_effect: float

    def error(self, num_cases: float, num_seeds: float) -> float:
        """Standard error of the difference with this many patients and seeds."""
        return math.sqrt(
            (self.mix + self.rest / num_seeds) / num_cases + self.seed_effect / num_seeds
        )


def gap_of(differences: np.ndarray, seed_effect: float) -> Gap:
    """Split a paired difference, [S, N] without NaN, into patient x configuration and the rest;
    seed_effect is known from seed_variance.

    seed_effect is the variance between trainings of both configurations together. With one seed the
    rest is part of mix.
    """
    num_seeds, num_cases = differences.shape
    by_case = differences.mean(0)
    spread = float(by_case.var(ddof=1)) if num_cases > 1 else math.nan
    rest = 0.0
    if num_seeds > 1 and num_cases > 1:
        scatter = differences - differences.mean(1, keepdims=True) - by_case + differences.mean()
        rest = float((scatter**2).sum()) / ((num_seeds - 1) * (num_cases - 1))
    return Gap(
        gap=float(differences.mean()),
        mix=max(0.0, spread - rest / num_seeds),
        rest=rest,
        seed_effect=seed_effect,
    )


def cases_needed(gap: Gap, num_seeds: int) -> float:
    """Patients needed to detect the difference with 80 % power with this many seeds; inf if the
    variance between seeds alone is too large.
    """
    wanted = (gap.gap / ERRORS) ** 2 - gap.seed_effect / num_seeds
    return _whole((gap.mix + gap.rest / num_seeds) / wanted) if wanted > 0 else math.inf


def seeds_needed(gap: Gap, num_cases: int) -> float:
    """Seeds per configuration needed to detect the difference with 80 % power on this many
    patients; inf if the variance between patients alone is too large.
    """
    wanted = (gap.gap / ERRORS) ** 2 - gap.mix / num_cases
    return _whole((gap.rest / num_cases + gap.seed_effect) / wanted) if wanted > 0 else math.inf


def _whole(number: float) -> float:
    return math.inf if number > MANY else float(max(1, math.ceil(number - 1e-9)))
