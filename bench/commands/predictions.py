"""segbench report --add NAME=DIR: somebody else's predictions of the run's test cases, scored and
kept in the run folder.
"""

from pathlib import Path
from typing import Any

from bench.execution.progress_bar import progress_bar
from trials.data.datasets.registry import official_regions, open_dataset
from trials.records.codec import record_hash, to_json
from trials.records.result import ExternalPredictions
from trials.records.run_record import read_run_record
from trials.scoring.external import count_external, external_pairs
from trials.scoring.regions import all_regions
from trials.storage.atomic import write_text
from trials.storage.checksum import add_checksum
from trials.storage.probe import to_local_path

LONGEST_NAME = 60


def add_predictions(run: Path, pairs: list[str], data: Path | None) -> None:
    """Score every NAME=DIR against the run's test cases and leave RUN/external/<hash>.json, which
    the report reads.

    data says where the run's data lie now; None takes the folder they were in. A name that is there
    already is replaced. Raises ValueError, before anything is written, for a name or folder that
    will not do, and naming each case that lacks.
    """
    record = read_run_record(run, ("dataset", "classes", "cells", "data.root", "data.split_cases"))
    named = [_name_and_folder(pair, record) for pair in pairs]
    if len({name for name, _ in named}) < len(named):
        raise ValueError("--add names two contestants alike; give each its own name")
    references = _references(record, data or Path(record["data"]["root"]))
    for outside in [_score(name, folder, references, record) for name, folder in named]:
        write_text(
            run / "external" / f"{record_hash(ExternalPredictions(name=outside.name))}.json",
            add_checksum(to_json(outside)),
        )


def _score(
    name: str, folder: Path, references: dict[str, Path], record: dict[str, Any]
) -> ExternalPredictions:
    pairs = external_pairs(references, folder, name)
    classes = tuple(record["classes"])
    regions = all_regions(classes, official_regions(record["dataset"]))
    with progress_bar(f"scoring {name}", len(pairs)) as tick:
        return count_external(name, pairs, classes, regions, tick)


def _name_and_folder(pair: str, record: dict[str, Any]) -> tuple[str, Path]:
    name, _, folder = pair.partition("=")
    name = name.strip()
    if not name or not folder or not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(
            f"--add {pair!r}: write NAME=DIR with a name of at most {LONGEST_NAME} printable "
            "characters and the folder of "
            "the predictions"
        )
    if name in {
        f"{cell['model']} / {cell['loss']} / {cell['sampling']}" for cell in record["cells"]
    }:
        raise ValueError(f"--add {pair!r}: the run has a configuration of that name; take another")
    return name, to_local_path(folder)


def _references(record: dict[str, Any], root: Path) -> dict[str, Path]:
    """The reference of every test case of the run."""
    if not root.is_dir():
        raise ValueError(
            f"the run's data lay in {root}, which is not there; say where they are with --data DIR"
        )
    labels = {case.case: case.labels for case in open_dataset(record["dataset"], root).cases}
    test = record["data"]["split_cases"].get("test", ())
    if lacking := sorted(set(test) - set(labels)):
        raise ValueError(
            f"{root} lacks {len(lacking)} of the run's test cases, first {lacking[0]}; give --data "
            "DIR that has them"
        )
    return {case: labels[case] for case in test}
