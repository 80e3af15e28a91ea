"""What all verbs share: exit codes, the --debug flag, help texts, argument types whose errors state
the rule, and the refusal of passwords: a run records its command and shows it in the report.
"""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from trials.data.datasets.registry import DATASETS
from trials.storage.probe import local_path_argument

FINISHED, USER_ERROR, WITH_FAILURES = 0, 2, 3
# 128 and the number of the signal, as shells say it.
HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143


SKIP_BAD = "exclude cases that cannot be used, name them in the report, and return exit code 3"
NAMES = ", ".join(DATASETS)
FETCHED = ", ".join(name for name, part in DATASETS.items() if part.download)
OWN_METRICS = "a grid file whose metrics are added; the file is executed"


# What argparse returns for the verbs of a command line; it gives the class no public name.
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_verb(
    verbs: Verbs, name: str, summary: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """The parser of a verb; run executes it and returns the exit code."""
    verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verb.set_defaults(verb=run)
    return verb


def add_grid_and_data(verb: argparse.ArgumentParser) -> None:
    """The flags that say which grid, on which data, for how many hours."""
    verb.add_argument(
        "--grid",
        required=True,
        metavar="NAME|FILE.py",
        help="demo, paper, full, or a Python file that defines one Grid",
    )
    add_data(verb, "the data set's folder (demo: generated if missing)")
    verb.add_argument("--dataset", metavar="NAME", help=f"run the grid on this data set: {NAMES}")
    verb.add_argument(
        "--fold",
        type=int,
        nargs="+",
        metavar="K",
        help="the fold of the split, or several for a cross-validation (default: the grid's)",
    )

    verb.add_argument(
        "--gpu-hours",
        type=hours,
        metavar="N",
        help="cut the grid to so many GPU-hours, or core-hours on a machine without a GPU: tuning "
        "trials first, then seeds, the same for every cell; a few steps of each model are timed",
    )
    verb.add_argument(
        "--targets",
        choices=("labels", "regions"),
        help="what networks predict and are ranked by (default: the grid's)",
    )


def add_data(verb: argparse.ArgumentParser, about: str = "the data set's folder") -> None:
    """The folder of a data set, as an argument or as --data; named_folder() says which."""
    verb.add_argument("folder", nargs="?", type=local_path_argument, metavar="DATA", help=about)
    verb.add_argument("--data", type=local_path_argument, metavar="DIR", help="the same as DATA")


def named_folder(options: argparse.Namespace) -> Path | None:
    """The folder given as DATA or as --data; None for neither. Raises ValueError for both."""
    if options.folder and options.data:
        raise ValueError(
            f"the data set's folder is named twice, {options.folder} and --data {options.data}; "
            "name it once"
        )
    return options.folder or options.data


def required_folder(options: argparse.Namespace) -> Path:
    """The same, for verbs that need one. Raises ValueError for none."""
    if (folder := named_folder(options)) is None:
        raise ValueError("name the data set's folder, as an argument or with --data DIR")
    return folder


def add_workers(verb: argparse.ArgumentParser) -> None:
    """The --workers flag, for verbs that read many cases."""
    verb.add_argument(
        "--workers", type=processes, metavar="N", help="number of processes (default: one per core)"
    )


def minutes(text: str) -> float:
    """An argparse type: minutes, at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"minutes must be a finite number of at least 0; got {text}"
        )
    return value


def hours(text: str) -> float:
    """An argparse type: hours, above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"hours must be a finite number above 0; got {text}")
    return value


def processes(text: str) -> int:
    """An argparse type: a number of processes, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"processes must be at least 1; got {text}")
    return value


# scheme://user:password@host, or user:password@host:port.
WITH_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@|^[^/\s:]+:[^/\s@]+@[\w.-]+(:\d+)?$")


def refuse_passwords(arguments: Sequence[str]) -> None:
    """Raise ValueError, without the password, if an argument is an address with a password."""
    for position, argument in enumerate(arguments):
        if WITH_PASSWORD.search(argument):
            flag = (
                argument.partition("=")[0]
                if argument.startswith("--")
                else arguments[position - 1]
                if position
                else ""
            )
            raise ValueError(
                f"{flag if flag.startswith('--') else 'an argument'}: an address must not contain "
                "a password, because the run folder records the command; set it in the environment "
                "or in a file, such as fsspec's FSSPEC_S3_KEY, AWS_PROFILE or Ray's token file"
            )
