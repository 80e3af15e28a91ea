"""One of each kind of JSON file that we read, and all that read it, for benchmarks/fuzz.py."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.continuing import refuse_other_grid
from bench.ledger import read_result, read_results
from bench.lock import find, refuse_second, take
from bench.optuna_journal import write_journal
from bench.run import left_out_of
from bench.status import Running, Status, outcomes, status_text, write_status
from bench.studies import write_studies
from benchmarks.small_data import write_small_data
from benchmarks.write_faults import SPEC
from reports.outside import read_outside
from reports.run_folder import read_run, read_studies
from trials.attempt import write_result
from trials.data.cache import open_cache, prepare_dataset
from trials.data.datasets import find_dataset, open_dataset
from trials.data.examine import rules_of
from trials.data.phantoms import write_phantoms
from trials.data.store import Store, prepared_record
from trials.files import write_text
from trials.records import SEAL, from_json, record_hash, to_json
from trials.result import COMPLETE, Ceiling, Ceilings, Outside, TrialResult
from trials.spec import Preparation

NOON = "2026-11-23T12:00:00"
RUNNING = Running(phase="tune", text="t", epoch=1, epochs=2, seconds=1.0)
RUN: dict[str, Any] = {
    "grid": "g",
    "dataset": "phantoms",
    "splits": "s",
    "fold": 0,
    "classes": ["a", "b"],
    "seeds": [0],
    "cells": [{"model": "unet3d", "loss": "focal", "sampling": "none"}],
    "tuning": {"trials": 1},
    "studies": [
        {
            "name": "g/unet3d/focal/none",
            "cell": {"model": "unet3d", "loss": "focal", "sampling": "none"},
            "space": {"lr": {"low": 1e-4, "high": 1e-2, "log": True, "integer": False}},
        }
    ],
    "planned": {"pretrain": 0, "tune": 1, "final": 1},
    "data": {"bad_cases": {"case_00042": "is empty"}, "data_digest": "0", "split_hash": "0", "split_cases": {"test": ["case"]}},
    "recipes": {"unet3d": {"epochs": 1, "preparation": {"cube": 8}}},
    "hyper": {"*": {"lr": 0.01}},
    "spaces": {},
    "weights": {},
    "command": "python -m bench.run --grid g",
    "started": NOON,
}
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 0, "file_ending": ".nii.gz"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of JSON file that we read: a sound one, and all that read it. is_sealed: it bears its own digest."""

    path: Path
    readers: tuple[Callable[[], object], ...]
    is_sealed: bool = False


def json_kinds(place: Path) -> dict[str, Kind]:
    """One file of each kind below place, with its readers."""
    run, data = place / "run", write_small_data(place / "data", 1)
    dataset = open_dataset("phantoms", data)
    prepared = prepare_dataset(dataset, Preparation(cube=8), place / "cache", workers=1)
    cases = prepared.parent / "cases"
    store = Store(folder=cases, preparation=Preparation(cube=8), rules=rules_of(dataset))
    write_result(run, TrialResult(trial=record_hash(SPEC), spec=SPEC, state=COMPLETE, val_score=0.5))
    write_status(run, Status(host="h", pid=1, started=NOON, updated=NOON, running=(RUNNING,), best="", ends=NOON))
    lock = take(run)
    write_text(run / "run.json", json.dumps(RUN))
    write_text(run / "studies.json", json.dumps({"studies": [{"cell": RUN["cells"][0], "importance": {"lr": 1.0}}]}))
    write_text(run / "outside" / "us.json", to_json(Outside(name="us")))
    write_text(run / "ceiling.json", to_json(Ceilings(ceilings=(Ceiling(data="0", cube=8, scores=()),))))
    write_text(place / "nnunet" / "dataset.json", json.dumps(DATASET))
    write_phantoms(place / "phantoms", 1)
    trial, case = record_hash(SPEC), dataset.cases[0]
    readers = {
        run / "trials" / trial / "result.json": (
            lambda: read_run(run),
            lambda: read_result(run, trial),
            lambda: list(outcomes(run)),
        ),
        prepared / "manifest.json": (lambda: open_cache(prepared),),
        cases / f"{case.case}.json": (lambda: prepared_record(store, case),),
        run / "run.json": (
            lambda: read_run(run),
            lambda: status_text(run, datetime.fromisoformat(NOON)),
            lambda: write_studies(run, read_results(run).values()),
            lambda: write_journal(run, read_results(run).values()),
            lambda: refuse_other_grid(run, RUN),
            lambda: left_out_of(run),
        ),
        run / "status.json": (lambda: status_text(run, datetime.fromisoformat(NOON)),),
        lock: (lambda: find(run), lambda: refuse_second(run)),
        run / "studies.json": (lambda: read_studies(run),),
        run / "outside" / "us.json": (lambda: read_outside(run / "outside" / "us.json"),),
        run / "ceiling.json": (lambda: from_json(Ceilings, (run / "ceiling.json").read_text()),),
        place / "nnunet" / "dataset.json": (lambda: find_dataset("nnunet", place / "nnunet"),),
        place / "phantoms" / "phantoms.json": (lambda: write_phantoms(place / "phantoms", 1),),
    }
    names = {path: path.name for path in readers} | {run / "outside" / "us.json": "outside/*.json"}
    names |= {cases / f"{case.case}.json": "case_*.json"}
    return {names[path]: Kind(path=path, readers=found, is_sealed=SEAL in path.read_text()) for path, found in readers.items()}
