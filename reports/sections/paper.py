"""Whether this run reproduces the published tables: each value with ours, and whether the published
one is possible.

The facts in paper_tables.csv are tables 1 to 11 of Azorín, Cribillés, Lázaro and Román, "Visión por
Computador en Imágenes Médicas 3D" (University of Granada, 12 January 2025): KiTS23 at 128 cubed,
one seed, no intervals.
"""

import csv
import math
from collections import Counter
from dataclasses import dataclass
from importlib import resources

from reports.analysis.context import Context
from reports.analysis.summary import ScoreSummary
from reports.audit.rules import duplicates, feasible
from reports.elements import Column, Section, Table, TableCell, Text
from reports.figures.cells import scored
from reports.figures.colours import model_colour
from reports.formatting import cell_name, listed, many, number, signed
from trials.records.result import PREPARED
from trials.records.spec import Cell

SOURCE = (
    "Azorín, Cribillés, Lázaro and Román, Visión por Computador en Imágenes Médicas 3D, "
    "University of Granada, 12 January 2025"
)
# The tables print four decimals.
HALF_UNIT = 0.00005
INSIDE, DIFFERS, INFEASIBLE, NOT_RUN = (
    "inside our interval",
    "differs",
    "paper number infeasible",
    "not run",
)
DUPLICATE = "duplicate of table"
IN_WORDS = {
    INFEASIBLE: "are impossible",
    DUPLICATE: "repeat an earlier table",
    INSIDE: "lie inside our interval",
    DIFFERS: "differ from ours",
    NOT_RUN: "were not run here",
}
LOOKS = {INSIDE: "good", INFEASIBLE: "bad", NOT_RUN: "quiet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published row: overlap of one label for one configuration."""

    table: int
    cell: Cell
    label: int
    class_name: str
    iou: float
    dice: float


def published() -> tuple[Published, ...]:
    """The rows of the paper's tables, in their order."""
    text = resources.files("reports").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            table=int(row["table"]),
            cell=Cell(model=row["model"], loss=row["loss"], sampling=row["sampling"]),
            label=int(row["label"]),
            class_name=row["class_name"],
            iou=float(row["iou"]),
            dice=float(row["dice"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


def paper(context: Context) -> Section | None:
    """The 11 published tables with our scores, for a run on the paper's data; None for any
    other.
    """
    if not context.run.is_kits23:
        return None
    rows = published()
    copies = repeated_tables(rows)
    verdicts = [verdict(row, copies, _ours(context, row)) for row in rows]
    kinds = Counter(DUPLICATE if text.startswith(DUPLICATE) else text for text in verdicts)
    finding = listed([f"{kinds[kind]} {words}" for kind, words in IN_WORDS.items() if kinds[kind]])
    return Section(
        id="paper",
        title="The paper's tables",
        question="Does this run reproduce the published scores?",
        finding=f"Of {len(rows)} published rows: {finding}.",
        blocks=(_table(context, rows, verdicts), Text(_explanation(context, copies))),
    )


def repeated_tables(rows: tuple[Published, ...]) -> dict[int, int]:
    """Each table that repeats an earlier one exactly, and that earlier one."""
    tables: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        tables.setdefault(row.table, []).append((row.iou, row.dice))
    return duplicates(tables)


def verdict(row: Published, copies: dict[int, int], ours: ScoreSummary | None) -> str:
    """The verdict on a published row; of several the most serious: infeasible, duplicate, not run,
    then differs or inside our interval.
    """
    if not feasible(row.dice, row.iou, HALF_UNIT):
        return INFEASIBLE
    if row.table in copies:
        return f"{DUPLICATE} {copies[row.table]}"
    if ours is None or math.isnan(ours.dice):
        return NOT_RUN
    if math.isnan(ours.dice_low):
        return DIFFERS
    return INSIDE if ours.dice_low <= row.dice <= ours.dice_high else DIFFERS


def _ours(context: Context, row: Published) -> ScoreSummary | None:
    is_comparable = not context.run.target_regions and row.label < len(context.run.classes)
    if row.cell not in context.run.cells or not is_comparable:
        return None
    return context.summaries[PREPARED][context.run.cells.index(row.cell), row.label]


def _table(context: Context, rows: tuple[Published, ...], verdicts: list[str]) -> Table:
    columns = (
        Column("table", True),
        Column("configuration"),
        Column("class"),
        Column("paper IoU", True),
        Column("paper Dice", True),
        Column(
            "our Dice on the cube",
            True,
            "mean over the patients whose reference has the class, with its 95 % interval",
        ),
        Column("ours minus paper", True),
        Column("verdict"),
    )
    table_rows = tuple(_row(context, row, text) for row, text in zip(rows, verdicts, strict=True))
    caption = (
        "Published scores and ours. Ours are means over patients on the resampled cube, as in "
        "the paper; the paper does not say how it averaged."
    )
    return Table(id="paper-table", caption=caption, columns=columns, rows=table_rows)


def _row(context: Context, row: Published, text: str) -> tuple[TableCell, ...]:
    ours = _ours(context, row)
    swatch = (
        model_colour(context.run, row.cell.model)
        if row.cell.model in {cell.model for cell in context.run.cells}
        else ""
    )
    head = (
        TableCell(str(row.table), row.table),
        TableCell(cell_name(row.cell), swatch=swatch),
        TableCell(row.class_name),
        TableCell(number(row.iou, 4), row.iou),
        TableCell(number(row.dice, 4), row.dice),
    )
    tail = TableCell(text, look=LOOKS.get(text, ""))
    if ours is None or math.isnan(ours.dice):
        return (*head, TableCell(NOT_RUN, math.nan, look="quiet"), TableCell("", math.nan), tail)
    gap = ours.dice - row.dice
    return (
        *head,
        scored(ours.dice, ours.dice_low, ours.dice_high),
        TableCell(signed(gap), gap),
        tail,
    )


def _explanation(context: Context, copies: dict[int, int]) -> tuple[str, ...]:
    repeats = " ".join(
        f"Table {table} repeats table {first} exactly." for table, first in copies.items()
    )
    return (
        f"Source: {SOURCE}; tables 1 to 11. The published scores are shown for comparison only. "
        "The paper gives one training per configuration, no intervals, and no learning rate in "
        f"3D. Our scores: {many(len(context.test[PREPARED].cases), 'test case')}.",
        "Infeasible: no masks have this pair of Dice and IoU. IoU ≤ Dice ≤ 2 IoU / (1 + IoU) "
        "holds for one case, for pooled voxels and for means over the same cases, and these rows "
        f"break it by more than rounding. {repeats} Background rows show little: a model that "
        "predicts background everywhere scores nearly the same.",
    )
