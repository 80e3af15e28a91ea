"""segbench score: scores a folder of predictions, made by any program, and writes one CSV row per
case.
"""

import argparse
import csv
import io
import math
import os
import re
import sys
from pathlib import Path

from bench.execution.progress_bar import progress_bar
from bench.grid.user_file import load_own_parts
from reports.load.by_patient import patients_of
from trials.data.datasets.patients import group_cases, grouping_faults
from trials.data.datasets.registry import DATASETS, official_regions
from trials.records.faults import printable
from trials.scoring.folders import (
    ScoreTable,
    find_pairs,
    header_remarks,
    labels_of,
    renamed,
    score_pairs,
)
from trials.storage.atomic import write_text
from trials.storage.probe import check_writable
from trials.storage.spreadsheet import as_text

# The start of every table, for any classes.
FIRST_COLUMNS = re.compile(rb'case,"?dice_')


def score_folders(options: argparse.Namespace) -> tuple[ScoreTable, tuple[str, ...]]:
    """Score options.prediction against options.reference and write options.csv; returns the table
    and the patient of each row. Raises ValueError listing every fault.

    Checks that the table can be written, and who the patients are, before scoring, which may take
    hours.
    """
    load_own_parts(options.grid)
    if options.csv:
        refuse_place(options.csv)
    labels = labels_of(options.dataset, options.reference)
    pairs = find_pairs(
        options.reference, options.prediction, options.dataset, options.cases, labels.classes
    )
    patients = patients_of_pairs(options, [pair.case for pair in pairs])
    if told := renamed(pairs):
        print(told, file=sys.stderr)
    for remark in header_remarks(pairs):
        print(printable(f"warning: {remark}"), file=sys.stderr)
    with progress_bar("scoring", len(pairs)) as tick:
        official = official_regions(options.dataset)
        table = score_pairs(pairs, labels, official, options.workers, on_done=tick)
    if options.csv:
        write_csv(options.csv, table)
    return table, patients


def patients_of_pairs(options: argparse.Namespace, names: list[str]) -> tuple[str, ...]:
    """The patient of each case, by --patients, patients.csv in the reference's folder, the data
    set's rule or a convention of names; empty if each case is a patient. Prints a warning if
    several scans of a patient are suspected. Raises ValueError for a rule that does not fit.
    """
    own = DATASETS[options.dataset].patients if options.dataset in DATASETS else ""
    grouping = group_cases(names, options.reference, options.patients, own)
    for fault in grouping_faults(grouping, options.reference):
        print(f"warning: {fault.message}; give --patients", file=sys.stderr)
    return patients_of(grouping, names)


def refuse_place(path: Path) -> None:
    """Raise ValueError if the file cannot be written, or if it exists and is not a table of
    segbench score.
    """
    if path.is_dir():
        raise ValueError(f"--csv must be a file; {path} is a folder; name a file in it")
    check_writable(path.parent)
    if os.path.lexists(path) and not is_own_table(path):
        raise ValueError(
            f"--csv {path} must be a new file or a table that segbench score wrote; this file is "
            "neither; choose another name"
        )


def is_own_table(path: Path) -> bool:
    """Whether a file may be replaced by a table: it is empty, or starts as write_csv() does. Always
    False for a link or a device.
    """
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(64)
    return not start or bool(FIRST_COLUMNS.match(start))


def write_csv(path: Path, table: ScoreTable) -> None:
    """Write one row per case in full precision. An undefined score is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(as_text, table.rows[0]))
    for row in table.rows:
        writer.writerow(map(cell_of, row.values()))
    write_text(path, text.getvalue())


def cell_of(value: str | float) -> str | float:
    """A case's name, or one of its scores, as written in the table."""
    if isinstance(value, str):
        return as_text(value)
    return "" if math.isnan(value) else value
