"""What happened to each trial and what it cost: the failed first, a timeline, the facts each one recorded."""

import math
from datetime import datetime
from typing import Any

from reports.board import Board
from reports.notes import num_states
from reports.palette import distinct, mark, model_colour
from reports.section import Block, Column, Entry, Figure, Section, Table
from reports.table import compact
from reports.wording import cell_name, duration, listed, many, number, plain, quantity
from trials.result import COMPLETE, TrialResult
from trials.spec import FINAL, PRETRAIN, TUNE

PHASES = (PRETRAIN, TUNE, FINAL)
LONGEST = 160


def trials(board: Board) -> Section:
    """Every trial with its state and reason."""
    results = board.run.results
    blocks: list[Block] = []
    if timed := _timed(results):
        blocks.append(_timeline(board, timed))
    if cost := _cost(board):
        blocks.append(cost)
    failed = [result for result in results if result.state != COMPLETE]
    if failed:
        blocks.append(_table(board, failed, "trials-failed", "Trials that did not complete", False))
    for phase in reversed(PHASES):
        of_phase = [result for result in results if result.spec.phase == phase]
        if of_phase:
            blocks.append(_table(board, of_phase, f"trials-{phase}", f"{many(len(of_phase), f'{phase} trial')}, every one", True))
    if board.run.finals:
        blocks.append(_facts(board))
    return Section(
        id="trials",
        title="Trials and cost",
        question="What happened to each trial, and what did it cost?",
        finding=_finding(board),
        blocks=tuple(blocks),
    )


def _finding(board: Board) -> str:
    if not board.run.results:
        return "No trial has ended."
    phases = [f"{phase} {listed([f'{count} {state.lower()}' for state, count in num_states(board.run, phase).items()])}" for phase in PHASES]
    ended = [text for phase, text in zip(PHASES, phases, strict=True) if num_states(board.run, phase)]
    seconds = sum(result.seconds for result in board.run.results)
    peak = max(result.peak_gib for result in board.run.results)
    return f"{'; '.join(ended)}. Together {duration(seconds)} of training time, {peak:.2g} GiB at most."


def _seconds_since(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _timed(results: tuple[TrialResult, ...]) -> list[tuple[float, int, TrialResult]]:
    """Trials by start, with seconds since the first and the lane, the lowest that is free then; those without a clock are left out."""
    starts = [(start, result) for result in results if (start := _seconds_since(result.started)) is not None and result.seconds > 0]
    starts.sort(key=lambda pair: (pair[0], pair[1].trial))
    free_at: list[float] = []
    timed = []
    for start, result in starts:
        lane = next((i for i, free in enumerate(free_at) if free <= start), len(free_at))
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
        f"{many(len(timed), 'trial')} in {duration(end)}: up to {lanes} at a time, and {100 * busy:.0f} % of that room was used. "
        "Each bar is a trial from start to end in the first free lane; outlined bars did not complete."
    )
    columns = (Column("trial"), Column("configuration"), Column("phase"), Column("start, s", True), Column("seconds", True), Column("lane", True))
    rows = tuple(
        (
            Entry(result.trial, look="code"),
            Entry(cell_name(result.spec.cell)),
            Entry(result.spec.phase),
            Entry(f"{start:.0f}", start),
            Entry(number(result.seconds, 1), result.seconds),
            Entry(str(lane), lane),
        )
        for start, lane, result in timed
    )
    table = Table(id="timeline-table", caption="Start and length of each trial.", columns=columns, rows=rows)
    return Figure(id="timeline", caption=caption, data=tuple(data), layout=layout, table=table, height=130 + 30 * min(lanes, 16))


def _colour(board: Board, model: str) -> str:
    return model_colour(board.run, model) if model in distinct(cell.model for cell in board.run.cells) else "var(--muted)"


