"""The comparisons that a run declared before it started, and their p values: Holm within each
family.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from reports.analysis.patients import held_labels, patient_dice
from reports.analysis.summary import MEAN
from reports.load.counts import Counts
from reports.stats.effects import FACTORS
from reports.stats.intervals import nan_mean, seed_variance
from reports.stats.pairs import crossed_p
from reports.stats.tests import holm, signed_rank
from trials.records.codec import rebuild
from trials.records.comparisons import (
    ALL,
    CLASSES,
    DEFAULT_FAMILIES,
    LEVELS,
    SELECTED,
    Family,
)
from trials.records.spec import Cell

LEVEL = 0.05
Tests = dict[tuple[int, int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyResult:
    """The comparisons of one family: (first, second, label) to p, before and after Holm; over_cases
    is p of Wilcoxon's test only.

    seed_variance_known says that at least one configuration has two seeds; otherwise nothing is
    resolved.
    """

    family: Family
    over_cases: Mapping[tuple[int, int, int], float]
    p: Mapping[tuple[int, int, int], float]
    adjusted: Mapping[tuple[int, int, int], float]
    seed_variance_known: bool

    def resolved(self, first: int, second: int, label: int) -> bool:
        """Whether the family claims a difference."""
        return self.seed_variance_known and self.adjusted.get((first, second, label), 1.0) < LEVEL


def read_families(record: Mapping[str, Any]) -> tuple[Family, ...]:
    """The families that run.json declares, the default ones if it declares none. Raises ValueError
    naming the key.
    """
    if "families" not in record:
        return DEFAULT_FAMILIES
    return tuple(
        rebuild(Family, of, f"run.json families[{i}]") for i, of in enumerate(record["families"])
    )


def members(family: Family, cells: tuple[Cell, ...], selected: int | None) -> list[tuple[int, int]]:
    """The pairs of configurations of a family; none for a family of levels, and none for "selected"
    if no configuration is selected.
    """
    if family.pairs == LEVELS:
        return []
    if family.pairs == SELECTED:
        pairs = (
            [] if selected is None else [(selected, i) for i in range(len(cells)) if i != selected]
        )
    else:
        pairs = list(combinations(range(len(cells)), 2))
    return [
        pair
        for pair in pairs
        if family.vary is None or _differ(cells[pair[0]], cells[pair[1]]) == [family.vary]
    ]


def _differ(first: Cell, second: Cell) -> list[str]:
    return [factor for factor in FACTORS if getattr(first, factor) != getattr(second, factor)]


def compare_family(
    family: Family, cells: tuple[Cell, ...], counts: Counts, selected: int | None
) -> FamilyResult:
    """Test every pair of a family whose configurations both have scores; patients are the unit,
    averaged over seeds first.

    Each pair has two tests: Wilcoxon's signed-rank test over patients with Pratt's zeros (do these
    trainings differ?) and a t test with patients and trainings random (would new trainings
    differ?). Each is adjusted on its own, and the larger p counts. For the selected configuration
    the t test is adjusted over all pairs, because that configuration may have been selected for a
    favourable seed.
    """
    pairs = members(family, cells, selected)
    wider = members(replace(family, pairs=ALL), cells, None) if family.pairs == SELECTED else pairs
    over_cases: Tests = {}
    over_seeds: Tests = {}
    for label in held_labels(counts) if family.score == CLASSES else [MEAN]:
        values = patient_dice(counts, label)
        over_cases |= _test_cases(pairs, values, label)
        over_seeds |= _test_seeds(wider, values, label)
    adjusted_cases, adjusted_seeds = _holm(over_cases), _holm(over_seeds)
    p, adjusted = {}, {}
    for i, j, label in over_cases:
        both_ways = (min(i, j), max(i, j), label)
        p[i, j, label] = max(over_cases[i, j, label], over_seeds.get(both_ways, 0.0))
        adjusted[i, j, label] = max(adjusted_cases[i, j, label], adjusted_seeds.get(both_ways, 0.0))
    return FamilyResult(
        family=family,
        over_cases=over_cases,
        p=p,
        adjusted=adjusted,
        seed_variance_known=seed_variance_known(counts),
    )


def seed_variance_known(counts: Counts) -> bool:
    """Whether any configuration has two seeds."""
    return bool((counts.available.sum(axis=1) > 1).any())


def _holm(p: Tests) -> Tests:
    return dict(zip(p, holm(list(p.values())), strict=True))


def _scored(pairs: list[tuple[int, int]], values: np.ndarray) -> np.ndarray:
    """The pairs, [P, 2], of which both sides have a seed; none where there is no patient."""
    seeds = (~np.isnan(values)).any(axis=2).sum(axis=1)
    found = [(i, j) for i, j in pairs if seeds[i] and seeds[j]]
    return np.array(found, np.int64).reshape(-1, 2)


def _test_cases(pairs: list[tuple[int, int]], values: np.ndarray, label: int) -> Tests:
    first, second = _scored(pairs, values).T
    by_case = nan_mean(values, 1)
    return _keyed(first, second, label, signed_rank(by_case[first] - by_case[second]))


def _test_seeds(pairs: list[tuple[int, int]], values: np.ndarray, label: int) -> Tests:
    """By the pair in rising order; empty with fewer than two patients."""
    if values.shape[2] < 2:
        return {}
    first, second = np.sort(_scored(pairs, values), axis=1).T
    by_case, seeds = nan_mean(values, 1), (~np.isnan(values)).any(axis=2).sum(axis=1)
    seed_effect, seed_df = seed_variance(values)
    p = crossed_p(
        by_case[first] - by_case[second],
        seed_effect / seeds[first] + seed_effect / seeds[second],
        seed_df,
    )
    return _keyed(first, second, label, p)


def _keyed(first: np.ndarray, second: np.ndarray, label: int, p: np.ndarray) -> Tests:
    return {
        (i, j, label): value
        for i, j, value in zip(first.tolist(), second.tolist(), p.tolist(), strict=True)
    }
