"""The provenance of a run: run.json, with what is known of its data, and a copy of the grid
file.
"""

import dataclasses
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import grids
from bench.execution.data import UNUSED_SPLITS, Prepared, is_own_unused
from bench.grid.expand import count_trials, studies
from bench.grid.own_data import inherited
from bench.grid.resolve import ResolvedGrid
from trials.data.datasets.registry import DATASETS, Dataset
from trials.data.datasets.splits import split_hash
from trials.identity.code_identity import code_of_cell
from trials.models.registry import MODELS
from trials.process.versions import processor_name, versions
from trials.records.faults import WARNING, Fault, bad_cases
from trials.records.registry import Entry, pick
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


def data_record(folds: Mapping[int, Prepared]) -> dict[str, object]:
    """The data entry of run.json; folds holds the data of each fold."""
    first, dataset = next(iter(folds.values())), next(iter(folds.values())).dataset
    splits = {
        str(fold): {name: list(getattr(one.split, name)) for name in ("train", "val", "test")}
        for fold, one in folds.items()
    }
    left_out, excluded = bad_cases(dataset.faults), dict[str, str]()
    for one in folds.values():
        excluded |= one.split.excluded
    digests = dict.fromkeys(digest for one in folds.values() for digest in one.digests.values())
    return {
        "root": str(dataset.root),
        "title": dataset.title,
        "splits": first.scheme,
        "split_rule": "; ".join(dict.fromkeys(one.split_rule for one in folds.values())),
        "classes": list(dataset.classes),
        "channels": list(dataset.channels),
        "has_ignore": dataset.has_ignore,
        "regions": [region.name for region in dataset.regions],
        "cases": len(dataset.cases),
        "published": dataset.published,
        "fold_cases": splits,
        "split_hash": {fold: split_hash(cases) for fold, cases in splits.items()},
        "data_digest": " ".join(digests),
        "fingerprint": first.fingerprint,
        "excluded": excluded | left_out,
        "bad_cases": left_out,
        "warnings": warnings_by_case(first.notes),
        "notes": set_notes(dataset, first.scheme),
        "licence": dataset.licence,
        "shows_images": pick(DATASETS, "data set", dataset.name).shows_images,
        "geometry": dict(first.geometry),
        "case_metadata": case_metadata(dataset),
        "grouping": asdict(dataset.grouping),
    }


def set_notes(dataset: Dataset, scheme: str) -> list[str]:
    """The warnings about a data set as a whole: what it names or holds and is not used. The report
    speaks of patients elsewhere.
    """
    notes = [
        f"{Path(fault.file).name}: {fault.message}"
        for fault in dataset.faults
        if fault.level == WARNING and fault.code != "patients"
    ]
    return [*notes, *([UNUSED_SPLITS] if is_own_unused(dataset, scheme) else ())]


def warnings_by_case(notes: tuple[Fault, ...]) -> dict[str, str]:
    """Case to its warnings, which name files without their folders."""
    texts_by_case: dict[str, list[str]] = {}
    for note in notes:
        if note.level == WARNING:
            text = f"{Path(note.file).name}: {note.message}"
            texts_by_case.setdefault(note.case, []).append(text)
    return {case: "; ".join(texts) for case, texts in texts_by_case.items()}


CaseMetadata = Mapping[str, Mapping[str, str]]


def case_metadata(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Trait to case to value, such as {"cohort": {"case_00400": "new in KiTS23"}}; empty if nothing
    is known. The sites of patients.csv are a trait.

    Raises ValueError naming the file if the data set's metadata file is damaged.
    """
    of = pick(DATASETS, "data set", dataset.name).case_metadata
    found: CaseMetadata = Entry(of).load()(dataset) if of else {}
    sites = {"site": dataset.grouping.sites} if dataset.grouping.sites else {}
    return {trait: dict(values) for trait, values in {**found, **sites}.items()}
