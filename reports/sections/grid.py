"""Heat maps of model by loss and sampling, one per class for Dice and IoU, on one colour scale;
configurations without a score show the reason.
"""

import math
from collections.abc import Callable

from reports.analysis.context import Context
from reports.analysis.summary import MEAN, ScoreSummary
from reports.elements import Column, HeatMap, Section, Table, TableCell, Text
from reports.figures.cells import NEVER_FOUND, class_name, dice_cell, never_found, scored
from reports.figures.colours import heat_colour, model_colour
from reports.formatting import cell_name, distinct, listed, many, number, ranged, span
from trials.records.result import COMPLETE, NATIVE
from trials.records.spec import FINAL, Cell

RULE = (
    "All maps share one colour scale: dark is 0, light is 1. Hatched cells have no score and "
    "show the reason; empty cells are not part of this grid."
)
MapCell = tuple[str, str, str, str]


def grid(context: Context) -> Section:
    """Every configuration of the grid, with or without a result."""
    labels = [label for label in context.run.labels if context.test[NATIVE].num_holding(label)]
    scored = sum(
        context.summaries[NATIVE][i, MEAN].seeds > 0 for i in range(len(context.run.cells))
    )
    maps = (
        [_map(context, label, ratio) for label in (MEAN, *labels) for ratio in ("dice", "iou")]
        if labels
        else [_map(context, MEAN, "dice")]
    )
    holes = len(context.run.cells) - scored
    finding = f"{scored} of {many(len(context.run.cells), 'configuration')} have a test score."
    if holes:
        finding += f" {holes} {'has' if holes == 1 else 'have'} none; the maps show the reason."
    if context.run.target_regions:
        finding += " Networks predict regions, and each score is that of a region."
    return Section(
        id="grid",
        title="The grid",
        question="How does each combination of model, loss and sampling score?",
        finding=finding + _spread(context),
        blocks=(Text((RULE,)), *maps, _table(context)),
    )


def _spread(context: Context) -> str:
    """How far apart the averages of the models, losses and samplings are; a description, not a
    test.
    """
    parts = []
    for name in ("model", "loss", "sampling"):
        means = []
        for value in distinct(getattr(cell, name) for cell in context.run.cells):
            cells = [i for i, cell in enumerate(context.run.cells) if getattr(cell, name) == value]
            scores = [context.summaries[NATIVE][i, MEAN].dice for i in cells]
            means.append([score for score in scores if not math.isnan(score)])
        averages = [sum(scores) / len(scores) for scores in means if scores]
        if len(averages) > 1:
            parts.append(f"{name} {number(max(averages) - min(averages))}")
    return f" Highest minus lowest average Dice by factor: {listed(parts)}." if parts else ""


def _map(context: Context, label: int, ratio: str) -> HeatMap:
    columns = sorted(
        {(cell.loss, cell.sampling) for cell in context.run.cells}, key=_column_order(context)
    )
    losses = [loss for loss, _ in columns]
    title = class_name(context, label)
    rows = []
    for model in distinct(cell.model for cell in context.run.cells):
        cells = tuple(
            _cell(context, Cell(model=model, loss=loss, sampling=sampling), label, ratio)
            for loss, sampling in columns
        )
        rows.append((model, model_colour(context.run, model), cells))
    name = "Dice" if ratio == "dice" else "IoU"
    summaries = [summary for (_, of), summary in context.summaries[NATIVE].items() if of == label]
    caption = (
        f"{_range(summaries, ratio)}; mean over n = {summaries[0].n} test patients and all seeds, "
        "native grid."
    )
    return HeatMap(
        id=f"grid-{'mean' if label == MEAN else label}-{ratio}",
        title=f"{title[:1].upper()}{title[1:]}, {name}",
        caption=caption,
        groups=tuple((loss, losses.count(loss)) for loss in distinct(losses)),
        columns=tuple(sampling for _, sampling in columns),
        rows=tuple(rows),
    )


def _column_order(context: Context) -> Callable[[tuple[str, str]], tuple[int, int]]:
    losses, samplings = (
        distinct(cell.loss for cell in context.run.cells),
        distinct(cell.sampling for cell in context.run.cells),
    )
    return lambda column: (losses.index(column[0]), samplings.index(column[1]))


def _range(summaries: list[ScoreSummary], ratio: str) -> str:
    values = [
        getattr(summary, ratio) for summary in summaries if not math.isnan(getattr(summary, ratio))
    ]
    return (
        (f"{span(values, 2)} over {many(len(values), 'configuration')}")
        if values
        else "no score yet"
    )


def _cell(context: Context, cell: Cell, label: int, ratio: str) -> MapCell:
    if cell not in context.run.cells:
        return ("", "", "", "not part of this grid")
    summary = context.summaries[NATIVE][context.run.cells.index(cell), label]
    value = getattr(summary, ratio)
    if math.isnan(value):
        return (_hole(context, cell), "", "", f"{cell_name(cell)} has no test score")
    background, colour = heat_colour(value)
    low, high = (getattr(summary, f"{ratio}_{end}") for end in ("low", "high"))
    interval, never = ranged(value, low, high), f"; {NEVER_FOUND}" * never_found(value, high)
    return (
        number(value, 2),
        background,
        colour,
        f"{cell_name(cell)}: {interval}, {many(summary.seeds, 'seed')}{never}",
    )


def _hole(context: Context, cell: Cell) -> str:
    """Why a configuration has no score: the reason of its failed final trial, or that none has
    ended.
    """
    ended = [
        result
        for result in context.run.results
        if result.spec.phase == FINAL and result.spec.cell == cell
    ]
    failed = [result.reason or result.state.lower() for result in ended if result.state != COMPLETE]
    return f"failed: {failed[0]}" if failed else "not run"


def _table(context: Context) -> Table:
    labels = (MEAN, *context.run.labels)
    names = [class_name(context, label) for label in labels]
    columns = [Column("model"), Column("loss"), Column("sampling")]
    columns += [Column(f"{name} {ratio}", True) for name in names for ratio in ("Dice", "IoU")]
    rows = []
    for i, cell in enumerate(context.run.cells):
        row = [
            TableCell(cell.model, swatch=model_colour(context.run, cell.model)),
            TableCell(cell.loss),
            TableCell(cell.sampling),
        ]
        for label in labels:
            summary = context.summaries[NATIVE][i, label]
            hole = "" if summary.seeds else _hole(context, cell)
            if hole:
                row += [TableCell(hole, math.nan, look="quiet")] * 2
            else:
                iou = scored(summary.iou, summary.iou_low, summary.iou_high)
                row += [dice_cell(context, i, label), iou]
        rows.append(tuple(row))
    return Table(
        id="grid-table",
        caption="Every configuration with 95 % intervals",
        columns=tuple(columns),
        rows=tuple(rows),
        folded=True,
    )
