"""segbench check: every fault of a data set at once, to read or as JSON."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.codes import FINISHED, MENDABLE
from trials.data.datasets import DATASETS, Dataset, find_dataset
from trials.data.door import check_dataset
from trials.data.faults import WARNING, Fault, FaultyData, fault_line


def check_folder(options: argparse.Namespace) -> int:
    """Print every fault and warning of options.folder; returns 2 if there is a fault. Raises ValueError for a wrong folder."""
    name = options.dataset or told_by(options.folder)
    try:
        dataset = find_dataset(name, options.folder)
        faults: Sequence[Fault] = check_with_bar(dataset, options.workers)
        num_cases = len({case.case for case in dataset.cases} | {fault.case for fault in faults if fault.case})
    except FaultyData as error:
        faults, num_cases = error.faults, 0
    wrong = [fault for fault in faults if fault.level != WARNING]
    if options.json:
        record = {"dataset": name, "folder": str(options.folder), "cases": num_cases}
        print(json.dumps(record | {"faults": [dataclasses.asdict(fault) for fault in faults]}, indent=1))
    else:
        for fault in faults:
            print(f"{fault.level}: {fault_line(fault)}")
        print(f"{name}: {summary(num_cases, faults)}")
    return MENDABLE if wrong else FINISHED


def told_by(folder: Path) -> str:
    """The data set that a folder's own description tells: nnunet by dataset.json, phantoms by phantoms.json, else kits23."""
    names = {"dataset.json": "nnunet", "phantoms.json": "phantoms"}
    name = next((name for file, name in names.items() if (folder / file).is_file()), "kits23")
    assert name in DATASETS
    return name


def summary(num_cases: int, faults: Sequence[Fault]) -> str:
    """How many cases, how many with faults, how many warnings."""
    wrong = [fault for fault in faults if fault.level != WARNING]
    in_cases = len({fault.case for fault in wrong})
    return f"{num_cases} cases, {len(wrong)} faults in {in_cases} of them, {len(faults) - len(wrong)} warnings"


def check_with_bar(dataset: Dataset, workers: int | None) -> tuple[Fault, ...]:
    """check_dataset under a progress bar with the time that remains."""
    console = Console(stderr=True)
    columns = (TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=len(dataset.cases))
        return check_dataset(dataset, workers, lambda: bars.advance(task))
