"""segbench plan: which grid, on which data and machines. The work is in bench/plan."""

import argparse

from bench.commands.verb import add_verb
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "plan",
        "what a grid will cost here: time, memory and disk by cell, from steps really taken",
        run,
    )
    verb.add_argument(
        "--grid",
        required=True,
        metavar="NAME|FILE.py",
        help="demo, paper, full, or a Python file with one Grid",
    )
    verb.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="the data set's folder (demo: made when missing)",
    )
    verb.add_argument(
        "--cache", type=folder_or_url, metavar="DIR|URL", help="prepared data (default: runs/cache)"
    )
    verb.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="time on the workers of this Ray cluster (default: this machine)",
    )
    verb.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=PATH",
        help="first weights of a model; may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    """segbench plan."""
    from bench.plan.plan import plan_grid

    return plan_grid(options)
