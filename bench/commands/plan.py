"""segbench plan: the flags. The work is in bench/plan."""

import argparse
from typing import TYPE_CHECKING

from bench.verb import Verbs, add_grid_and_data, add_verb, named_folder, processes
from trials.storage.probe import folder_or_url

if TYPE_CHECKING:
    from bench.grid.own_data import PatientNumbers
    from bench.grids import Grid


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "plan",
        "estimate time, memory and disk of a grid on this hardware by timing a few steps",
        run,
    )
    add_grid_and_data(verb)
    verb.add_argument(
        "--cache",
        type=folder_or_url,
        metavar="DIR|URL",
        help="the folder for prepared data (default: runs/cache)",
    )
    verb.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster whose workers are timed (default: this machine)",
    )
    verb.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=PATH",
        help="initial weights of a model; may be repeated",
    )
    verb.add_argument(
        "--gpus",
        type=processes,
        metavar="N",
        help="with --like: plan for so many GPUs that are not here (default: 1)",
    )
    verb.add_argument(
        "--like",
        metavar="GPU",
        help="take the times of a GPU whose steps are on file, such as 'NVIDIA H200'; on this "
        "machine only scoring is timed",
    )


def run(options: argparse.Namespace) -> int:
    """segbench plan."""
    from bench.plan.plan import plan_grid

    options.data = named_folder(options)
    return plan_grid(options, resolvable_lines)


def resolvable_lines(grid: "Grid", patients: "PatientNumbers") -> list[str]:
    """What a grid can resolve with so many patients."""
    from reports.answer.resolution import planned_lines
    from trials.records.questions import asked

    return planned_lines(
        asked(grid.questions, grid.cells),
        grid.cells,
        num_seeds=len(grid.seeds),
        patients=patients.tested,
        everyone=patients.everyone,
        num_folds=len(grid.folds),
    )
