"""segbench score: score a folder of predictions, whoever made them, and write a row a
case as CSV."""

import argparse
import csv
import io
import math
import os
import re
from pathlib import Path

from bench.execution.progress_bar import progress_bar
from bench.grid.user_file import load_own_parts
from trials.data.datasets.registry import official_regions
from trials.scoring.folders import ScoreTable, classes_of, find_pairs, score_pairs
from trials.storage.atomic import write_text
from trials.storage.probe import check_writable
from trials.storage.spreadsheet import as_text

# How every table begins, whatever its classes.
FIRST_COLUMNS = re.compile(rb'case,"?dice_')


def score_folders(options: argparse.Namespace) -> ScoreTable:
    """Score options.prediction against options.reference and write options.csv. Raises ValueError
    naming every fault.

    Whether the table can be written is found out before hours are spent on what stands in it.
    """
    load_own_parts(options.grid)
    if options.csv:
        refuse_place(options.csv)
    pairs = find_pairs(options.reference, options.prediction, options.dataset, options.cases)
    classes = classes_of(options.dataset, options.reference)
    with progress_bar("scoring", len(pairs)) as tick:
        official = official_regions(options.dataset)
        table = score_pairs(pairs, classes, official, options.workers, on_done=tick)
    if options.csv:
        write_csv(options.csv, table)
    return table


def refuse_place(path: Path) -> None:
    """Raise ValueError where no file of that name can be written, or another than a table of ours
    would be lost.
    """
    if path.is_dir():
        raise ValueError(f"--csv {path} is a folder; name a file, in it or elsewhere")
    check_writable(path.parent)
    if os.path.lexists(path) and not is_own_table(path):
        raise ValueError(
            f"--csv {path} must be a new file or a table that segbench score wrote; it is another "
            "file; name another"
        )


def is_own_table(path: Path) -> bool:
    """Whether a file may be replaced by a table: it is empty, or begins as write_csv() does. A link
    or a device never may.
    """
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(64)
    return not start or bool(FIRST_COLUMNS.match(start))


def write_csv(path: Path, table: ScoreTable) -> None:
    """Write one row a case in full precision; what is not a number, because there is nothing to
    score, is left empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(as_text, table.rows[0]))
    for row in table.rows:
        writer.writerow(map(cell_of, row.values()))
    write_text(path, text.getvalue())


def cell_of(value: str | float) -> str | float:
    """A case's name or one of its scores as it stands in the table."""
    if isinstance(value, str):
        return as_text(value)
    return "" if math.isnan(value) else value
