"""Which comparisons a run declared before it began, and their p values: Holm inside each family."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from reports.counts import Counts
from reports.patients import held_labels, patient_dice
from reports.stats.effects import FACTORS
from reports.stats.intervals import luck_variance, nan_mean
from reports.stats.pairs import crossed_p
from reports.stats.tests import holm, signed_rank
from reports.summary import MEAN
from trials.records import rebuild
from trials.spec import Cell

CHOSEN, ALL = "chosen", "all"
CLASSES, PATIENTS = "classes", "mean"
LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Comparisons that share one chance of a false claim.

    pairs is "chosen" (the configuration chosen on validation against every other) or "all"; score is "classes" (each
    class on its own) or "mean" (a patient's mean over its classes). vary keeps the pairs that differ in this factor alone.
    """

    name: str
    pairs: str
    score: str
    vary: str | None = None


# What a run without a declaration of its own compares.
DEFAULT = (
    Family(name="against the chosen", pairs=CHOSEN, score=CLASSES),
    Family(name="every pair", pairs=ALL, score=PATIENTS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The comparisons of one family: (first, second, label) to p, before and after Holm. luck_known says that at least one
    configuration has two seeds, without which nothing is resolved."""

    family: Family
    p: Mapping[tuple[int, int, int], float]
    adjusted: Mapping[tuple[int, int, int], float]
    luck_known: bool

    def resolved(self, first: int, second: int, label: int) -> bool:
        """Whether the family claims a difference."""
        return self.luck_known and self.adjusted.get((first, second, label), 1.0) < LEVEL


def read_families(record: Mapping[str, Any]) -> tuple[Family, ...]:
    """The families that run.json declares, DEFAULT where it has none. Raises ValueError naming the key."""
    if "families" not in record:
        return DEFAULT
    families = tuple(rebuild(Family, of, f"run.json families[{i}]") for i, of in enumerate(record["families"]))
    for i, family in enumerate(families):
        known = {"pairs": (CHOSEN, ALL), "score": (CLASSES, PATIENTS), "vary": (None, *FACTORS)}
        for key, words in known.items():
            if getattr(family, key) not in words:
                raise ValueError(f"run.json families[{i}].{key} must be one of {words}; got {getattr(family, key)!r}")
    return families


def members(family: Family, cells: tuple[Cell, ...], chosen: int | None) -> list[tuple[int, int]]:
    """The pairs of a family; none against the chosen where nothing was chosen."""
    if family.pairs == CHOSEN:
        pairs = [] if chosen is None else [(chosen, i) for i in range(len(cells)) if i != chosen]
    else:
        pairs = list(combinations(range(len(cells)), 2))
    return [pair for pair in pairs if family.vary is None or _differ(cells[pair[0]], cells[pair[1]]) == [family.vary]]


def _differ(first: Cell, second: Cell) -> list[str]:
    return [factor for factor in FACTORS if getattr(first, factor) != getattr(second, factor)]


def compare_family(family: Family, cells: tuple[Cell, ...], counts: Counts, chosen: int | None) -> Tested:
    """Test every pair of a family whose configurations both have scores; patients are the unit, seeds are averaged first.

    A p value is the larger of two: Wilcoxon's signed-rank test over patients with Pratt's zeros, which asks whether these
    trainings differ, and Student's t over patients and trainings, which asks whether others would.
    """
    pairs = members(family, cells, chosen)
    p: dict[tuple[int, int, int], float] = {}
    for label in held_labels(counts) if family.score == CLASSES else [MEAN]:
        p |= dict(_p_values(pairs, counts, label))
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    return Tested(family=family, p=p, adjusted=adjusted, luck_known=luck_known(counts))


def luck_known(counts: Counts) -> bool:
    """Whether any configuration has two seeds."""
    return bool((counts.available.sum(axis=1) > 1).any())


def _p_values(pairs: list[tuple[int, int]], counts: Counts, label: int) -> Iterator[tuple[tuple[int, int, int], float]]:
    values = patient_dice(counts, label)
    by_case, seeds = nan_mean(values, 1), counts.available.sum(axis=1)
    known = [(i, j) for i, j in pairs if seeds[i] and seeds[j]]
    if not known or not by_case.shape[1]:
        return
    first, second = np.array(known).T
    luck, luck_df = luck_variance(values)
    differences = by_case[first] - by_case[second]
    over_seeds = crossed_p(differences, luck / seeds[first] + luck / seeds[second], luck_df)
    for pair, over_cases, crossed in zip(known, signed_rank(differences), over_seeds, strict=True):
        yield (*pair, label), float(np.nanmax([over_cases, crossed]))
