"""segbench run: the flags. The work is in bench/run.py."""

import argparse

from bench.tuning.trackers import TRACKERS
from bench.verb import (
    SKIP_BAD,
    Verbs,
    add_grid_and_data,
    add_verb,
    minutes,
    named_folder,
)
from trials.storage.probe import folder_or_url

MODELS_EXAMPLE = "segresnet=PATH"


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "run",
        "run a grid from data to report; rerun the same command to continue",
        run,
    )
    add_grid_and_data(verb)
    add_places(verb)
    add_trial_flags(verb)
    add_results(verb)


def add_places(verb: argparse.ArgumentParser) -> None:
    """The flags that say where: prepared data, results, and the machines."""
    verb.add_argument(
        "--cache",
        type=folder_or_url,
        metavar="DIR|URL",
        help="the folder for prepared data (default: `cache` beside the run folder)",
    )
    verb.add_argument(
        "--out", type=folder_or_url, metavar="DIR|URL", help="the run folder (default: runs/GRID)"
    )
    verb.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster; `auto` finds the one on this machine (default: this machine only)",
    )


def add_trial_flags(verb: argparse.ArgumentParser) -> None:
    """The flags that say what trials start from, when they save, and which run again."""
    verb.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=PATH",
        help=f"initial weights of a model, such as {MODELS_EXAMPLE}; may be repeated",
    )
    verb.add_argument(
        "--checkpoint-minutes",
        type=minutes,
        default=1.0,
        metavar="M",
        help="minimum time between two checkpoints of a trial; 0 writes one after every epoch "
        "(default: 1)",
    )
    verb.add_argument("--skip-bad", action="store_true", help=SKIP_BAD)
    verb.add_argument(
        "--rerun-changed",
        action="store_true",
        help="delete and rerun the trials whose code has changed since they ran, and those that "
        "depend on them",
    )


def add_results(verb: argparse.ArgumentParser) -> None:
    """The flags that say what is shown, taken over and written of the trials."""
    verb.add_argument(
        "--track",
        action="append",
        default=[],
        choices=sorted(TRACKERS),
        help="show each trial in a tracker too; may be repeated. mlflow takes its server from "
        "MLFLOW_TRACKING_URI, wandb its key from WANDB_API_KEY",
    )
    verb.add_argument(
        "--reuse",
        type=folder_or_url,
        action="append",
        default=[],
        metavar="RUN",
        help="take over every result of another run folder whose spec, data and code are those of "
        "this grid; may be repeated",
    )
    verb.add_argument("--dry-run", action="store_true", help="print every trial and start nothing")
    verb.add_argument(
        "--save-predictions",
        action="store_true",
        help="write the prediction of each test case as NIfTI, on the case's native grid",
    )


def run(options: argparse.Namespace) -> int:
    """segbench run."""
    from bench.run import run_grid

    options.data = named_folder(options)
    return run_grid(options)
