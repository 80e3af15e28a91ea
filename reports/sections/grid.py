"""Model by loss by sampling: one map a class for Dice and for IoU, on one scale, holes marked with
their reason.
"""

import math

from reports.analysis.context import Board
from reports.analysis.summary import MEAN, Standing
from reports.elements import Column, Entry, HeatMap, Section, Table, Text
from reports.figures.colours import heat, model_colour
from reports.formatting import cell_name, distinct, listed, many, number, ranged, span
from trials.records.result import COMPLETE, NATIVE
from trials.records.spec import FINAL, Cell

RULE = (
    "One scale for all maps: dark is 0, light is 1. Hatched cells have no score and say why; "
    "empty places are not in this grid."
)
Hole = tuple[str, str, str, str]


def grid(board: Board) -> Section:
    """The whole grid at a glance, run or not."""
    labels = [label for label in board.run.labels if board.test[NATIVE].num_holding(label)]
    scored = sum(board.standings[NATIVE][i, MEAN].seeds > 0 for i in range(len(board.run.cells)))
    maps = (
        [_map(board, label, ratio) for label in (MEAN, *labels) for ratio in ("dice", "iou")]
        if labels
        else [_map(board, MEAN, "dice")]
    )
    holes = len(board.run.cells) - scored
    finding = f"{scored} of {many(len(board.run.cells), 'cell')} of the grid have a test score."
    if holes:
        finding += f" {holes} {'is a hole' if holes == 1 else 'are holes'}, marked with the reason."
    return Section(
        id="grid",
        title="The grid",
        question="How do model, loss and sampling combine?",
        finding=finding + _spread(board),
        blocks=(Text((RULE,)), *maps, _table(board)),
    )


def _spread(board: Board) -> str:
    """How far the means of the models lie apart, and those of the losses: a hint at what matters,
    not a test.
    """
    parts = []
    for name in ("model", "loss", "sampling"):
        means = []
        for value in distinct(getattr(cell, name) for cell in board.run.cells):
            cells = [i for i, cell in enumerate(board.run.cells) if getattr(cell, name) == value]
            scores = [board.standings[NATIVE][i, MEAN].dice for i in cells]
            means.append([score for score in scores if not math.isnan(score)])
        averages = [sum(scores) / len(scores) for scores in means if scores]
        if len(averages) > 1:
            parts.append(f"{name} {number(max(averages) - min(averages))}")
    return (
        f" Spread of the average Dice between the values of one factor: {listed(parts)}."
        if parts
        else ""
    )


def _map(board: Board, label: int, ratio: str) -> HeatMap:
    columns = sorted(
        {(cell.loss, cell.sampling) for cell in board.run.cells}, key=_column_order(board)
    )
    losses = [loss for loss, _ in columns]
    title = "mean of classes" if label == MEAN else board.run.classes[label]
    rows = []
    for model in distinct(cell.model for cell in board.run.cells):
        cells = tuple(
            _cell(board, Cell(model=model, loss=loss, sampling=sampling), label, ratio)
            for loss, sampling in columns
        )
        rows.append((model, model_colour(board.run, model), cells))
    name = "Dice" if ratio == "dice" else "IoU"
    standings = [standing for (_, of), standing in board.standings[NATIVE].items() if of == label]
    caption = (
        f"{_range(standings, ratio)}; mean over n = {standings[0].n} test patients and all "
        "seeds, native grid."
    )
    return HeatMap(
        id=f"grid-{'mean' if label == MEAN else label}-{ratio}",
        title=f"{title[:1].upper()}{title[1:]}, {name}",
        caption=caption,
        groups=tuple((loss, losses.count(loss)) for loss in distinct(losses)),
        columns=tuple(sampling for _, sampling in columns),
        rows=tuple(rows),
    )


def _column_order(board: Board):
    losses, samplings = (
        distinct(cell.loss for cell in board.run.cells),
        distinct(cell.sampling for cell in board.run.cells),
    )
    return lambda column: (losses.index(column[0]), samplings.index(column[1]))


def _range(standings: list[Standing], ratio: str) -> str:
    values = [
        getattr(standing, ratio)
        for standing in standings
        if not math.isnan(getattr(standing, ratio))
    ]
    return f"{span(values, 2)} over {many(len(values), 'cell')}" if values else "no score yet"


def _cell(board: Board, cell: Cell, label: int, ratio: str) -> Hole:
    if cell not in board.run.cells:
        return ("", "", "", "not in this grid")
    standing = board.standings[NATIVE][board.run.cells.index(cell), label]
    value = getattr(standing, ratio)
    if math.isnan(value):
        return (_hole(board, cell), "", "", f"{cell_name(cell)} has no test score")
    background, colour = heat(value)
    interval = ranged(value, getattr(standing, f"{ratio}_low"), getattr(standing, f"{ratio}_high"))
    return (
        number(value, 2),
        background,
        colour,
        f"{cell_name(cell)}: {interval}, {many(standing.seeds, 'seed')}",
    )


def _hole(board: Board, cell: Cell) -> str:
    """Why a cell has no score: the reason of its failed final trial, or that none has ended."""
    ended = [
        result
        for result in board.run.results
        if result.spec.phase == FINAL and result.spec.cell == cell
    ]
    failed = [result.reason or result.state.lower() for result in ended if result.state != COMPLETE]
    return f"failed: {failed[0]}" if failed else "not run"


def _table(board: Board) -> Table:
    labels = (MEAN, *board.run.labels)
    names = ["mean of classes", *(board.run.classes[label] for label in board.run.labels)]
    columns = [Column("model"), Column("loss"), Column("sampling")]
    columns += [Column(f"{name} {ratio}", True) for name in names for ratio in ("Dice", "IoU")]
    rows = []
    for i, cell in enumerate(board.run.cells):
        row = [
            Entry(cell.model, swatch=model_colour(board.run, cell.model)),
            Entry(cell.loss),
            Entry(cell.sampling),
        ]
        for label in labels:
            standing = board.standings[NATIVE][i, label]
            hole = "" if standing.seeds else _hole(board, cell)
            for ratio in ("dice", "iou"):
                value, low, high = (getattr(standing, ratio + end) for end in ("", "_low", "_high"))
                row.append(
                    Entry(hole or ranged(value, low, high), value, look="quiet" if hole else "")
                )
        rows.append(tuple(row))
    return Table(
        id="grid-table",
        caption="Every cell with its intervals",
        columns=tuple(columns),
        rows=tuple(rows),
        folded=True,
    )
