"""segbench report --add NAME=DIR: scores external predictions of the run's test cases and stores
the scores in the run folder.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.execution.progress_bar import progress_bar
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import Case, Dataset, official_regions
from trials.records.codec import record_hash, to_json
from trials.records.faults import printable
from trials.records.result import ExternalPredictions
from trials.records.run_record import label_names, read_run_record, target_regions_in
from trials.scoring.external import count_external, external_pairs
from trials.scoring.folders import header_remarks, renamed
from trials.scoring.regions import every_region
from trials.storage.atomic import write_text
from trials.storage.checksum import add_checksum
from trials.storage.probe import to_local_path

LONGEST_NAME = 60


def add_predictions(run: Path, pairs: list[str], data: Path | None) -> None:
    """Score every NAME=DIR against the run's test cases and write RUN/external/<hash>.json, which
    the report reads.

    data is the folder of the run's data; None is the folder that the run used. An existing name is
    replaced. Raises ValueError, before anything is written, for an invalid name or folder, and for
    missing cases, which it names.
    """
    record = read_run_record(run, ("dataset", "classes", "cells", "data.root", "data.fold_cases"))
    named = [_name_and_folder(pair, record) for pair in pairs]
    if len({name for name, _ in named}) < len(named):
        raise ValueError("--add names must be unique; two are equal; rename one")
    dataset = open_data_of(record, data or Path(record["data"]["root"]))
    tests = test_cases(record, dataset)
    references = {name: case.labels for of_fold in tests.values() for name, case in of_fold.items()}
    scored = [_score(*one, references, record, dataset.labels) for one in named]
    for external in scored:
        write_text(
            run / "external" / f"{record_hash(ExternalPredictions(name=external.name))}.json",
            add_checksum(to_json(external)),
        )


def _score(
    name: str,
    folder: Path,
    references: dict[str, Path],
    record: dict[str, Any],
    labels: LabelSet,
) -> ExternalPredictions:
    pairs = external_pairs(references, folder, f"--add {name}", labels.classes)
    if told := renamed(pairs):
        print(f"--add {name}: {told}", file=sys.stderr)
    for remark in header_remarks(path for pair in pairs for path in pair.predicted):
        print(printable(f"warning: --add {name}: {remark}"), file=sys.stderr)
    regions = every_region(labels, official_regions(record["dataset"]))
    with progress_bar(f"scoring {name}", len(pairs)) as tick:
        return count_external(name, pairs, labels, regions, tick, target_regions_in(record))


def _name_and_folder(pair: str, record: dict[str, Any]) -> tuple[str, Path]:
    name, _, folder = pair.partition("=")
    name = name.strip()
    if not name or not folder or not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(
            f"--add {pair!r}: write NAME=DIR, a name of at most {LONGEST_NAME} printable "
            "characters and the folder with "
            "the predictions"
        )
    if name in {
        f"{cell['model']} / {cell['loss']} / {cell['sampling']}" for cell in record["cells"]
    }:
        raise ValueError(
            f"--add {pair!r}: the run has a configuration with this name; choose another"
        )
    return name, to_local_path(folder)


def open_data_of(record: Mapping[str, Any], root: Path) -> Dataset:
    """The data set of a run, at root. Raises ValueError unless its classes are those of the run."""
    if not root.is_dir():
        raise ValueError(
            f"the run's data were in {root}, which does not exist; give their folder with "
            "--data DIR"
        )
    dataset = open_dataset(record["dataset"], root)
    if dataset.classes != (classes := label_names(record)):
        raise ValueError(
            f"{root} has the classes {', '.join(dataset.classes)}, the run "
            f"{', '.join(classes)}; give the run's own data with --data DIR"
        )
    return dataset


def test_cases(record: Mapping[str, Any], dataset: Dataset) -> dict[int, dict[str, Case]]:
    """The test cases of each fold of a run by their names. Raises ValueError if the data set lacks
    one.
    """
    cases = {case.case: case for case in dataset.cases}
    tests = {
        int(fold): parts.get("test", ()) for fold, parts in record["data"]["fold_cases"].items()
    }
    if missing := sorted({case for test in tests.values() for case in test} - set(cases)):
        raise ValueError(
            f"{dataset.root} must hold all test cases of the run; {len(missing)} are missing, "
            f"first {missing[0]}; give a --data DIR that has them"
        )
    return {fold: {case: cases[case] for case in test} for fold, test in tests.items()}
