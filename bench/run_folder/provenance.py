"""The provenance of a run: run.json and a copy of the grid file."""

import dataclasses
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import grids
from bench.grid.expand import count_trials, studies
from bench.grid.own_data import inherited
from bench.grid.resolve import ResolvedGrid
from trials.identity.code_identity import code_of_cell
from trials.models.registry import MODELS
from trials.process.versions import processor_name, versions
from trials.records.run_record import write_run_record
from trials.records.targets import target_names
from trials.storage.atomic import write_text


def commit() -> tuple[str, bool]:
    """The commit of segbench and whether its files differ from it; ("", False) outside of a git
    checkout.
    """
    here = Path(__file__).resolve().parent
    git = shutil.which("git")
    if git is None:
        return "", False
    head = subprocess.run([git, "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True)
    if head.returncode:
        return "", False
    status = subprocess.run(
        [git, "status", "--porcelain", "--untracked-files=no"],
        cwd=here,
        capture_output=True,
        text=True,
    )
    return head.stdout.strip(), bool(status.stdout.strip())


def machine() -> dict[str, Any]:
    """The hardware and system of the driver's machine."""
    pages, page = (os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
    return {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages * page / 2**30, 1),
        "python": platform.python_version(),
        "os": platform.platform(terse=True),
    }


def command() -> str:
    """The command of this run as it was given; running it again continues the run.

    Where the working folder holds files named like our packages, `segbench` and `python -P` work
    and `python -m` alone does not.
    """
    arguments = sys.argv[1:] if sys.argv[1:2] != ["run"] else sys.argv[2:]
    is_module = Path(sys.argv[0]).suffix == ".py"
    python = ["python", "-P"] if sys.flags.safe_path else ["python"]
    start = [*python, "-m", "bench.run"] if is_module else ["segbench", "run"]
    return shlex.join([*start, *arguments])


def run_record(resolved: ResolvedGrid, data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of run.json. data describes the data set."""
    grid = resolved.grid
    revision, dirty = commit()
    recipes = {model: dataclasses.asdict(one.recipe) for model, one in resolved.models.items()}
    return {
        "grid": grid.name,
        "dataset": grid.dataset,
        "splits": data["splits"],
        "folds": list(grid.folds),
        "classes": list(target_names(data["classes"], resolved.regions)),
        "target_regions": [dataclasses.asdict(region) for region in resolved.regions],
        "cells": [dataclasses.asdict(cell) for cell in grid.cells],
        "seeds": list(grid.seeds),
        "tuning": dataclasses.asdict(grid.tuning) if grid.tuning else None,
        "studies": studies(resolved) if grid.tuning else [],
        "questions": None
        if grid.questions is None
        else [dataclasses.asdict(question) for question in grid.questions],
        "planned": count_trials(resolved),
        "data": data,
        "preparations": [recipe["preparation"] for recipe in recipes.values()],
        "recipes": recipes,
        "hyper": {model: dict(values) for model, values in grid.hyper.items()},
        "spaces": {
            m: {name: dataclasses.asdict(bounds) for name, bounds in found.items()}
            for m, found in grid.spaces.items()
        },
        "weights": dict(resolved.weights),
        "weights_notes": random_notes(resolved),
        "inherited": inherited(grid),
        "command": command(),
        "commit": revision,
        "dirty": dirty,
        "code": {
            part: digest for cell in grid.cells for part, digest in code_of_cell(cell).items()
        },
        "versions": versions(),
        "machine": machine(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "grid_file": "grid.py",
    }


def random_notes(resolved: ResolvedGrid) -> list[str]:
    """Notes for the report on models that start from random weights although their entry names
    others.
    """
    asked = {model: MODELS[model].weights for model in resolved.models}
    return [
        f"{model} starts from random weights, as its recipe asks, not from {asked[model]}"
        for model, one in resolved.models.items()
        if one.recipe.weights == "random" and asked[model] != "random"
    ]


def write_provenance(out: Path, record: Mapping[str, Any], grid_text: str) -> None:
    """Write run.json and grid.py to the run folder.

    run.json comes first: it marks the folder as a run's. A folder of the user may have a grid.py of
    its own.
    """
    write_run_record(out, record)
    write_text(out / "grid.py", grid_text or Path(grids.__file__).read_text())
