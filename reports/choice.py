"""Which configuration to use, chosen on validation, and how sure the test split lets us be."""

from dataclasses import dataclass

import numpy as np

from reports.counts import Counts
from reports.run_folder import Run
from reports.stats.intervals import interval, nan_mean, point, rank_first, seed_interval, smallest_gap
from reports.stats.tests import holm, wilcoxon
from reports.summary import MEAN, Resampled

# Gaps below this are called the same.
SAME = 0.01
# The choice saw the same trainings on validation, so it favours the lucky ones: the level is 95 % with half the error.
SEED_LEVEL = 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The configuration with the best validation score and its lead on the test split; arrays follow the run's cells.

    validation [C] mean Dice on validation; lead, low, high [C] the chosen's test Dice minus each cell's with its 95 % interval;
    first [C] share of resamples in which a cell ranks first; p maps (cell, label) to Holm-adjusted p values.
    resolved [C] says which rivals the chosen is really ahead of; winner that it is ahead of all of them.
    smallest_gap is the difference that this run sees with 80 % power; NaN where a run has one configuration.
    """

    chosen: int
    runner_up: int | None
    validation: np.ndarray
    lead: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    p: dict[tuple[int, int], float]
    resolved: np.ndarray
    winner: bool
    smallest_gap: float


def choose(run: Run, validation: Counts, test: Counts, resampled: Resampled) -> Choice | None:
    """Choose among the configurations with the most complete seeds; None where no validation or no test score exists yet.

    All scores are native-grid Dice over patients that hold a label, averaged over labels.
    """
    held = [_estimate(validation, label) for label in _held(run, validation)]
    on_validation = np.mean(held, axis=0) if held else np.full(len(run.cells), np.nan)
    seeds = (validation.available & test.available).sum(axis=1)
    ready = (seeds == seeds.max(initial=0)) & (seeds > 0) & ~np.isnan(on_validation) & ~np.isnan(resampled.estimates[MEAN])
    if not ready.any():
        return None
    ranking = sorted(np.flatnonzero(ready), key=lambda i: (-on_validation[i], i))
    chosen = int(ranking[0])
    draws = resampled.draws[MEAN][:, [chosen]] - resampled.draws[MEAN]
    low, high = interval(draws)
    resolved = (low > 0) & (high > SAME) & _seeds_agree(run, test, chosen)
    rivals = np.delete(np.arange(len(run.cells)), chosen)
    return Choice(
        chosen=chosen,
        runner_up=int(ranking[1]) if len(ranking) > 1 else None,
        validation=on_validation,
        lead=resampled.estimates[MEAN][chosen] - resampled.estimates[MEAN],
        low=low,
        high=high,
        first=rank_first(resampled.draws[MEAN]),
        p=_p_values(run, test, chosen),
        resolved=resolved,
        winner=bool(len(rivals) and resolved[rivals].all()),
        smallest_gap=smallest_gap(draws[:, rivals]),
    )


def _held(run: Run, counts: Counts) -> list[int]:
    return [label for label in run.labels if counts.num_holding(label)]


def _estimate(counts: Counts, label: int) -> np.ndarray:
    return point(counts.ratio(label))


def _seeds_agree(run: Run, test: Counts, chosen: int) -> np.ndarray:
    """[C] whether the mean difference of the seeds both have clears zero in a t interval: one seed never does."""
    by_seed = np.mean([nan_mean(test.ratio(label), 2) for label in _held(run, test)], axis=0)
    agree = np.zeros(len(by_seed), bool)
    for i in range(len(by_seed)):
        differences = by_seed[chosen] - by_seed[i]
        agree[i] = seed_interval(differences[~np.isnan(differences)], SEED_LEVEL)[0] > 0
    return agree


def _p_values(run: Run, test: Counts, chosen: int) -> dict[tuple[int, int], float]:
    """Signed-rank p of the chosen against each rival, each label; patients are the unit, the family is all of them."""
    family = {}
    for label in _held(run, test):
        by_case = nan_mean(test.ratio(label), 1)[:, test.true[:, label] > 0]
        for i in range(len(run.cells)):
            if i != chosen and not np.isnan(by_case[i]).any():
                family[i, label] = wilcoxon(by_case[chosen] - by_case[i])
    return dict(zip(family, holm(list(family.values())), strict=True))
