"""A cross-validation fold by fold: the score of each fold's test part, what another training
changes, and the score of the selection itself.
"""

import math
from dataclasses import dataclass

import numpy as np

from reports.analysis.context import Context
from reports.analysis.patients import counted_folds, held_labels, patient_shares
from reports.analysis.summary import MEAN, resample_values
from reports.elements import Column, Section, Table, TableCell
from reports.figures.cells import configuration, ranked, scored
from reports.formatting import cell_name, many, number, ranged
from reports.load.counts import Counts
from reports.stats.intervals import point
from reports.stats.trainings import fold_variance
from trials.records.result import NATIVE


@dataclass(frozen=True, slots=True)
class OwnSelection:
    """The configuration that each fold's own validation selects, and the out-of-fold Dice of what
    was so selected, with its 95 % interval.
    """

    by_fold: dict[int, int]
    dice: float
    low: float
    high: float


def folds(context: Context) -> Section | None:
    """None for a run of one fold, and before there is a selection."""
    order = ranked(context)
    if len(context.run.folds) == 1 or context.selection is None or not order:
        return None
    own = select_by_fold(context, order)
    return Section(
        id="folds",
        title="Folds",
        question="Do the folds agree, and what score does the selection itself reach?",
        finding=_finding(context, own),
        blocks=(_scores_table(context, order), _selection_table(context, own)),
    )


def select_by_fold(context: Context, order: list[int]) -> OwnSelection:
    """In each pooled fold, the configuration that its own validation selects, and its score on the
    fold's test part, pooled over the folds.

    No test patient of a fold has informed what is selected in it, so this is the score to expect of
    tuning and selecting as this run does (nested cross-validation; Varma and Simon 2006).
    """
    test, run = context.test[NATIVE], context.run
    seeds, by_fold = test.available.sum(axis=1), {}
    ready = [i for i in order if seeds[i] == seeds.max()]
    for fold in run.pooled_folds:
        means = np.nan_to_num(mean_dice(context.validation.of_fold(fold)), nan=-1.0)
        by_fold[fold] = max(ready, key=lambda i: (means[i], -i))
    folds = np.asarray(test.patient_folds)
    values = {}
    for label in held_labels(test):
        ratio = test.ratio(label)
        values[label] = np.full((1, *ratio.shape[1:]), np.nan)
        for fold, i in by_fold.items():
            values[label][0][:, folds == fold] = ratio[i][:, folds == fold]
    available = np.ones((1, len(run.seeds)), bool)
    found = resample_values(values, available, folds=test.patient_folds)
    low, high = found.interval(MEAN)
    return OwnSelection(by_fold, float(found.estimates[MEAN][0]), float(low[0]), float(high[0]))


def mean_dice(counts: Counts) -> np.ndarray:
    """The mean Dice of the classes of every configuration, [C]; NaN without a score."""
    means = [point(counts.ratio(label)) for label in held_labels(counts)]
    return np.mean(means, axis=0) if means else np.full(len(counts.available), np.nan)


def _finding(context: Context, own: OwnSelection) -> str:
    assert context.selection is not None
    same = sum(i == context.selection.selected for i in own.by_fold.values())
    return (
        f"In {same} of {many(len(own.by_fold), 'fold')} the fold's own validation selects "
        f"{cell_name(context.run.cells[context.selection.selected])}. Selecting in each fold alone "
        f"reaches a Dice of {ranged(own.dice, own.low, own.high)} out of fold: the score to expect "
        "of this way to select, since no test patient of a fold took part in it."
    )


def _scores_table(context: Context, order: list[int]) -> Table:
    test = context.test[NATIVE]
    parts = {fold: test.of_fold(fold) for fold in context.run.pooled_folds}
    means = {fold: mean_dice(part) for fold, part in parts.items()}
    shares = patient_shares(test)
    variance, df = fold_variance(shares, counted_folds(test, MEAN))
    rows = []
    for i in order:
        of_folds = [float(means[fold][i]) for fold in parts]
        pooled = context.summaries[NATIVE][i, MEAN]
        rows.append(
            (
                configuration(context, i),
                *(TableCell(number(value), value) for value in of_folds),
                scored(pooled.dice, pooled.dice_low, pooled.dice_high),
            )
        )
    columns = (
        Column("configuration"),
        *(
            Column(f"fold {fold}", True, many(len(part.patients), "test patient"))
            for fold, part in parts.items()
        ),
        Column("all folds", True, "over the patients of all folds, with the 95 % interval"),
    )
    caption = (
        "Mean test Dice of the classes, native grid: each fold's test patients, predicted by the "
        "trainings of that fold, averaged over seeds. The columns differ mostly by their patients. "
        "Beyond what patients explain, two trainings of one configuration in different folds "
        f"differ with a standard deviation of {number(math.sqrt(variance))} Dice each "
        f"({many(df, 'degree')} of freedom)."
    )
    return Table(id="folds-scores", caption=caption, columns=columns, rows=tuple(rows))


def _selection_table(context: Context, own: OwnSelection) -> Table:
    test, rows = context.test[NATIVE], []
    for fold, i in own.by_fold.items():
        values = [mean_dice(counts.of_fold(fold))[i] for counts in (context.validation, test)]
        rows.append(
            (
                TableCell(str(fold), fold),
                configuration(context, i),
                *(TableCell(number(float(value)), float(value)) for value in values),
            )
        )
    columns = (
        Column("fold"),
        Column("selected by its validation"),
        Column("validation Dice", True),
        Column("test Dice", True),
    )
    return Table(
        id="folds-selection",
        caption="What each fold selects alone, and its mean Dice of the classes there.",
        columns=columns,
        rows=tuple(rows),
    )
