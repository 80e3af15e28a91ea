"""Pairs of levels of a factor over the settings that both share: the gap, its interval, its p value
in a declared family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from reports.analysis.comparisons import (
    LEVEL,
    LEVELS,
    OF_LEVELS,
    Family,
    read_families,
    seed_variance_known,
)
from reports.analysis.patients import patient_dice
from reports.analysis.summary import MEAN, Resampled
from reports.formatting import distinct
from reports.load.counts import Counts
from reports.stats.effects import FACTORS, complete_blocks, contrast, level_weights
from reports.stats.intervals import nan_mean, seed_variance
from reports.stats.pairs import crossed_p
from reports.stats.tests import holm, signed_rank
from trials.records.spec import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPair:
    """Two levels of a factor over the blocks that hold both; first is the better one, by gap in
    mean Dice of the classes.

    p is before and adjusted after Holm in the family; both NaN for a pair that the family does not
    hold.
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
    """The family of level pairs that run.json declares first, and True; where it declares none, all
    pairs as one, and False.
    """
    declared = next((family for family in read_families(record) if family.pairs == LEVELS), None)
    return (OF_LEVELS, False) if declared is None else (declared, True)


def scored_levels(cells: Sequence[Cell], scored: np.ndarray) -> dict[str, list[str]]:
    """Factor to its levels that have a score, for the factors with two of them or more; scored is
    bool [C].
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

    A pair's p value is the larger of two, as in compare_family: Wilcoxon's signed-rank test over
    patients, on the mean of the blocks, and Student's t over patients and trainings. Each is
    adjusted by Holm over the pairs of the family. A pair is resolved where the adjusted p is below
    5 %, its 95 % interval clears zero and any configuration has two seeds.
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
    """p of every contrast [P, C] before and after Holm over those tested; NaN for others, and with
    fewer than two patients.
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
