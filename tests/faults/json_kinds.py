"""One file of each kind of JSON that we read, and everything a user calls that reads it, for
test_fuzzed.py.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from made_up import MadeUp, complete, write_run

from bench.doctor.data import data_finding, prepared_finding
from bench.predictions.external import add_predictions
from bench.run import excluded_cases, write_report
from bench.run_folder.continuing import refuse_other_grid
from bench.run_folder.lock import acquire_lock, refuse_second_driver
from bench.run_folder.provenance import case_metadata
from bench.run_folder.status import Running, Status, status_text, write_status
from benchmarks.small_data import write_small_data
from reports.build import build_report
from trials.data.datasets.opening import find_dataset, open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.case_checks import rules_of
from trials.data.prepared.case_store import Store, measured_record, prepared_record, verdict
from trials.records.codec import to_json
from trials.records.result import NATIVE, ExternalPredictions
from trials.records.result_file import read_results
from trials.records.spec import Cube
from trials.storage.atomic import write_text
from trials.storage.checksum import CHECKSUM_KEY, add_checksum

Readers = dict[str, tuple[Path, tuple[Callable[[], object], ...]]]
NOON = "2026-11-23T12:00:00"
RUNNING = Running(phase="tune", text="t", epoch=1, epochs=2, seconds=1.0)
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1},
    "numTraining": 0,
    "file_ending": ".nii.gz",
}
# What a small run may record besides what every run does.
RECORD = {
    "questions": [{"factor": "model", "levels": None, "within": [], "score": "mean"}],
    "inherited": ["recipe of unet3d: epochs=16"],
    "hyper": {"*": {"lr": 0.01}},
    "spaces": {"*": {"lr": {"low": 1e-4, "high": 1e-2, "log": True, "integer": False}}},
    "weights_notes": ["random"],
}
MADE = MadeUp(
    models=("unet3d", "vnet"),
    losses=("focal",),
    seeds=(0,),
    num_val=1,
    num_test=2,
    tunings=1,
    epochs=2,
    ceiling=0.9,
    record=RECORD,
)


@dataclass(frozen=True)
class Kind:
    """A sound file of one kind and all that read it. is_sealed: it holds its own checksum."""

    path: Path
    readers: tuple[Callable[[], object], ...]
    is_sealed: bool


def json_kinds(place: Path) -> dict[str, Kind]:
    """One file of each kind below place, with its readers."""
    readers = run_files(place) | prepared_files(place) | dataset_files(place)
    return {
        name: Kind(path, found, CHECKSUM_KEY in path.read_text())
        for name, (path, found) in readers.items()
    }


def run_files(place: Path) -> Readers:
    """Files of a run folder, read by its run, its report and its status."""
    data, run = write_small_data(place / "data", 3), write_run(place / "run", MADE)
    record = json.loads((run / "run.json").read_text())
    trial = complete(MADE, MADE.cells[0], 0)
    scores = tuple(one for one in trial.scores if (one.split, one.space) == ("test", NATIVE))
    external = ExternalPredictions(name="us", scores=scores, surfaces=trial.surfaces)
    studies = {"studies": [{"cell": dataclasses.asdict(MADE.cells[0]), "importance": {"lr": 1.0}}]}
    running = Status(
        host="h", pid=1, started=NOON, updated=NOON, running=(RUNNING,), best="b", ends=NOON
    )
    write_status(run, running)
    write_text(run / "studies.json", add_checksum(json.dumps(studies, indent=1)))
    write_text(run / "external" / "us.json", add_checksum(to_json(external)))
    lock, report = acquire_lock(run), partial(build_report, run, "none")
    status = partial(status_text, run, datetime.fromisoformat(NOON))
    whole = (partial(write_report, run, "none"), status, partial(read_results, run))
    settings = (
        partial(refuse_other_grid, run, record),
        partial(excluded_cases, run),
        partial(add_predictions, run, [], data),
    )
    return {
        "result.json": (run / "trials" / trial.trial / "result.json", whole),
        "run.json": (run / "run.json", (*whole, *settings)),
        "status.json": (run / "status.json", (status,)),
        "driver.lock": (lock, (partial(refuse_second_driver, run), status)),
        "studies.json": (run / "studies.json", (report,)),
        "external/*.json": (run / "external" / "us.json", (report,)),
        "ceiling.json": (run / "ceiling.json", (report,)),
    }


def prepared_files(place: Path) -> Readers:
    """Files of a cache: the manifest of a set, and what is kept of a case after each stage."""
    dataset = open_dataset("phantoms", write_small_data(place / "small", 1))
    case, preparation = dataset.cases[0], Cube(edge=8)
    prepared = prepare_dataset(dataset, preparation, place / "cache", workers=1)
    manifest, rules = prepared / "manifest.json", rules_of(dataset)
    stages = {
        "examined": (verdict, place / "cache" / "examined"),
        "measured": (measured_record, place / "cache" / "measured"),
        "prepared": (prepared_record, prepared.parent / "cases"),
    }
    found: Readers = {
        "manifest.json": (
            manifest,
            (partial(open_cache, prepared), partial(prepared_finding, manifest)),
        )
    }
    for name, (remember, folder) in stages.items():
        store = Store(folder=folder, preparation=preparation, rules=rules)
        remember(store, case)
        path = folder / f"{case.case}.json"
        found[f"{name}/case_*.json"] = (path, (partial(remember, store, case),))
    return found


def dataset_files(place: Path) -> Readers:
    """Files beside somebody's images: lists of classes and of patients, and what we say of
    phantoms.
    """
    lists, phantoms = place / "nnunet", place / "phantoms"
    kits = write_small_data(place / "kits23", 1)
    patients = [{"case_id": "case_00000", "pathology_t_stage": "1a"}]
    write_text(lists / "dataset.json", json.dumps(DATASET))
    write_phantoms(phantoms, 1)
    write_text(kits / "kits23.json", json.dumps(patients))
    return {
        "dataset.json": (
            lists / "dataset.json",
            (partial(find_dataset, "nnunet", lists), partial(data_finding, lists)),
        ),
        "phantoms.json": (phantoms / "phantoms.json", (partial(write_phantoms, phantoms, 1),)),
        "kits23.json": (
            kits / "kits23.json",
            (partial(case_metadata, open_dataset("kits23", kits)),),
        ),
    }