def _bars(board: Board, timed: list[tuple[float, int, TrialResult]], model: str, unit: int) -> dict[str, Any]:
    mine = [(start, lane, result) for start, lane, result in timed if result.spec.cell.model == model]
    colour = _colour(board, model)
    return {
        "type": "bar",
        "orientation": "h",
        "name": plain(model),
        "base": [round(start / unit, 3) for start, _, _ in mine],
        "x": [round(result.seconds / unit, 3) for _, _, result in mine],
        "y": [lane for _, lane, _ in mine],
        "customdata": [plain(f"{result.spec.phase} {cell_name(result.spec.cell)}, seed {result.spec.seed}") for _, _, result in mine],
        "marker": {
            "color": [colour if result.state == COMPLETE else "var(--page)" for _, _, result in mine],
            "line": {"color": colour, "width": [0.5 if result.state == COMPLETE else 2 for _, _, result in mine]},
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
                    "line": {"width": 1.5},
                },
                "hovertemplate": "%{customdata}<br>%{x:.3g} s, Dice %{y:.3f}<extra></extra>",
            }
        )
    best = max(points, key=lambda point: (point[2] / point[1], -point[0]))
    caption = (
        f"{cell_name(board.run.cells[best[0]])} gets the most validation Dice a second. Mean training time against mean validation Dice, "
        f"{len(points)} configurations, native grid; colour is the model, shape the loss, fill the sampling."
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


def _table(board: Board, results: list[TrialResult], name: str, caption: str, folded: bool) -> Table:
    hypers = sorted({key for result in results for key in result.spec.hyper})
    columns = (
        *(Column(text) for text in ("trial", "state", "configuration", "seed", "number")),
        *(Column(key.replace("_", " "), True) for key in hypers),
        *(Column(text, True) for text in ("validation", "best epoch", "epochs", "seconds", "peak GiB")),
        Column("reason"),
    )
    order = sorted(results, key=lambda result: (result.state == COMPLETE, result.state, cell_name(result.spec.cell), result.spec.seed, result.spec.number))
    return Table(id=name, caption=caption, columns=columns, rows=tuple(_trial(board, result, hypers) for result in order), folded=folded)


def _trial(board: Board, result: TrialResult, hypers: list[str]) -> tuple[Entry, ...]:
    spec = result.spec
    score = math.nan if result.val_score is None else result.val_score
    reason = ": ".join(part for part in (result.reason, result.error) if part)
    return (
        Entry(result.trial, look="code"),
        Entry(result.state.lower(), look="" if result.state == COMPLETE else "bad" if result.state == "FAILED" else "quiet"),
        Entry(cell_name(spec.cell), swatch=_colour(board, spec.cell.model)),
        Entry(str(spec.seed), spec.seed),
        Entry(str(spec.number), spec.number),
        *(_hyper(spec.hyper.get(key)) for key in hypers),
        Entry("" if math.isnan(score) else number(score), score),
        Entry("" if result.best_epoch is None else str(result.best_epoch), result.best_epoch),
        Entry(str(len(result.curve)), len(result.curve)),
        Entry(number(result.seconds, 1), result.seconds),
        Entry(f"{result.peak_gib:.2f}", result.peak_gib),
        Entry(_short(reason), hint=reason if len(reason) > LONGEST else ""),
    )


def _hyper(value: float | tuple[float, ...] | None) -> Entry:
    if value is None:
        return Entry("")
    if isinstance(value, tuple):
        return Entry(", ".join(f"{part:.3g}" for part in value))
    return Entry(f"{value:.3g}", value)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _facts(board: Board) -> Table:
    """What the final trials recorded about themselves, whatever that is."""
    names = sorted({name for result in board.run.finals for name in result.facts})
    columns = (Column("configuration"), Column("seed", True), *(Column(name.replace("_", " ")) for name in names))
    rows = tuple(
        (
            Entry(cell_name(result.spec.cell), swatch=_colour(board, result.spec.cell.model)),
            Entry(str(result.spec.seed), result.spec.seed),
            *(_fact(result.facts.get(name)) for name in names),
        )
        for result in sorted(board.run.finals, key=lambda result: (board.run.cells.index(result.spec.cell), result.spec.seed))
    )
    return Table(id="trials-facts", caption="What the final trials recorded about themselves", columns=columns, rows=rows, folded=True)


def _fact(value: object) -> Entry:
    if value is None:
        return Entry("")
    if isinstance(value, float):
        return Entry(f"{value:.4g}", value)
    text = value if isinstance(value, str) else compact(value)
    return Entry(_short(text), hint=text if len(text) > LONGEST else "")
