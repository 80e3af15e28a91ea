"""Who is ahead in each class: a table, a forest plot of every mean, and one of the differences to the chosen."""

import math
from typing import Any

from reports.board import Board
from reports.choice import SAME, Choice
from reports.forest import panels, points
from reports.palette import mark, model_colour
from reports.section import Block, Column, Entry, Figure, Section, Table, Text
from reports.summary import MEAN, Standing
from reports.wording import cell_name, listed, many, number, percent, plain, ranged, signed_range
from trials.result import CUBE, NATIVE

ROW, FRAME, NAMES, PANEL = 26, 96, 220, 165


def leaderboard(board: Board) -> Section | None:
    """Every configuration, best mean first; nothing before a first final trial."""
    order = ranked(board)
    if not order:
        return None
    blocks: list[Block] = [_overview(board, order), _forest(board, order)]
    if board.choice is not None and len(order) > 1:
        blocks.append(_differences(board, board.choice, order))
    blocks += [_class_table(board, order, label) for label in board.run.labels]
    rule = (
        "Scores are taken on each patient's own voxel grid, as a mean over the patients whose reference holds the class and then over seeds. "
        "Intervals are 95 % bootstrap intervals over patients, with seeds resampled inside, the same draws for every configuration. "
        "Each class opens to IoU, false alarms, scores on the resampled cube, and paired tests."
    )
    return Section(
        id="leaderboard",
        title="Leaderboard",
        question="Who is ahead, class by class?",
        finding=_finding(board, order),
        blocks=(*blocks, Text((rule,))),
    )


def ranked(board: Board) -> list[int]:
    """The configurations that have a test score, best mean Dice first."""
    standings = board.standings[NATIVE]
    scored = [i for i in range(len(board.run.cells)) if not math.isnan(standings[i, MEAN].dice)]
    return sorted(scored, key=lambda i: (-standings[i, MEAN].dice, i))


def _finding(board: Board, order: list[int]) -> str:
    leaders = []
    for label in board.run.labels:
        best = max(order, key=lambda i: _or_zero(board.standings[NATIVE][i, label].dice))
        standing = board.standings[NATIVE][best, label]
        if standing.n:
            leaders.append(f"{board.run.classes[label]} {cell_name(board.run.cells[best])} ({number(standing.dice)})")
    return f"Highest test Dice: {listed(leaders)}. Being the highest of {len(order)} is partly luck: read it with its interval."


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def configuration(board: Board, i: int) -> Entry:
    """A configuration's name with its model's colour; the chosen one says so."""
    cell = board.run.cells[i]
    chosen = board.choice is not None and board.choice.chosen == i
    return Entry(cell_name(cell), look="chosen" if chosen else "", swatch=model_colour(board.run, cell.model))


def _score(standing: Standing) -> Entry:
    if not standing.n:
        return Entry("n/a", look="quiet", hint="no test patient holds this class")
    return Entry(ranged(standing.dice, standing.dice_low, standing.dice_high), standing.dice)


def _overview(board: Board, order: list[int]) -> Table:
    labels = (MEAN, *board.run.labels)
    names = {MEAN: "mean of classes"} | {label: board.run.classes[label] for label in board.run.labels}
    columns = (
        Column("configuration"),
        *(
            Column(f"{names[label]}", True, f"Dice [95 % interval], n = {board.standings[NATIVE][order[0], label].n}")
            for label in labels
        ),
        Column("on the cube", True, "mean Dice on the resampled cube, without the way back to the patient's own grid"),
        Column("ranks first", True, "share of the resamples in which this configuration has the highest mean Dice"),
        Column("seeds", True),
    )
    rows = []
    for i in order:
        standing, cube = board.standings[NATIVE][i, MEAN], board.standings[CUBE][i, MEAN]
        first = board.choice.first[i] if board.choice else float("nan")
        scores = [_score(board.standings[NATIVE][i, label]) for label in labels]
        tail = (Entry(number(cube.dice), cube.dice), Entry(percent(first), first), Entry(str(standing.seeds), standing.seeds))
        rows.append((configuration(board, i), *scores, *tail))
    held = listed(
        [f"{board.run.classes[label]} n = {board.standings[NATIVE][order[0], label].n}" for label in board.run.labels]
    )
    caption = (
        f"Test Dice with 95 % interval, native grid ({held}). The one chosen on validation is marked. Click a heading to sort."
    )
    return Table(id="leaderboard-table", caption=caption, columns=columns, rows=tuple(rows))


def _forest(board: Board, order: list[int]) -> Figure:
    labels = [label for label in (MEAN, *board.run.labels) if board.standings[NATIVE][order[0], label].n]
    titles = ["mean of classes" if label == MEAN else board.run.classes[label] for label in labels]
    data = [trace for panel, label in enumerate(labels) for trace in _panel(board, order, label, panel)]
    layout = panels([plain(title) for title in titles], [plain(cell_name(board.run.cells[i])) for i in reversed(order)])
    sizes = sorted({board.standings[NATIVE][order[0], label].n for label in labels})
    caption = (
        f"{many(len(order), 'configuration')}, best mean first. Where intervals overlap widely, the order of the rows says little. "
        f"Mean test Dice with 95 % interval, n = {listed([str(size) for size in sizes])} patients; colour is the model, shape the loss, fill the sampling."
    )
    return Figure(
        id="forest",
        caption=caption,
        data=tuple(data),
        layout=layout,
        table=_forest_table(board, order, labels, titles),
        height=FRAME + ROW * len(order),
        least_width=NAMES + PANEL * len(labels),
    )


