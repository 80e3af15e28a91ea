"""The flags of `segbench run` and `segbench plan`: which grid, and where things are."""

import argparse
import math

from trials.storage.probe import folder_or_url, local_path_argument

MODELS_EXAMPLE = "segresnet=PATH"
SKIP_BAD = (
    "leave out the cases that cannot be used, name them in the report, and end with exit code 3"
)


def add_run_flags(sub: argparse.ArgumentParser) -> None:
    """What a run may be told."""
    sub.add_argument(
        "--grid",
        required=True,
        metavar="NAME|FILE.py",
        help="demo, paper, full, or a Python file that defines one Grid",
    )
    sub.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="the data set's folder (demo: made when missing)",
    )
    sub.add_argument(
        "--cache",
        type=folder_or_url,
        metavar="DIR|URL",
        help="prepared data (default: `cache` beside the run folder)",
    )
    sub.add_argument(
        "--out", type=folder_or_url, metavar="DIR|URL", help="the run folder (default: runs/GRID)"
    )
    sub.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster; `auto` finds the one of this machine (default: this machine alone)",
    )
    sub.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=PATH",
        help=f"first weights of a model, such as {MODELS_EXAMPLE}; may be repeated",
    )
    sub.add_argument(
        "--checkpoint-minutes",
        type=minutes,
        default=1.0,
        metavar="M",
        help="least time between two checkpoints of a trial, 0 for one after every epoch (default: "
        "1)",
    )
    sub.add_argument("--skip-bad", action="store_true", help=SKIP_BAD)
    sub.add_argument(
        "--rerun-changed",
        action="store_true",
        help="delete the trials whose code has changed since they ran, and those that follow from "
        "them, and run them again",
    )
    sub.add_argument("--dry-run", action="store_true", help="print every trial and start nothing")
    sub.add_argument(
        "--save-predictions",
        action="store_true",
        help="write each test case's prediction as NIfTI on its own grid",
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


def add_plan_flags(sub: argparse.ArgumentParser) -> None:
    """What a plan may be told."""
    sub.add_argument(
        "--grid",
        required=True,
        metavar="NAME|FILE.py",
        help="demo, paper, full, or a Python file with one Grid",
    )
    sub.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="the data set's folder (demo: made when missing)",
    )
    sub.add_argument(
        "--cache", type=folder_or_url, metavar="DIR|URL", help="prepared data (default: runs/cache)"
    )
    sub.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="time on the workers of this Ray cluster (default: this machine)",
    )
    sub.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=PATH",
        help="first weights of a model; may be repeated",
    )
