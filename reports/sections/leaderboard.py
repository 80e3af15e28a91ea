"""Who is ahead in each class: a table of all configurations, their forest plots, and a table a
class.
"""

import math
from collections.abc import Callable

from reports.analysis.comparisons import CHOSEN, CLASSES
from reports.analysis.context import Board
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Entry, Section, Table, Text
from reports.figures.cells import (
    class_name,
    configuration,
    nothing_known,
    outsider,
    ranked,
    scored,
    surface_entries,
)
from reports.figures.forest import difference_figure, mean_figure
from reports.formatting import cell_name, listed, number, percent
from trials.records.result import CUBE, NATIVE

Row = tuple[Entry, ...]
MakeRow = Callable[[int], Row]
# With more configurations than this the tables by class are folded.
OPEN_ROWS = 16
RULE = (
    "Scores are taken on each patient's own voxel grid, as a mean over the patients whose "
    "reference holds the class, then over "
    "the seeds. Intervals are 95 % bootstrap intervals over patients, with the same draws for "
    "every one of them. They include "
    "the variance between seeds, estimated from all trainings, and are widened for its degrees of "
    "freedom (Student's t). "
    "False alarms count the patients without the class in whom it was predicted."
)


SURFACE_RULE = (
    "share of both surfaces that lies within the tolerance of the other, over the patients whose "
    "reference holds the class; "
    "native grid, with its 95 % interval"
)


def leaderboard(board: Board) -> Section | None:
    """Every configuration, best mean first; nothing before a first final trial."""
    order = ranked(board)
    if not order:
        return None
    blocks: list[Block] = [_overview(board, order), mean_figure(board, order)]
    if board.choice is not None and len(order) > 1:
        blocks.append(difference_figure(board, board.choice, order))
    blocks += [_class_table(board, order, label) for label in board.run.labels]
    blocks.append(_background_table(board, order))
    return Section(
        id="leaderboard",
        title="Leaderboard",
        question="Who is ahead, class by class?",
        finding=_finding(board, order),
        blocks=(*blocks, Text((RULE, *_tolerances(board)))),
    )


def _tolerances(board: Board) -> tuple[str, ...]:
    """Which surfaces count as agreeing, in words; nothing for a run without surfaces."""
    by_region = board.surface_rows.groupby("region")["tolerance_mm"].first()
    named = [
        f"{name} {by_region[name]:.2f} mm" for name in board.run.classes[1:] if name in by_region
    ]
    return (
        (f"Two surfaces agree where they lie within a tolerance of each other: {listed(named)}.",)
        if named
        else ()
    )


def _finding(board: Board, order: list[int]) -> str:
    standings, leaders = board.standings[NATIVE], []
    for label in board.run.labels:
        if standings[order[0], label].n:
            best = max(order, key=lambda i: standings[i, label].dice)
            dice = number(standings[best, label].dice)
            leader = (
                f"{cell_name(board.run.cells[best])} ({dice})"
                if float(dice)
                else "none (0.000 throughout)"
            )
            leaders.append(f"{board.run.classes[label]} {leader}")
    luck = (
        f" Being the highest of {len(order)} is partly chance: read it with its interval."
        if len(order) > 1
        else ""
    )
    return f"Highest test Dice: {listed(leaders)}.{luck}"


def _overview(board: Board, order: list[int]) -> Table:
    labels, standings = (MEAN, *board.run.labels), board.standings[NATIVE]
    columns = (
        Column("configuration"),
        *(
            Column(class_name(board, label), True, f"Dice, n = {standings[order[0], label].n}")
            for label in labels
        ),
        *((Column("Surface Dice", True, SURFACE_RULE),) if board.agreements else ()),
        Column(
            "on the cube",
            True,
            "mean Dice on the resampled cube, without the way back to the patient's own grid",
        ),
        Column(
            "ranks first",
            True,
            "share of the resamples in which this configuration has the highest mean Dice",
        ),
        Column("seeds", True),
    )
    held = listed(
        [
            f"{board.run.classes[label]} n = {standings[order[0], label].n}"
            for label in board.run.labels
        ]
    )
    caption = (
        f"Test Dice with 95 % interval, native grid ({held}). The one chosen on validation "
        "is marked."
    )
    if board.outsiders.names:
        caption += (
            " From outside, scored by the same rules and never chosen: "
            f"{listed(board.outsiders.names)}."
        )
    return Table(
        id="leaderboard-table",
        caption=caption,
        columns=columns,
        rows=_merged(
            board, order, lambda i: _row(board, i, labels), lambda o: _outside_row(board, o, labels)
        ),
    )


def _row(board: Board, i: int, labels: tuple[int, ...]) -> tuple[Entry, ...]:
    standings = [board.standings[NATIVE][i, label] for label in labels]
    cube, seeds = board.standings[CUBE][i, MEAN].dice, standings[0].seeds
    first = float(board.choice.first[i]) if board.choice else math.nan
    scores = [
        scored(standing.dice, standing.dice_low, standing.dice_high) for standing in standings
    ]
    tail = (Entry(number(cube), cube), Entry(percent(first), first), Entry(str(seeds), seeds))
    return (
        configuration(board, i),
        *scores,
        *surface_entries(board, board.agreements, i, MEAN),
        *tail,
    )


