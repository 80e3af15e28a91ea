"""segbench init: writes a grid file for one's own data. The work is in bench/init."""

import argparse
import os
import re
from pathlib import Path

from bench.verb import (
    FINISHED,
    NAMES,
    Verbs,
    add_data,
    add_verb,
    add_workers,
    required_folder,
)
from trials.records.result import duration
from trials.storage.probe import local_path_argument

# What the name of a grid may not hold.
OTHER = re.compile(r"[^\w+-]+", re.ASCII)


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(verbs, "init", "write a grid file for data of your own", run)
    verb.epilog = "It reads every mask once, trains nothing, and never overwrites a file."
    add_data(verb)
    verb.add_argument(
        "--out",
        type=local_path_argument,
        default=Path("my_grid.py"),
        metavar="FILE.py",
        help="the file to write (default: my_grid.py)",
    )
    verb.add_argument("--dataset", help=f"{NAMES} (default: detected from the folder)")
    verb.add_argument(
        "--gpus",
        type=gpus,
        metavar="N",
        help="fit the epochs to so many GPUs like the one on file; 0: to this machine's cores "
        "(default: the GPUs of this machine)",
    )
    verb.add_argument(
        "--hours",
        type=hours,
        default=24.0,
        metavar="H",
        help="the time that all trials may take (default: 24)",
    )
    add_workers(verb)


def gpus(text: str) -> int:
    """An argparse type: a number of GPUs, at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"GPUs must be at least 0; got {text}")
    return value


def hours(text: str) -> float:
    """An argparse type: hours, above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"hours must be a finite number above 0; got {text}")
    return value


def run(options: argparse.Namespace) -> int:
    """Write options.out for a data set and print what to do next. Raises ValueError for data that
    cannot be read, and for a file that exists.
    """
    import torch

    from bench.init.fit import fit, read_data
    from bench.init.grid_text import commands, grid_text

    out: Path = options.out
    folder = required_folder(options)
    refuse_file(out)
    data = read_data(folder, options.dataset, options.workers)
    number = torch.cuda.device_count() if options.gpus is None else options.gpus
    fitted = fit(data, number, os.cpu_count() or 1, options.hours)
    name = OTHER.sub("-", out.stem).strip("-")[:60] or "mine"
    with out.open("x", encoding="utf-8") as file:
        file.write(grid_text(data, fitted, folder, out, name))
    if fitted.hours > fitted.budget:
        print(
            f"warning: {fitted.recipe.epochs} epochs take about {duration(fitted.hours * 3600)}, "
            f"more than {fitted.budget:g} h; take cells or seeds out, or plan for GPUs with --gpus"
        )
    print(f"wrote {out}\n{commands(folder, out)}")
    return FINISHED


def refuse_file(out: Path) -> None:
    """Raise ValueError unless out is a new Python file in a folder that is there."""
    if out.suffix != ".py" or not out.parent.is_dir():
        raise ValueError(f"--out must be a .py file in a folder that exists; got {out}")
    if os.path.lexists(out):
        raise ValueError(f"{out} exists, and init never overwrites a file; name another with --out")
