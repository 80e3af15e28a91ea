"""Table cells that several sections share: a configuration, a score with its interval."""

import math
from collections.abc import Mapping

from reports.analysis.context import Board
from reports.analysis.summary import MEAN
from reports.analysis.surfaces import Agreement
from reports.elements import Entry
from reports.figures.colours import model_colour
from reports.formatting import cell_name, interval, number
from trials.records.result import NATIVE


def ranked(board: Board) -> list[int]:
    """The configurations that have a test score, best mean Dice on the native grid first."""
    standings = board.standings[NATIVE]
    with_score = [i for i in range(len(board.run.cells)) if not math.isnan(standings[i, MEAN].dice)]
    return sorted(with_score, key=lambda i: (-standings[i, MEAN].dice, i))


def class_name(board: Board, label: int) -> str:
    """A label's name, also of the mean over the labels."""
    return "mean of classes" if label == MEAN else board.run.classes[label]


def configuration(board: Board, i: int) -> Entry:
    """A configuration's name with its model's colour; the chosen one says so."""
    cell = board.run.cells[i]
    chosen = board.choice is not None and board.choice.chosen == i
    return Entry(
        cell_name(cell), look="chosen" if chosen else "", swatch=model_colour(board.run, cell.model)
    )


def scored(value: float, low: float, high: float) -> Entry:
    """A mean score, its interval in small print; n/a where nobody holds the class."""
    if math.isnan(value):
        return Entry("n/a", look="quiet", hint="no patient here holds this class")
    return Entry(number(value), value, small=interval(low, high))


def p_entry(p: float) -> Entry:
    """A p value; n/a for NaN."""
    return Entry("below 0.001" if p < 0.001 else number(p), p)


def surface_entries(
    board: Board, agreements: Mapping[tuple[int, int], Agreement], i: int, label: int
) -> tuple[Entry, ...]:
    """The Surface Dice of one contestant as the one cell of its column; no cell in a run without
    surfaces.
    """
    if not board.agreements:
        return ()
    found = agreements.get((i, label))
    return (
        scored(found.value, found.low, found.high)
        if found
        else scored(math.nan, math.nan, math.nan),
    )


def outsider(name: str) -> Entry:
    """The name of a contestant that the run did not train."""
    return Entry(
        name,
        small="outside",
        swatch="var(--muted)",
        hint="predictions from outside, scored by the same rules",
    )


def nothing_known() -> Entry:
    """A cell that only a configuration of the run can fill."""
    return Entry("", math.nan)