def _panel(board: Board, order: list[int], label: int, panel: int) -> list[dict[str, Any]]:
    """One trace a model, so that its colour holds in every panel."""
    standings, traces = board.standings[NATIVE], []
    for model in dict.fromkeys(cell.model for cell in board.run.cells):
        cells = [i for i in order if board.run.cells[i].model == model]
        values = [standings[i, label] for i in cells]
        colour = model_colour(board.run, model)
        traces.append(
            points(
                [plain(cell_name(board.run.cells[i])) for i in cells],
                [(value.dice, value.dice_low, value.dice_high) for value in values],
                colour,
                [mark(board.run, board.run.cells[i]) for i in cells],
                panel,
            )
        )
    return [trace for trace in traces if trace["y"]]


def _forest_table(board: Board, order: list[int], labels: list[int], titles: list[str]) -> Table:
    columns = (Column("configuration"), *(Column(title, True) for title in titles))
    rows = tuple((configuration(board, i), *(_score(board.standings[NATIVE][i, label]) for label in labels)) for i in order)
    return Table(id="forest-table", caption="The means and intervals of the figure.", columns=columns, rows=rows)


def _differences(board: Board, choice: Choice, order: list[int]) -> Figure:
    rivals = [i for i in order if i != choice.chosen]
    rows = [plain(cell_name(board.run.cells[i])) for i in reversed(rivals)]
    layout = panels(["Dice ahead of the rival"], rows)
    band = {"type": "rect", "xref": "x", "yref": "paper", "x0": -SAME, "x1": SAME, "y0": 0, "y1": 1, "line": {"width": 0}}
    line = {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "line": {"color": "var(--muted)", "width": 1},
    }
    layout["shapes"] = [{**band, "fillcolor": "var(--band)", "layer": "below"}, line]
    data = []
    for resolved, colour in ((True, "var(--ink)"), (False, "var(--muted)")):
        cells = [i for i in rivals if bool(choice.resolved[i]) == resolved]
        names = [plain(cell_name(board.run.cells[i])) for i in cells]
        values = [(choice.lead[i], choice.low[i], choice.high[i]) for i in cells]
        data.append(points(names, values, colour, ["circle" if resolved else "circle-open"] * len(cells), 0))
    resolved_count = sum(bool(choice.resolved[i]) for i in rivals)
    caption = (
        f"{cell_name(board.run.cells[choice.chosen])}, chosen on validation, is resolved against {resolved_count} of {many(len(rivals), 'rival')} "
        f"(filled).{_why_open(board)} Paired difference of the mean test Dice with 95 % interval, n = {board.standings[NATIVE][choice.chosen, MEAN].n} patients, "
        f"seeds averaged; the band is ±{SAME}."
    )
    return Figure(
        id="differences",
        caption=caption,
        data=tuple(trace for trace in data if trace["y"]),
        layout=layout,
        table=_difference_table(board, choice, rivals),
        height=FRAME + ROW * len(rivals),
        least_width=NAMES + 2 * PANEL,
    )


def _why_open(board: Board) -> str:
    return " With one seed a cell no gap is: the luck of a training was not measured." if len(board.run.seeds) == 1 else ""


def _difference_table(board: Board, choice: Choice, rivals: list[int]) -> Table:
    columns = (Column("rival"), Column("difference [95 % interval]", True), Column("verdict"))
    rows = tuple(
        (
            configuration(board, i),
            Entry(signed_range(choice.lead[i], choice.low[i], choice.high[i]), choice.lead[i]),
            Entry("resolved" if choice.resolved[i] else "not resolved", look="" if choice.resolved[i] else "quiet"),
        )
        for i in rivals
    )
    return Table(id="differences-table", caption="The chosen configuration minus each rival.", columns=columns, rows=rows)


def _class_table(board: Board, order: list[int], label: int) -> Table:
    first = board.standings[NATIVE][order[0], label]
    columns = (
        Column("configuration"),
        Column("Dice [95 % interval]", True),
        Column("IoU [95 % interval]", True),
        Column("Dice on the cube", True, "the resampled cube, with its 95 % interval"),
        Column(
            "false alarms",
            True,
            f"share of the {first.label_free} patients without the class in whom it was predicted, over all seeds",
        ),
        Column("false voxels", True, "predicted there on average, in voxels of the patient's own grid"),
        Column(
            "p against the chosen",
            True,
            "signed-rank test over patients, seeds averaged, zeros by Pratt; Holm over all rivals and classes",
        ),
        Column("seeds", True),
    )
    rows = tuple(_class_row(board, i, label) for i in order)
    caption = f"{board.run.classes[label]}: n = {first.n} patients hold it, {first.label_free} do not"
    return Table(id=f"leaderboard-class-{label}", caption=caption, columns=columns, rows=rows, folded=True)


def _class_row(board: Board, i: int, label: int) -> tuple[Entry, ...]:
    standing, cube = board.standings[NATIVE][i, label], board.standings[CUBE][i, label]
    p = board.choice.p.get((i, label), float("nan")) if board.choice else float("nan")
    return (
        configuration(board, i),
        _score(standing),
        Entry(ranged(standing.iou, standing.iou_low, standing.iou_high), standing.iou),
        Entry(ranged(cube.dice, cube.dice_low, cube.dice_high), cube.dice),
        Entry(percent(standing.fp_share) if standing.label_free else "none is free of it", standing.fp_share),
        Entry(number(standing.fp_voxels, 0), standing.fp_voxels),
        Entry("" if math.isnan(p) else "below 0.001" if p < 0.001 else number(p), p),
        Entry(str(standing.seeds), standing.seeds),
    )
