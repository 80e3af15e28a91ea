"""The scores of a folder of predictions, made by any program, as one CSV row per case."""

import argparse
import csv
import io
import math
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.execution.progress_bar import progress_bar
from bench.grid.user_file import load_own_parts
from bench.predictions.external import open_data_of, test_cases
from reports.load.by_patient import patients_of
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.patients import group_cases, grouping_faults
from trials.data.datasets.registry import DATASETS, official_regions
from trials.records.codec import rebuild
from trials.records.faults import printable
from trials.records.grouping import NO_RULE, Grouping
from trials.records.run_record import read_run_record
from trials.scoring.external import external_pairs
from trials.scoring.folders import (
    MaskPair,
    ScoreTable,
    find_pairs,
    header_remarks,
    list_cases,
    renamed,
    score_pairs,
)
from trials.scoring.found_masks import MASK_FILE, of_no_class, predicted_files
from trials.scoring.layouts import layout_of
from trials.storage.atomic import write_text
from trials.storage.foreign_text import as_text
from trials.storage.probe import check_writable

# The start of every table, for any classes.
FIRST_COLUMNS = re.compile(rb'case,"?dice_')


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A table of scores, the patient of each row (empty if each case is one), and one line on how
    the masks were read.
    """

    table: ScoreTable
    patients: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _ToScore:
    """What is scored: pairs of masks, what their labels mean, and of which data set they are."""

    pairs: tuple[MaskPair, ...]
    dataset: str
    labels: LabelSet
    patients: tuple[str, ...]
    text: str


def score_folders(options: argparse.Namespace) -> Scored:
    """Score options.prediction against options.reference, or against the test cases of options.run,
    and write options.csv. Raises ValueError listing every fault.

    Checks that the table can be written, and who the patients are, before scoring, which may take
    hours.
    """
    load_own_parts(options.grid)
    if options.csv:
        refuse_place(options.csv)
    asked = pairs_of_run(options) if options.run else pairs_of_folders(options)
    folders = {pair.prediction: pair.class_masks for pair in asked.pairs if pair.class_masks}
    for told in filter(None, (renamed(asked.pairs), of_no_class(folders))):
        print(told, file=sys.stderr)
    masks = (path for pair in asked.pairs for path in (*pair.referenced, *pair.predicted))
    for remark in header_remarks(masks):
        print(printable(f"warning: {remark}"), file=sys.stderr)
    with progress_bar("scoring", len(asked.pairs)) as tick:
        official = official_regions(asked.dataset)
        table = score_pairs(asked.pairs, asked.labels, official, options.workers, on_done=tick)
    if table.rounded:
        most = max(table.rounded.values())
        text = f"labels were up to {most:.2g} off an integer and are rounded in"
        print(printable(f"warning: {text} {list_cases(table.rounded)}"), file=sys.stderr)
    if options.csv:
        write_csv(options.csv, table)
    return Scored(table=table, patients=asked.patients, text=asked.text)


def pairs_of_folders(options: argparse.Namespace) -> _ToScore:
    """The pairs of two folders, whose layout is found out unless options.dataset names it."""
    if options.reference is None:
        raise ValueError("score needs the reference masks: give --reference DIR, or --run RUN")
    layout = layout_of(options.reference, options.dataset, options.workers)
    classes = layout.labels.classes
    pairs = find_pairs(
        options.reference, options.prediction, layout.dataset, options.cases, classes
    )
    names = [pair.case for pair in pairs]
    return _ToScore(
        pairs=pairs,
        dataset=layout.dataset,
        labels=layout.labels,
        patients=patients_of_pairs(options, layout.dataset, names),
        text=layout.text,
    )


def pairs_of_run(options: argparse.Namespace) -> _ToScore:
    """The test cases of a run with their predictions. Raises ValueError naming every prediction
    that is missing; those of other cases are named and left out.
    """
    if options.cases or options.dataset or options.patients:
        raise ValueError(
            "--run scores exactly the test cases of the run by its own data set and patients; "
            "leave out --cases, --dataset and --patients"
        )
    record = read_run_record(options.run, ("dataset", "classes", "data.root", "data.fold_cases"))
    dataset = open_data_of(record, options.reference or Path(record["data"]["root"]))
    tests = test_cases(record, dataset).values()
    references = {name: case.labels for test in tests for name, case in test.items()}
    classes = dataset.labels.classes
    pairs = external_pairs(references, options.prediction, f"--run {options.run}", classes)
    found = predicted_files(options.prediction, references, MASK_FILE, classes)
    if others := set(found) - set(references):
        text = f"not scored, since no test case of the run: {list_cases(others)}"
        print(printable(text), file=sys.stderr)
    grouping = rebuild(Grouping, record["data"].get("grouping", asdict(NO_RULE)), "data.grouping")
    return _ToScore(
        pairs=pairs,
        dataset=record["dataset"],
        labels=dataset.labels,
        patients=patients_of(grouping, [pair.case for pair in pairs]),
        text=f"scored: the test cases of {options.run}, {list_cases(references)}",
    )


def patients_of_pairs(
    options: argparse.Namespace, dataset: str, names: list[str]
) -> tuple[str, ...]:
    """The patient of each case, by --patients, patients.csv in the reference's folder, the data
    set's rule or a convention of names; empty if each case is a patient. Prints a warning if
    several scans of a patient are suspected. Raises ValueError for a rule that does not fit.
    """
    own = DATASETS[dataset].patients if dataset in DATASETS else ""
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
