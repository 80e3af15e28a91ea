"""segbench check: lists all faults of a data set, as text or JSON."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.verb import (
    FINISHED,
    NAMES,
    USER_ERROR,
    Verbs,
    add_data,
    add_verb,
    add_workers,
    required_folder,
)
from trials.data.datasets.opening import find_dataset
from trials.data.datasets.registry import DATASETS, Dataset, detect_dataset
from trials.records.faults import (
    FATAL,
    WARNING,
    Fault,
    FaultyData,
    fault_lines,
    printable,
)
from trials.records.registry import pick

if TYPE_CHECKING:
    from trials.data.prepared.set_checks import DatasetCheck


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(verbs, "check", "list all faults of a data set", check_folder)
    verb.epilog = "Exit code: 0 without faults, with or without warnings; 2 with faults."
    add_data(verb)
    verb.add_argument("--dataset", help=f"{NAMES} (default: detected from the folder)")
    verb.add_argument(
        "--json",
        action="store_true",
        help='print {"faults": [{case, file, code, message, fix, level}, ...]} instead of text',
    )
    add_workers(verb)


def check_folder(options: argparse.Namespace) -> int:
    """Print every fault and warning of options.folder, and what it was understood to be; returns 2
    if there is a fault. Raises ValueError for an unknown data set.
    """
    from trials.data.prepared.set_summary import summarise

    options.folder = required_folder(options)
    name = options.dataset or detect_dataset(options.folder)
    pick(DATASETS, "data set", name)
    understood: dict[str, str] = {}
    try:
        dataset = find_dataset(name, options.folder)
        check = check_with_bar(dataset, options.workers)
        faults: Sequence[Fault] = check.faults
        understood = summarise(dataset, check.looks)
        num_cases = len(
            {case.case for case in dataset.cases} | {fault.case for fault in faults if fault.case}
        )
    except FaultyData as error:
        faults, num_cases = error.faults, 0
    except (ValueError, OSError) as error:
        faults, num_cases = [folder_fault(error, options.folder)], 0
    if options.json:
        record = {"dataset": name, "folder": printable(str(options.folder)), "cases": num_cases}
        found = {"understood": understood, "faults": [fault_json(fault) for fault in faults]}
        print(json.dumps(record | found, indent=1))
    else:
        for line in fault_lines(faults):
            print(printable(line))
        for subject, text in understood.items():
            print(printable(f"{subject + ':':<9} {text}"))
        print(f"{name}: {summary(num_cases, faults)}")
    return USER_ERROR if any(fault.level != WARNING for fault in faults) else FINISHED


def folder_fault(error: Exception, folder: Path) -> Fault:
    """An error about a data set as a whole, such as a folder without cases, as a fault."""
    rule, _, fix = str(error).rpartition("; ")
    message = (rule or fix).removeprefix(f"{folder} ")
    return Fault(
        case="",
        file=str(folder),
        code="layout",
        message=message,
        fix=fix if rule else "",
        level=FATAL,
    )


def fault_json(fault: Fault) -> dict[str, str]:
    """A fault as JSON values; characters that cannot be encoded are escaped."""
    return {key: printable(value) for key, value in dataclasses.asdict(fault).items()}


def summary(num_cases: int, faults: Sequence[Fault]) -> str:
    """One line: the number of cases, faults and warnings."""
    wrong = [fault for fault in faults if fault.level != WARNING]
    in_cases = len({fault.case for fault in wrong if fault.case})
    of_cases = f" in {in_cases} of them" if in_cases and num_cases else ""
    return f"{num_cases} cases, {len(wrong)} faults{of_cases}, {len(faults) - len(wrong)} warnings"


def check_with_bar(dataset: Dataset, workers: int | None) -> "DatasetCheck":
    """check_dataset with a progress bar and the remaining time."""
    from bench.execution.progress_bar import progress_bar
    from trials.data.prepared.set_checks import check_dataset

    with progress_bar("checking", len(dataset.cases)) as tick:
        return check_dataset(dataset, workers, tick)
