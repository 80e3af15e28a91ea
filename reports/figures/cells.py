"""Table cells that several sections share: a configuration, and a score with its interval."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reports.analysis.context import Context
from reports.analysis.summary import MEAN, ScoreSummary
from reports.analysis.surfaces import MetricSummaries
from reports.elements import Column, TableCell
from reports.estimands import states_mean
from reports.figures.colours import model_colour
from reports.formatting import cell_name, interval, number
from trials.records.result import NATIVE

ENSEMBLE_RULE = (
    "Dice of the mean probability of the seeds, scored as one prediction, with its 95 % interval "
    "over patients; never selected, ranked or tested, and without variance between seeds"
)
MIRROR_RULE = (
    "Dice where each seed predicts a case as the mean over its mirror images, with its 95 % "
    "interval; never selected, ranked or tested"
)
DAGGER = "\N{DAGGER}"
NEVER_FOUND = (
    f"{DAGGER} Found in no patient by any of the trainings, so the score is 0. The interval still "
    "reaches above 0, because it allows for new trainings, and how much these vary is estimated "
    "from the trainings of all configurations."
)
Summaries = Mapping[tuple[int, int], ScoreSummary]


def ranked(context: Context) -> list[int]:
    """The configurations that have a test score, best mean Dice on the native grid first."""
    summaries = context.summaries[NATIVE]
    with_score = [
        i for i in range(len(context.run.cells)) if not math.isnan(summaries[i, MEAN].dice)
    ]
    return sorted(with_score, key=lambda i: (-summaries[i, MEAN].dice, i))


def ranked_all(context: Context) -> list[int]:
    """The places in all_predictions that have a test score, configurations and external predictions
    alike, best mean Dice on the native grid first.
    """
    means = context.resampled.estimates[MEAN]
    return sorted(np.flatnonzero(~np.isnan(means)).tolist(), key=lambda i: (-means[i], i))


def is_external(context: Context, i: int) -> bool:
    """Whether a place in all_predictions is that of external predictions."""
    return i >= len(context.run.cells)


def prediction(context: Context, i: int) -> TableCell:
    """The name of a configuration or of external predictions, by place in all_predictions."""
    if is_external(context, i):
        return external_name(context.all_predictions.names[i])
    return configuration(context, i)


def prediction_name(context: Context, i: int) -> str:
    """Its name as text; external predictions may have the name of a configuration."""
    name = context.all_predictions.names[i]
    return f"{name} (external)" if is_external(context, i) else name


def prediction_colour(context: Context, i: int) -> str:
    """The colour of its model, grey for external predictions."""
    if is_external(context, i):
        return "var(--muted)"
    return model_colour(context.run, context.run.cells[i].model)


def summary_of(context: Context, i: int, label: int) -> ScoreSummary:
    """The native test scores of a place in all_predictions."""
    num = len(context.run.cells)
    theirs = context.external.summaries
    return theirs[i - num, label] if i >= num else context.summaries[NATIVE][i, label]


def class_name(context: Context, label: int) -> str:
    """The name of a class, or of the mean over the classes."""
    return f"mean of {context.run.nouns}" if label == MEAN else context.run.classes[label]


def configuration(context: Context, i: int) -> TableCell:
    """A configuration's name with its model's colour; the selected one is marked."""
    cell = context.run.cells[i]
    selected = context.selection is not None and context.selection.selected == i
    return TableCell(
        cell_name(cell),
        look="selected" if selected else "",
        swatch=model_colour(context.run, cell.model),
    )


def scored(value: float, low: float, high: float) -> TableCell:
    """A mean score with its interval in small print; n/a if no patient holds the class."""
    if math.isnan(value):
        return TableCell("n/a", look="quiet", hint="no patient here holds this class")
    never = never_found(value, high)
    small = f"{interval(low, high)} {DAGGER}" if never else interval(low, high)
    return TableCell(number(value), value, small=small, note=NEVER_FOUND if never else "")


def dice_cell(context: Context, i: int, label: int) -> TableCell:
    """The native test Dice of a place in all_predictions with its interval, which the check of the
    page computes again.
    """
    found = summary_of(context, i, label)
    cell = scored(found.dice, found.dice_low, found.dice_high)
    known = not math.isnan(found.dice)
    return replace(cell, states=states_mean(i, found.dice, label)) if known else cell


def never_found(value: float, high: float) -> bool:
    """Whether a score is 0 although its interval, as printed, reaches above it."""
    return value == 0 and high >= 0.0005


def p_cell(p: float) -> TableCell:
    """A p value; n/a for NaN."""
    return TableCell("below 0.001" if p < 0.001 else number(p), p)


def has_surfaces(context: Context) -> bool:
    """Whether any configuration has a Surface Dice, so that its column is shown."""
    return bool(context.metrics["surface_dice"])


def surface_cells(
    context: Context, metrics: MetricSummaries, i: int, label: int
) -> tuple[TableCell, ...]:
    """The cell of one configuration or external prediction in the Surface Dice column; empty in a
    run without surfaces.
    """
    if not has_surfaces(context):
        return ()
    found = metrics["surface_dice"].get((i, label))
    return (
        scored(found.value, found.low, found.high)
        if found
        else scored(math.nan, math.nan, math.nan),
    )


def external_name(name: str) -> TableCell:
    """The name of external predictions."""
    return TableCell(
        name,
        small="external",
        swatch="var(--muted)",
        hint="external predictions, scored by the same rules",
    )


def nothing_known() -> TableCell:
    """An empty cell, for what is only known of the configurations of the run."""
    return TableCell("", math.nan)


def further_columns(context: Context) -> tuple[Column, ...]:
    """The columns of other ways to predict with what was trained, of those that were scored."""
    return tuple(Column(name, True, rule) for name, rule, _ in _further(context))


def further_cells(context: Context, i: int | None, label: int) -> tuple[TableCell, ...]:
    """The Dice of a configuration in these columns, empty where there is none; None stands for
    external predictions.
    """
    found = [None if i is None else of.get((i, label)) for _, _, of in _further(context)]
    return tuple(
        scored(one.dice, one.dice_low, one.dice_high) if one else nothing_known() for one in found
    )


def _further(context: Context) -> list[tuple[str, str, Summaries]]:
    """The name, rule and scores of each column that has any."""
    columns = [
        ("seeds as an ensemble", ENSEMBLE_RULE, context.ensembles),
        ("mirrored", MIRROR_RULE, context.mirrored),
    ]
    return [column for column in columns if column[2]]
