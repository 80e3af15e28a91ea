"""The run.json of a made-up run: its grid, its studies, its patients and what each of
them holds."""

import dataclasses
from typing import TYPE_CHECKING, Any

from trials.records.run_record import FORMAT
from trials.records.spec import Cell

if TYPE_CHECKING:
    from made_up import MadeUp

VOXELS = 1000
CODE = {"segbench": "0.1.0 0123456789abcdef"}


def holds(case: str, label: int) -> bool:
    """The last label is in every second patient, the others in all."""
    return label < 3 or int(case.removeprefix("case_")) % 2 == 0


def run_record(made: "MadeUp") -> dict[str, Any]:
    num = made.num_val + made.num_test + 2
    planned = {
        "pretrain": 0,
        "tune": made.tunings * len(made.cells) * len(made.folds),
        "final": len(made.cells) * len(made.seeds) * len(made.folds),
    }
    tested = [case for fold in made.folds for case in made.split_of(fold)["test"]]
    return {
        "format": FORMAT,
        "grid": "demo",
        "dataset": made.dataset,
        "splits": "sequential",
        "folds": list(made.folds),
        "classes": list(made.classes),
        "cells": [{"model": c.model, "loss": c.loss, "sampling": c.sampling} for c in made.cells],
        "seeds": list(made.seeds),
        "tuning": {"trials": made.tunings} if made.tunings else None,
        "planned": planned,
        "studies": [study(cell, fold) for fold in made.folds for cell in made.cells]
        if made.tunings
        else [],
        "data": {
            "root": "/home/someone/phantoms",
            "cases": num,
            "published": None,
            "fold_cases": {str(fold): made.split_of(fold) for fold in made.folds},
            "split_hash": {str(fold): f"5f{fold}c" for fold in made.folds},
            "data_digest": "digest",
            "fingerprint": "f1d0",
            "excluded": {},
            "licence": "made by this project, free to use",
            "shows_images": made.dataset == "phantoms",
            "geometry": geometry(made),
            "grouping": {"rule": "each case is a patient", "state": "known"},
            "case_metadata": {
                "cohort": {case: "old" if i % 3 else "new" for i, case in enumerate(tested)}
            },
        },
        "preparations": [{"kind": "cube", "edge": 32, "clip_hu": None, "normalise": "volume"}],
        "recipes": {"unet3d": {"epochs": made.epochs, "batch_size": 2}},
        "weights": {"unet3d": "random"},
        "command": "python -m bench.run --grid demo",
        "commit": "abc1234",
        "dirty": False,
        "code": CODE,
        "versions": {"torch": "2.14.1"},
        "machine": {
            "cpu": "a laptop",
            "cores": 2,
            "memory_gib": 24,
            "gpus": [],
            "python": "3.11.7",
            "os": "Linux",
        },
        "started": "2026-11-23T14:00:00",
        "grid_file": "grid.py",
    } | made.record


def study(cell: Cell, fold: int = 0) -> dict[str, Any]:
    """A cell's study, its ranges wide enough for every made-up setting."""
    gamma = (
        {"gamma": {"low": 0.0, "high": 5.0, "log": False, "integer": False}}
        if "focal" in cell.loss
        else {}
    )
    space = {"lr": {"low": 1e-3, "high": 1.0, "log": True, "integer": False}} | gamma
    return {
        "name": f"demo/{cell.model}/{cell.loss}/{cell.sampling}" + (f"/{fold}" if fold else ""),
        "cell": dataclasses.asdict(cell),
        "fold": fold,
        "space": space,
    }


def geometry(made: "MadeUp") -> dict[str, Any]:
    """Grids of every case: slices of 1 to 5 mm."""
    splits = [split for fold in made.folds for split in made.split_of(fold).values()]
    cases = list(dict.fromkeys(case for split in splits for case in split))
    return {
        case: {
            "shape": [60 + 7 * (i % 5), 512, 512],
            "spacing_mm": [1.0 + i % 5, 0.75, 0.75],
            "class_voxels": [
                9000,
                *(VOXELS if holds(case, label) else 0 for label in range(1, len(made.classes))),
            ],
        }
        for i, case in enumerate(cases)
    }
