"""What all verbs of the command line share: the flag for tracebacks, and numbers that argparse
refuses with the rule.
"""

import argparse
import math
from collections.abc import Callable

from trials.data.datasets.registry import DATASETS, default_dataset

SKIP_BAD = (
    "leave out the cases that cannot be used, name them in the report, and end with exit code 3"
)
NAMES, DEFAULT = ", ".join(DATASETS), default_dataset()
FETCHED = ", ".join(name for name, part in DATASETS.items() if part.download)
OWN_METRICS = "a grid file, whose own metrics are shown too; it is run"


def add_verb(
    verbs, name: str, summary: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """The parser of a verb; run does its work and returns the exit code."""
    verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verb.set_defaults(verb=run)
    return verb


def add_workers(verb: argparse.ArgumentParser) -> None:
    """The flag of verbs that read many cases at once."""
    verb.add_argument(
        "--workers", type=processes, metavar="N", help="processes (default: one a core)"
    )


def minutes(text: str) -> float:
    """For argparse: a length of time, 0 or longer."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"minutes must be a finite number of at least 0; got {text}"
        )
    return value


def processes(text: str) -> int:
    """For argparse: a number of processes, 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"processes must be at least 1; got {text}")
    return value
