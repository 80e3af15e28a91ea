"""What the run cost: a timeline of all trials, and validation Dice against training time."""

import math
from datetime import datetime
from typing import Any

from reports.board import Board
from reports.forest import KEY
from reports.palette import distinct, mark, model_colour, trial_colour
from reports.section import Block, Column, Entry, Figure, Section, Table
from reports.wording import cell_name, duration, many, number, percent, plain, quantity
from trials.result import COMPLETE, TrialResult


def cost(board: Board) -> Section | None:
    """Time, memory and size; nothing before a first trial has ended."""
    results = board.run.results
    if not results:
        return None
    blocks: list[Block] = []
    if timed := _timed(results):
        blocks.append(_timeline(board, timed))
    if against_dice := _cost(board):
        blocks.append(against_dice)
    seconds, peak = sum(result.seconds for result in results), max(result.peak_gib for result in results)
    finding = f"{many(len(results), 'trial')} took {duration(seconds)} of training time, {peak:.2g} GiB at most."
    return Section(id="cost", title="Cost", question="What did it cost?", finding=finding, blocks=tuple(blocks))


def _seconds_since(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _timed(results: tuple[TrialResult, ...]) -> list[tuple[float, int, TrialResult]]:
    """Trials by start: seconds since the first, the lowest free lane, the trial; those without a clock are left out."""
    starts = [
        (start, result) for result in results if (start := _seconds_since(result.started)) is not None and result.seconds > 0
    ]
    starts.sort(key=lambda pair: (pair[0], pair[1].trial))
    free_at: list[float] = []
    timed = []
    for start, result in starts:
        # Starts are kept in whole seconds, so a trial may seem to begin up to one before its worker was free.
        lane = next((i for i, free in enumerate(free_at) if free <= start + 1), len(free_at))
        free_at[lane : lane + 1] = [start + result.seconds]
        timed.append((start - starts[0][0], lane, result))
    return timed


def _timeline(board: Board, timed: list[tuple[float, int, TrialResult]]) -> Figure:
    end = max(start + result.seconds for start, _, result in timed)
    lanes = max(lane for _, lane, _ in timed) + 1
    unit, name = (1, "seconds") if end < 300 else (60, "minutes") if end < 18_000 else (3600, "hours")
    data = [_bars(board, timed, model, unit) for model in distinct(result.spec.cell.model for _, _, result in timed)]
    layout = {
        "barmode": "overlay",
        "bargap": 0.25,
        "margin": {"l": 56, "r": 10, "t": 36, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": f"{name} since the first trial began"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "lane"}, "dtick": 1, "autorange": "reversed"},
    }
    busy = sum(result.seconds for _, _, result in timed) / (end * lanes)
    caption = (
        f"{many(len(timed), 'trial')} in {duration(end)}: up to {lanes} at a time, and {percent(busy)} of that room was used. "
        "Each bar is a trial from start to end in the first free lane; outlined bars did not complete."
    )
    columns = (
        Column("trial"),
        Column("configuration"),
        Column("phase"),
        Column("start, s", True),
        Column("seconds", True),
        Column("lane", True),
    )
    rows = tuple(
        (
            Entry(result.trial, look="code"),
            Entry(cell_name(result.spec.cell)),
            Entry(result.spec.phase),
            Entry(f"{start:.0f}", start),
            Entry(number(result.seconds, 1), result.seconds),
            Entry(str(lane + 1), lane),
        )
        for start, lane, result in timed
    )
    table = Table(id="timeline-table", caption="Start and length of each trial.", columns=columns, rows=rows)
    return Figure(
        id="timeline", caption=caption, data=tuple(data), layout=layout, table=table, height=130 + 30 * min(lanes, 16)
    )


def _bars(board: Board, timed: list[tuple[float, int, TrialResult]], model: str, unit: int) -> dict[str, Any]:
    mine = [(start, lane, result) for start, lane, result in timed if result.spec.cell.model == model]
    colour = trial_colour(board.run, model)
    return {
        "type": "bar",
        "orientation": "h",
        "name": plain(model),
        "base": [round(start / unit, 3) for start, _, _ in mine],
        "x": [round(result.seconds / unit, 3) for _, _, result in mine],
        "y": [lane + 1 for _, lane, _ in mine],
        "customdata": [
            plain(f"{result.spec.phase} {cell_name(result.spec.cell)}, seed {result.spec.seed}") for _, _, result in mine
        ],
        "marker": {
            "color": [colour if result.state == COMPLETE else "var(--page)" for _, _, result in mine],
            "line": {"color": ["var(--page)" if result.state == COMPLETE else colour for _, _, result in mine], "width": 1.5},
        },
        "hovertemplate": "%{customdata}<br>%{x:.3g}<extra></extra>",
    }


def _cost(board: Board) -> Figure | None:
    """Validation Dice against training time, a point a configuration."""
    if board.choice is None:
        return None
    points = []
    for i, cell in enumerate(board.run.cells):
        mine = [result for result in board.run.finals if result.spec.cell == cell]
        if mine and not math.isnan(board.choice.validation[i]):
            points.append((i, sum(result.seconds for result in mine) / len(mine), float(board.choice.validation[i]), mine[0]))
    if len(points) < 2:
        return None
    data = []
    for model in distinct(board.run.cells[i].model for i, *_ in points):
        mine_of = [point for point in points if board.run.cells[point[0]].model == model]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(model),
                "x": [round(seconds, 2) for _, seconds, _, _ in mine_of],
                "y": [round(value, 4) for _, _, value, _ in mine_of],
                "customdata": [plain(cell_name(board.run.cells[i])) for i, *_ in mine_of],
                "marker": {
                    "color": model_colour(board.run, model),
                    "size": 11,
                    "symbol": [mark(board.run, board.run.cells[i]) for i, *_ in mine_of],
                    "line": {"width": 1.5, "color": model_colour(board.run, model)},
                },
                "hovertemplate": "%{customdata}<br>%{x:.3g} s, Dice %{y:.3f}<extra></extra>",
            }
        )
    best = max(points, key=lambda point: (point[2] / point[1], -point[0]))
    caption = (
        f"{cell_name(board.run.cells[best[0]])} gets the most validation Dice a second. Mean training time against "
        f"mean validation Dice, {len(points)} configurations, native grid; {KEY}."
    )
    layout = {
        "margin": {"l": 56, "r": 10, "t": 36, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "seconds a training"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "validation Dice"}},
    }
    return Figure(id="cost", caption=caption, data=tuple(data), layout=layout, table=_cost_table(board, points), height=380)


def _cost_table(board: Board, points: list[tuple[int, float, float, TrialResult]]) -> Table:
    columns = (
        Column("configuration"),
        Column("validation Dice", True),
        Column("seconds a training", True),
        Column("peak GiB", True),
        Column("parameters", True),
        Column("trained", True),
        Column("multiply-adds", True),
    )
    rows = tuple(
        (
            Entry(cell_name(board.run.cells[i]), swatch=model_colour(board.run, board.run.cells[i].model)),
            Entry(number(value), value),
            Entry(number(seconds, 1), seconds),
            Entry(f"{one.peak_gib:.2f}", one.peak_gib),
            Entry(quantity(one.num_parameters), one.num_parameters),
            Entry(quantity(one.num_trainable), one.num_trainable),
            Entry(quantity(one.multiply_adds), one.multiply_adds),
        )
        for i, seconds, value, one in points
    )
    return Table(id="cost-table", caption="What each configuration costs.", columns=columns, rows=rows)
