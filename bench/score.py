"""segbench score: score a folder of predictions, whoever made them; a table a case as CSV, the means on screen."""

import argparse
import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trials.files import write_text
from trials.scoring.folders import ScoreTable, classes_of, find_pairs, score_pairs
from trials.scoring.official import OFFICIAL

LEGEND = """Intervals: bootstrap over cases. Official scores count every case, and give 1 where both masks are empty.
Dice, IoU and Surface Dice of a label count the cases whose reference holds it; HD95 those where the prediction
does too. Volume error is predicted minus true. A lesion is found where the prediction shares a voxel with it."""


class Mean(Protocol):
    """A mean over cases with its interval, NaN where there is none, as reports.score_means gives it."""

    region: str
    measure: str
    value: float
    low: float
    high: float
    cases: int


def score_folders(options: argparse.Namespace) -> ScoreTable:
    """Score options.prediction against options.reference and write options.csv. Raises ValueError naming every fault."""
    pairs = find_pairs(options.reference, options.prediction, options.dataset, options.cases)
    classes = classes_of(options.dataset, options.reference)
    console = Console(stderr=True)
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=len(pairs))
        official = OFFICIAL.get(options.dataset, ())
        table = score_pairs(pairs, classes, official, options.workers, on_done=lambda: bars.advance(task))
    if options.csv:
        write_csv(options.csv, table)
    return table


def write_csv(path: Path, table: ScoreTable) -> None:
    """Write one row a case in full precision; what is not a number, because there is nothing to score, is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.rows[0])
    for row in table.rows:
        writer.writerow("" if isinstance(value, float) and math.isnan(value) else value for value in row.values())
    write_text(path, text.getvalue())


def show_means(means: Iterable[Mean]) -> None:
    """Print means with their intervals, and a line on which cases each is over."""
    table = Table("score", "", "mean", "95 % interval", "cases", box=None, pad_edge=False, header_style="bold")
    for mean in means:
        table.add_row(mean.region, mean.measure, _number(mean.value), _interval(mean.low, mean.high), str(mean.cases))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n{LEGEND}")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.3f} to {high:.3f}"
