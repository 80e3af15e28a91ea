"""Which configuration to use, selected on validation, and how certain its lead on the test split
is.
"""

from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.checks import refuse_unsound
from reports.analysis.contrasts import (
    Contrasts,
    Verdicts,
    all_pairs,
    compare,
    judge,
    pair_weights,
)
from reports.analysis.questions import SAME, Answer
from reports.analysis.summary import MEAN, Resampled
from reports.load.counts import Counts, count
from reports.load.run_folder import Run
from reports.stats.intervals import point
from reports.table import scores_table
from trials.records.questions import MEAN_OF_CLASSES
from trials.records.result import NATIVE
from trials.records.spec import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The configuration with the best validation score and the second best; validation [C] is the
    mean Dice on validation.
    """

    selected: int
    runner_up: int | None
    validation: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Every two predictions with a score, configurations and external ones alike, and the verdict
    on their difference.

    rows gives the row of a pair, in rising order of its predictions. declared [P] says that a
    question of the run compares this pair alone: then its p is corrected over the questions, and
    otherwise over all pairs.
    """

    rows: dict[tuple[int, int], int]
    found: Contrasts
    verdicts: Verdicts
    declared: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The selected configuration and its lead on the test split; arrays follow the predictions: the
    run's cells, then the external ones.

    validation [C] mean Dice on validation; lead, low, high the test Dice of the selected
    configuration minus each prediction's, with its 95 % interval. resolved says over which rivals
    its lead is resolved, winner that it leads all of them and by more than SAME in the upper bound.
    """

    selected: int
    runner_up: int | None
    validation: np.ndarray
    lead: np.ndarray
    low: np.ndarray
    high: np.ndarray
    resolved: np.ndarray
    winner: bool


def choose(run: Run, validation: Counts, test: Counts) -> Choice | None:
    """Select among the configurations with the most complete seeds; None if there is no validation
    or no test score yet.

    Scores are native-grid Dice over patients that have a label, averaged over labels.
    """
    on_validation, on_test = (_means(run, counts) for counts in (validation, test))
    num = len(run.cells)
    seeds = (validation.available & test.available[:num]).sum(axis=1)
    ready = (seeds == seeds.max(initial=0)) & (seeds > 0)
    ready &= ~np.isnan(on_validation) & ~np.isnan(on_test[:num])
    if not ready.any():
        return None
    ranking = sorted(np.flatnonzero(ready).tolist(), key=lambda i: (-on_validation[i], i))
    return Choice(
        selected=ranking[0],
        runner_up=ranking[1] if len(ranking) > 1 else None,
        validation=on_validation,
    )


def judge_pairs(counts: Counts, resampled: Resampled, answers: tuple[Answer, ...] = ()) -> Pairs:
    """Every pair of predictions, in the mean Dice of the classes."""
    pairs = all_pairs(resampled)
    found = compare(pair_weights(pairs, len(counts.available)), counts, resampled, MEAN)
    (verdicts,) = judge([found], resampled)
    rows = {pair: row for row, pair in enumerate(pairs)}
    adjusted, resolved = verdicts.adjusted.copy(), verdicts.resolved.copy()
    declared = np.zeros(len(pairs), bool)
    for one in (one for answer in answers for one in answer.found):
        if one.comparison.question.score == MEAN_OF_CLASSES and len(one.comparison.pairs) == 1:
            i, j = one.comparison.pairs[0]
            row = rows[min(i, j), max(i, j)]
            declared[row], adjusted[row], resolved[row] = True, one.adjusted, one.resolved
    verdicts = replace(verdicts, adjusted=adjusted, resolved=resolved)
    return Pairs(rows=rows, found=found, verdicts=verdicts, declared=declared)


def select(
    run: Run, validation: Counts, test: Counts, resampled: Resampled, pairs: Pairs
) -> Selection | None:
    """The choice and its lead over every other prediction; test and resampled hold the external
    predictions behind the run's cells. None as in choose.
    """
    choice = choose(run, validation, test)
    if choice is None:
        return None
    selected = choice.selected
    low, high = resampled.lead_interval(MEAN, selected)
    lead = resampled.estimates[MEAN][selected] - resampled.estimates[MEAN]
    resolved = np.zeros(len(lead), bool)
    rivals = [i for i in range(len(lead)) if i != selected]
    for i in rivals:
        row = pairs.rows.get((min(i, selected), max(i, selected)))
        resolved[i] = row is not None and pairs.verdicts.resolved[row] and lead[i] > 0
    ahead = resolved & (high > SAME)
    return Selection(
        selected=selected,
        runner_up=choice.runner_up,
        validation=choice.validation,
        lead=lead,
        low=low,
        high=high,
        resolved=resolved,
        winner=bool(rivals and ahead[rivals].all()),
    )


def selected_cell(run: Run) -> Cell | None:
    """The configuration that the report of a run selects; None before there is one. Raises
    ValueError for results that cannot be compared.
    """
    scores = scores_table(run)
    refuse_unsound(run, scores)
    choice = choose(run, count(run, scores, "val", NATIVE), count(run, scores, "test", NATIVE))
    return run.cells[choice.selected] if choice else None


def _means(run: Run, counts: Counts) -> np.ndarray:
    """Mean Dice of the classes, [C]; NaN for a configuration without a score."""
    held = [point(counts.ratio(label)) for label in run.labels if counts.num_holding(label)]
    return np.mean(held, axis=0) if held else np.full(len(counts.available), np.nan)
