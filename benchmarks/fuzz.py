"""Fuzzed NIfTI headers, grid fields and JSON files: each is taken or refused in words, soon, and without much memory.

python -m benchmarks.fuzz [NUMBER] of each kind. Hypothesis draws the values; anything but ValueError counts as a crash.
"""

import gzip
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench.check import check_grid
from bench.continuing import refuse_other_grid
from bench.grids import DEMO, Grid, Tuning
from bench.ledger import read_result
from bench.lock import find, refuse_second, take
from bench.optuna_journal import write_journal
from bench.run import left_out_of
from bench.spaces import Range
from bench.status import Running, Status, outcomes, status_text, write_status
from bench.studies import write_studies
from benchmarks.small_data import AFFINE, SHAPE, write_small_data
from benchmarks.write_faults import SPEC
from reports.outside import read_outside
from reports.run_folder import read_run, read_studies
from trials.attempt import write_result
from trials.data.cache import open_cache, prepare_dataset
from trials.data.datasets import Case, find_dataset, open_dataset
from trials.data.examine import Rules, examine_case, rules_of
from trials.data.phantoms import write_phantoms
from trials.data.store import Store, prepared_record
from trials.files import write_text
from trials.records import SEAL, from_json, record_hash, sealed, to_json, unsealed
from trials.result import COMPLETE, Ceiling, Ceilings, Outside, TrialResult
from trials.spec import Cell, Preparation, Recipe, TrialSpec

HANG_SECONDS = 5.0
MEMORY_MIB = 64.0
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

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([10**400, -1, 0, "1e-4", "", "\0", "../..", "<script>", math.nan, 1e308]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
kinds = st.sampled_from([Cell, Recipe, Preparation, Tuning, Range, TrialSpec])
# Fields that decide about size first, then any byte of the header.
patches = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([40, 42, 44, 46, 48, 70, 72]), st.integers(0, 65535).map(lambda n: n.to_bytes(2, "little"))),
        st.tuples(st.sampled_from([76, 80, 84, 108, 112, 116, 280, 296, 312]), st.binary(min_size=4, max_size=4)),
        st.tuples(st.integers(0, 351), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=4,
)


@dataclass
class Outcome:
    """What was counted: examples, crashes by their text, the longest in seconds, growth of memory in MiB."""

    examples: int = 0
    crashes: tuple[str, ...] = ()
    longest: float = 0.0
    grown_mib: float = 0.0

    def attempt(self, action: Callable[[], object]) -> None:
        """Do it, and count what it raises that a user could not mend."""
        self.examples += 1
        started = time.monotonic()
        try:
            action()
        except ValueError:
            pass
        except Exception as error:
            self.crashes = (*self.crashes, f"{type(error).__name__}: {error}"[:200])
        self.longest = max(self.longest, time.monotonic() - started)


def fuzz(number: int, strategy: st.SearchStrategy, action: Callable[[Any], object]) -> Outcome:
    """Try that many values."""
    outcome, before = Outcome(), peak_mib()

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        outcome.attempt(lambda: action(value))

    run()
    outcome.grown_mib = peak_mib() - before
    return outcome


def peak_mib() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def headers(number: int, place: Path) -> Outcome:
    """An image whose header has other bytes, packed or not, read as a case is read at the door."""
    sound = nib.Nifti1Image(np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8), AFFINE).to_bytes()
    mask = place / "segmentation.nii.gz"
    mask.write_bytes(gzip.compress(sound, mtime=0))
    rules = Rules(classes=("background", "kidney", "tumor", "cyst"), intensity=(-200, 100))

    def action(drawn: tuple[list[tuple[int, bytes]], bool, int]) -> object:
        changes, is_packed, zeros = drawn
        content = bytearray(sound + bytes(zeros))
        for at, new in changes:
            content[at : at + len(new)] = new
        image = place / ("a.nii.gz" if is_packed else "a.nii")
        image.write_bytes(gzip.compress(bytes(content), 1, mtime=0) if is_packed else content)
        return examine_case(rules, Case(case="case", image=image, labels=mask))

    return fuzz(number, st.tuples(patches, st.booleans(), st.sampled_from([0, 0, 0, 2**22])), action)


def grid_fields(number: int) -> Outcome:
    """A field of the grid, or of a part of it, with another value."""

    def action(drawn: tuple[int, Any, Any]) -> object:
        place, kind, value = drawn
        names = [field.name for field in fields(Grid)]
        name = names[place % len(names)]
        part = replaced(kind, place, value)
        nested = {
            "cells": (part,),
            "recipes": {"3d": part},
            "tuning": part,
            "hyper": {"*": {"lr": value}},
            "spaces": {"*": part},
        }
        return check_grid(replace(DEMO, **{name: nested[name] if place % 3 and name in nested else value}))

    return fuzz(number, st.tuples(st.integers(0, 10**6), kinds, values), action)


def replaced(kind: type, place: int, value: Any) -> Any:
    """A record of that kind with one field of another value."""
    sound = {
        Cell: DEMO.cells[0],
        Recipe: DEMO.recipes["3d"],
        Preparation: Preparation(),
        Tuning: DEMO.tuning,
        Range: Range(low=1e-4, high=1e-2),
        TrialSpec: SPEC,
    }[kind]
    names = [field.name for field in fields(kind)]
    return replace(sound, **{names[place // 7 % len(names)]: value})


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
            lambda: write_studies(run),
            lambda: write_journal(run),
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


def json_files(number: int, place: Path) -> dict[str, Outcome]:
    """Each kind of our JSON files with another value somewhere, its seal renewed, read by all that read it."""
    return {name: json_file(number, kind) for name, kind in json_kinds(place).items()}


def json_file(number: int, kind: Kind) -> Outcome:
    """One kind of them."""
    text = kind.path.read_text()
    sound = json.loads(unsealed(text))
    outcome = Outcome()

    def action(drawn: tuple[list[int], Any]) -> None:
        document = json.dumps(changed(sound, *drawn), indent=1)
        for reader in kind.readers:
            kind.path.write_text(sealed(document) if kind.is_sealed else document)
            outcome.attempt(reader)

    found = fuzz(number, st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=6), values), action)
    kind.path.write_text(text)
    return replace(outcome, examples=found.examples, crashes=(*outcome.crashes, *found.crashes), grown_mib=found.grown_mib)


def changed(document: Any, steps: list[int], value: Any) -> Any:
    """A copy in which what lies at the end of the steps is another value; a step chooses among keys or elements."""
    if not steps or not isinstance(document, dict | list) or not document:
        return value
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = keys[steps[0] % len(keys)]
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[key] = changed(document[key], steps[1:], value)
    return copy


def main(number: int) -> int:
    """Print a table; the exit code is 1 for a crash, a hang or a header that took much memory."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        outcomes = {
            "NIfTI headers": headers(number, Path(one)),
            "grid fields": grid_fields(number),
            **json_files(number, Path(two)),
        }
    print(f"{'values of':16}{'tried':>8}{'crashes':>9}{'longest, s':>12}{'memory, MiB':>13}")
    for name, found in outcomes.items():
        print(f"{name:16}{found.examples:8}{len(found.crashes):9}{found.longest:12.2f}{found.grown_mib:13.1f}")
        print("".join(f"    {text}\n" for text in dict.fromkeys(found.crashes)), end="")
    hung = any(found.longest > HANG_SECONDS for found in outcomes.values())
    return hung or any(found.crashes for found in outcomes.values()) or outcomes["NIfTI headers"].grown_mib > MEMORY_MIB


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
