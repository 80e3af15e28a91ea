"""Which configuration to use, selected on validation, and how certain its lead on the test split
is.
"""

from dataclasses import dataclass

import numpy as np

from reports.analysis.checks import refuse_unsound
from reports.analysis.patients import patient_shares
from reports.analysis.summary import MEAN, Resampled, resample_ratio
from reports.load.counts import Counts, count
from reports.load.run_folder import Run
from reports.stats.intervals import (
    nan_mean,
    point,
    rank_first,
    seed_interval,
    seed_variance,
    smallest_gap,
)
from reports.stats.pairs import crossed_p
from reports.stats.power import Gap, gap_of
from reports.stats.tests import holm
from reports.table import scores_table
from trials.records.result import NATIVE
from trials.records.spec import Cell

# Differences in Dice below this are not called a lead.
SAME = 0.01
# The selection used the same trainings on validation, so it favours trainings that are better by
# chance: the level is 95 % with half the error.
SEED_LEVEL = 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The configuration with the best validation score and its lead on the test split; arrays
    follow the run's cells.

    validation [C] mean Dice on validation; lead, low, high [C] the test Dice of the selected
    configuration minus each cell's, with its 95 % interval; first [C] share of resamples in which a
    cell ranks first. resolved [C] says which rivals it leads, corrected for having been selected
    among many; winner says that it leads all of them, one claim that needs no correction.
    smallest_gap is the difference that this run detects with 80 % power; NaN for a run with one
    configuration.
    """

    selected: int
    runner_up: int | None
    validation: np.ndarray
    lead: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    resolved: np.ndarray
    winner: bool
    smallest_gap: float


def select(run: Run, validation: Counts, test: Counts, resampled: Resampled) -> Selection | None:
    """Select among the configurations with the most complete seeds; None if there is no validation
    or no test score yet.

    All scores are native-grid Dice over patients that have a label, averaged over labels.
    """
    held = [_estimate(validation, label) for label in _held(run, validation)]
    on_validation = np.mean(held, axis=0) if held else np.full(len(run.cells), np.nan)
    seeds = (validation.available & test.available).sum(axis=1)
    ready = (
        (seeds == seeds.max(initial=0))
        & (seeds > 0)
        & ~np.isnan(on_validation)
        & ~np.isnan(resampled.estimates[MEAN])
    )
    if not ready.any():
        return None
    ranking = sorted(np.flatnonzero(ready), key=lambda i: (-on_validation[i], i))
    selected = int(ranking[0])
    draws = resampled.draws[MEAN][:, [selected]] - resampled.draws[MEAN]
    low, high = resampled.lead_interval(MEAN, selected)
    ahead = (low > 0) & (high > SAME) & _seeds_agree(run, test, selected)
    rivals = np.delete(np.arange(len(run.cells)), selected)
    winner = bool(len(rivals) and ahead[rivals].all())
    return Selection(
        selected=selected,
        runner_up=int(ranking[1]) if len(ranking) > 1 else None,
        validation=on_validation,
        lead=resampled.estimates[MEAN][selected] - resampled.estimates[MEAN],
        low=low,
        high=high,
        first=rank_first(resampled.draws[MEAN]),
        resolved=ahead & (winner | _beyond_chance(test, selected)),
        winner=winner,
        smallest_gap=smallest_gap(draws[:, rivals]),
    )


def selected_cell(run: Run) -> Cell | None:
    """The configuration that the report of a run selects; None before there is one. Raises
    ValueError for results that cannot be compared.
    """
    scores = scores_table(run)
    refuse_unsound(run, scores)
    test = count(run, scores, "test", NATIVE)
    selection = select(run, count(run, scores, "val", NATIVE), test, resample_ratio(test))
    return run.cells[selection.selected] if selection else None


def _held(run: Run, counts: Counts) -> list[int]:
    return [label for label in run.labels if counts.num_holding(label)]


def _estimate(counts: Counts, label: int) -> np.ndarray:
    return point(counts.ratio(label))


def _seeds_agree(run: Run, test: Counts, selected: int) -> np.ndarray:
    """[C] whether the t interval of the mean difference over shared seeds excludes zero; never with
    one seed.
    """
    by_seed = np.mean([nan_mean(test.ratio(label), 2) for label in _held(run, test)], axis=0)
    agree = np.zeros(len(by_seed), bool)
    for i in range(len(by_seed)):
        differences = by_seed[selected] - by_seed[i]
        agree[i] = seed_interval(differences[~np.isnan(differences)], SEED_LEVEL)[0] > 0
    return agree


def _beyond_chance(test: Counts, selected: int) -> np.ndarray:
    """[C] whether the selected configuration differs from each rival by crossed_p, with Holm over
    the pairs of all configurations.

    The correction is over all pairs because the selected configuration may be the best of many by
    chance: the best and the worst of many equal configurations always differ.
    """
    shares, seeds = patient_shares(test), test.available.sum(axis=1)
    seed_effect, seed_df = seed_variance(shares)
    first, second = np.triu_indices(len(seeds), 1)
    known = (seeds[first] > 0) & (seeds[second] > 0)
    first, second = first[known], second[known]
    by_case = nan_mean(shares, 1)
    p = crossed_p(
        by_case[first] - by_case[second],
        seed_effect / seeds[first] + seed_effect / seeds[second],
        seed_df,
    )
    beyond = np.zeros(len(seeds), bool)
    for i, j, adjusted in zip(first, second, holm(p.tolist()), strict=True):
        if selected in (i, j):
            beyond[i + j - selected] = adjusted < 0.05
    return beyond


def gap_to(test: Counts, selected: int, rival: int) -> Gap | None:
    """The lead of the selected configuration over a rival and the components of its error, over the
    seeds both have; None without one.
    """
    shares = patient_shares(test)
    both = test.available[selected] & test.available[rival]
    if not both.any() or shares.shape[2] < 2:
        return None
    return gap_of(shares[selected, both] - shares[rival, both], 2 * seed_variance(shares)[0])
