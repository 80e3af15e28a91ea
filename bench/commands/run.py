"""segbench run: which grid, and where things are. The work is in bench/run.py."""

import argparse

from bench.commands.verb import SKIP_BAD, add_verb, minutes
from trials.storage.probe import folder_or_url, local_path_argument

MODELS_EXAMPLE = "segresnet=PATH"


def add(verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "run",
        "run a grid from data to report; the same command again runs what is missing",
        run,
    )
    verb.add_argument(
        "--grid",
        required=True,
        metavar="NAME|FILE.py",
        help="demo, paper, full, or a Python file that defines one Grid",
    )
    verb.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="the data set's folder (demo: made when missing)",
    )
    verb.add_argument(
        "--cache",
        type=folder_or_url,
        metavar="DIR|URL",
        help="prepared data (default: `cache` beside the run folder)",
    )
    verb.add_argument(
        "--out", type=folder_or_url, metavar="DIR|URL", help="the run folder (default: runs/GRID)"
    )
    verb.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster; `auto` finds the one of this machine (default: this machine alone)",
    )
    verb.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=PATH",
        help=f"first weights of a model, such as {MODELS_EXAMPLE}; may be repeated",
    )
    verb.add_argument(
        "--checkpoint-minutes",
        type=minutes,
        default=1.0,
        metavar="M",
        help="least time between two checkpoints of a trial, 0 for one after every epoch (default: "
        "1)",
    )
    verb.add_argument("--skip-bad", action="store_true", help=SKIP_BAD)
    verb.add_argument(
        "--rerun-changed",
        action="store_true",
        help="delete the trials whose code has changed since they ran, and those that follow from "
        "them, and run them again",
    )
    verb.add_argument("--dry-run", action="store_true", help="print every trial and start nothing")
    verb.add_argument(
        "--save-predictions",
        action="store_true",
        help="write each test case's prediction as NIfTI on its own grid",
    )


def run(options: argparse.Namespace) -> int:
    """segbench run."""
    from bench.run import run_grid

    return run_grid(options)