def _merged(board: Board, order: list[int], ours: MakeRow, theirs: MakeRow) -> tuple[Row, ...]:
    """The rows of the configurations in their order, with every outside contestant where its mean
    Dice puts it.
    """
    rows = [(board.standings[NATIVE][i, MEAN].dice, ours(i)) for i in order]
    rows += [
        (board.outsiders.standings[o, MEAN].dice, theirs(o))
        for o in range(len(board.outsiders.names))
    ]
    return tuple(row for _, row in sorted(rows, key=lambda row: -row[0]))


def _outside_row(board: Board, o: int, labels: tuple[int, ...]) -> Row:
    standings = [board.outsiders.standings[o, label] for label in labels]
    scores = [
        scored(standing.dice, standing.dice_low, standing.dice_high) for standing in standings
    ]
    surfaces = surface_entries(board, board.outsiders.agreements, o, MEAN)
    return (outsider(board.outsiders.names[o]), *scores, *surfaces, *[nothing_known()] * 3)


def _outside_class_row(board: Board, o: int, label: int) -> Row:
    standing = board.outsiders.standings[o, label]
    share, voxels = standing.fp_share, standing.fp_voxels
    return (
        outsider(board.outsiders.names[o]),
        scored(standing.dice, standing.dice_low, standing.dice_high),
        scored(standing.iou, standing.iou_low, standing.iou_high),
        *surface_entries(board, board.outsiders.agreements, o, label),
        nothing_known(),
        *(
            (Entry(percent(share), share), Entry(number(voxels, 0), voxels))
            if standing.label_free
            else ()
        ),
        nothing_known(),
        nothing_known(),
    )


def _class_table(board: Board, order: list[int], label: int) -> Table:
    first = board.standings[NATIVE][order[0], label]
    test = (
        "the larger p of the signed-rank test over patients (seeds averaged, zeros by Pratt) and "
        "of Student's t over patients "
        "and trainings; Holm over all rivals and classes"
    )
    alarms = (
        Column(
            "false alarms",
            True,
            f"share of the {first.label_free} patients without the class in whom it was predicted",
        ),
        Column(
            "false voxels",
            True,
            "predicted in them on average, in voxels of the patient's own grid",
        ),
    )
    columns = (
        Column("configuration"),
        Column("Dice", True, "native grid, with its 95 % interval"),
        Column("IoU", True, "native grid, with its 95 % interval"),
        *((Column("Surface Dice", True, SURFACE_RULE),) if board.agreements else ()),
        Column("Dice on the cube", True, "the resampled cube, with its 95 % interval"),
        *(alarms if first.label_free else ()),
        Column("p against chosen", True, test),
        Column("seeds", True),
    )
    caption = (
        f"{board.run.classes[label]}: n = {first.n} test patients hold it, "
        f"{first.label_free} do not."
    )
    rows = _merged(
        board,
        order,
        lambda i: _class_row(board, i, label),
        lambda o: _outside_class_row(board, o, label),
    )
    folded = len(order) > OPEN_ROWS
    return Table(
        id=f"leaderboard-class-{label}", caption=caption, columns=columns, rows=rows, folded=folded
    )


def _class_row(board: Board, i: int, label: int) -> tuple[Entry, ...]:
    standing, cube = board.standings[NATIVE][i, label], board.standings[CUBE][i, label]
    p = _p_against_chosen(board, i, label)
    share, voxels = standing.fp_share, standing.fp_voxels
    return (
        configuration(board, i),
        scored(standing.dice, standing.dice_low, standing.dice_high),
        scored(standing.iou, standing.iou_low, standing.iou_high),
        *surface_entries(board, board.agreements, i, label),
        scored(cube.dice, cube.dice_low, cube.dice_high),
        *(
            (Entry(percent(share), share), Entry(number(voxels, 0), voxels))
            if standing.label_free
            else ()
        ),
        Entry("" if math.isnan(p) else "below 0.001" if p < 0.001 else number(p), p),
        Entry(str(standing.seeds), standing.seeds),
    )


def _p_against_chosen(board: Board, i: int, label: int) -> float:
    """Holm-adjusted, in the declared family that compares the chosen with all others class by
    class; NaN without one.
    """
    for family in board.families:
        if board.choice and family.family.pairs == CHOSEN and family.family.score == CLASSES:
            return family.adjusted.get((board.choice.chosen, i, label), math.nan)
    return math.nan


def _background_table(board: Board, order: list[int]) -> Table:
    """Label 0, shown since it was scored, folded and in no mean since predicting nothing scores
    nearly as much.
    """
    rows = board.scores.query("phase == 'final' and split == 'test' and label == 0")
    means = rows.groupby(["space", "model", "loss", "sampling"])[["dice", "iou"]].mean()
    columns = (
        Column("configuration"),
        Column("Dice", True, "native grid"),
        Column("IoU", True, "native grid"),
        Column("Dice on the cube", True, "the resampled cube"),
    )

    def entries(i: int) -> tuple[Entry, ...]:
        cell = board.run.cells[i]
        key = (cell.model, cell.loss, cell.sampling)
        values = (means.dice[(NATIVE, *key)], means.iou[(NATIVE, *key)], means.dice[(CUBE, *key)])
        return (
            configuration(board, i),
            *(Entry(number(value, 4), float(value)) for value in values),
        )

    n = rows.case.nunique()
    caption = (
        f"{board.run.classes[0]}: mean over all {n} test patients and seeds. Nearly every voxel is "
        "background, so that a model "
        "that predicts nothing scores almost as well; it enters no other number here."
    )
    return Table(
        id="leaderboard-background",
        caption=caption,
        columns=columns,
        rows=tuple(map(entries, order)),
        folded=True,
    )
