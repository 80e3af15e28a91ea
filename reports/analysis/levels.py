"""Pairs of levels of a factor over the settings that both have: the difference, its interval, its p
value in a declared family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from reports.analysis.comparisons import LEVEL, read_families, seed_variance_known
from reports.analysis.patients import patient_dice
from reports.analysis.summary import MEAN, Resampled
from reports.formatting import distinct
from reports.load.counts import Counts
from reports.stats.effects import FACTORS, complete_blocks, contrast, level_weights
from reports.stats.intervals import nan_mean, seed_variance
from reports.stats.pairs import crossed_p
from reports.stats.tests import holm, signed_rank
from trials.records.comparisons import LEVELS, OF_LEVELS, Family
from trials.records.spec import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPair:
    """Two levels of a factor over the blocks that have both; first is the level with the higher
    mean Dice of the classes, by gap.

    p is before and adjusted after Holm in the family; both NaN for a pair outside the family.
    """

    factor: str
    first: str
    second: str
    blocks: int
    gap: float
    low: float
    high: float
    p: float
    adjusted: float
    resolved: bool


def level_family(record: Mapping[str, Any]) -> tuple[Family, bool]:
    """The first family of level pairs that run.json declares, and True; if it declares none, all
    pairs as one family, and False.
    """
    declared = next((family for family in read_families(record) if family.pairs == LEVELS), None)
    return (OF_LEVELS, False) if declared is None else (declared, True)


def scored_levels(cells: Sequence[Cell], scored: np.ndarray) -> dict[str, list[str]]:
    """The levels with a score by factor, for factors with at least two of them; scored is bool
    [C].
    """
    found = {
        factor: distinct(
            getattr(cell, factor) for cell, has in zip(cells, scored, strict=True) if has
        )
        for factor in FACTORS
    }
    return {factor: levels for factor, levels in found.items() if len(levels) > 1}


def level_pairs(
    cells: Sequence[Cell], counts: Counts, resampled: Resampled, family: Family
) -> list[LevelPair]:
    """Every two levels of every factor that share a block; counts and resampled are those of the
    native test scores.

    The p value is found as in compare_family: Wilcoxon's signed-rank test over patients on the mean
    of the blocks, and a t test with patients and trainings random; each is adjusted by Holm over
    the pairs of the family, and the larger p counts. A pair is resolved if the adjusted p is below
    5 %, its 95 % interval excludes zero and any configuration has two seeds.
    """
    scored = ~np.isnan(resampled.estimates[MEAN])
    names = [
        (factor, pair)
        for factor, of in scored_levels(cells, scored).items()
        for pair in combinations(of, 2)
    ]
    blocks = [complete_blocks(cells, factor, pair, scored) for factor, pair in names]
    known = [(name, of) for name, of in zip(names, blocks, strict=True) if of]
    if not known:
        return []
    weights = np.array([np.diff(level_weights(of, len(cells)), axis=0)[0] for _, of in known])
    gaps = contrast(weights, resampled.estimates[MEAN])
    weights = weights * np.where(gaps < 0, -1, 1)[:, None]
    low, high = resampled.contrast_interval(MEAN, weights)
    tested = [row for row, ((factor, _), _) in enumerate(known) if family.vary in (None, factor)]
    p, adjusted = _p_values(weights, counts, tested)
    sure = seed_variance_known(counts)
    return [
        LevelPair(
            factor=factor,
            first=pair[0] if gaps[row] < 0 else pair[1],
            second=pair[1] if gaps[row] < 0 else pair[0],
            blocks=len(of),
            gap=abs(float(gaps[row])),
            low=float(low[row]),
            high=float(high[row]),
            p=float(p[row]),
            adjusted=float(adjusted[row]),
            resolved=sure and bool(low[row] > 0 and adjusted[row] < LEVEL),
        )
        for row, ((factor, pair), of) in enumerate(known)
    ]


def _p_values(
    weights: np.ndarray, counts: Counts, tested: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """p of every contrast [P, C] before and after Holm over the tested ones; NaN for others, and
    with fewer than two patients.
    """
    values = patient_dice(counts, MEAN)
    p, adjusted = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    if not tested or values.shape[2] < 2:
        return p, adjusted
    differences = contrast(weights[tested], nan_mean(values, 1).T).T
    seed_effect, seed_df = seed_variance(values)
    of_trainings = (
        contrast(weights[tested] ** 2, 1 / np.maximum(counts.available.sum(axis=1), 1))
        * seed_effect
    )
    of_cases, of_both = signed_rank(differences), crossed_p(differences, of_trainings, seed_df)
    p[tested] = np.maximum(of_cases, of_both)
    adjusted[tested] = np.maximum(holm(of_cases.tolist()), holm(of_both.tolist()))
    return p, adjusted
