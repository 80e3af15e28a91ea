"""Continues a run folder with the grid and the code that it was started with; refuses others and
shows the difference.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import ResolvedGrid
from bench.run_folder.changed_code import Changed, changed_code_message, changed_trials
from trials.data.datasets.splits import split_hash
from trials.records.codec import flat
from trials.records.result_file import read_results
from trials.records.run_record import NAME, read_run_record
from trials.storage.atomic import exists, find_files, read_text

# Cells, folds and seeds may change: a trial is identified by its hash, and the report names what it
# excludes.
KEPT = (
    "grid",
    "dataset",
    "splits",
    "classes",
    "target_regions",
    "tuning",
    "recipes",
    "hyper",
    "spaces",
    "weights",
)
SHOWN = 5


def resume_queue(
    out: Path, resolved: ResolvedGrid, record: Mapping[str, Any], grid_text: str, reruns: bool
) -> tuple[TrialQueue, list[Changed]]:
    """The queue of a run folder, and the trials in it that must be deleted first. Changes nothing.

    record is the new run.json. Raises ValueError if the folder holds trials of another grid or,
    unless reruns is set, trials that ran other code.
    """
    refuse_other_grid(out, record)
    results = read_results(out)
    changed = changed_trials(out, TrialQueue(resolved, results), results)
    if changed and not reruns:
        raise ValueError(changed_code_message(out, changed, read_stored_grid(out), grid_text))
    dropped = {one.trial for one in changed}
    return TrialQueue(
        resolved, {trial: one for trial, one in results.items() if trial not in dropped}
    ), changed


def read_stored_grid(out: Path) -> str:
    """The stored grid file of the run; "" if there is none that can be read."""
    try:
        return read_text(out / "grid.py")
    except (FileNotFoundError, ValueError):
        return ""


def refuse_other_grid(out: Path, record: Mapping[str, Any]) -> None:
    """Raise ValueError if the folder holds trials that ran with other settings than record, the new
    run.json.

    A key that only one of the two has, such as the recipe of a new model, is not a difference.
    """
    if not exists(out / NAME) or not find_files(out, "trials/*/result.json"):
        return
    records = read_run_record(out), json.loads(json.dumps(record))
    before, now = (settings(one) for one in records)
    if records[0].get("folds") != records[1].get("folds"):
        # The prepared sets of other folds are others; the files and each fold's cases are compared.
        before.pop("data.data_digest", None)
    changed = [
        f"{key} {before[key]} -> {now[key]}"
        for key in before
        if key in now and before[key] != now[key]
    ]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise ValueError(
            f"{out} holds trials of another grid: {'; '.join(changed[:SHOWN])}{more}; "
            f"choose another --out, with --reuse {out} to take over the results of all trials that "
            "stay as they were, or restore the original grid"
        )


def settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a run.json that determine trials, as dotted keys and plain values."""
    data = record.get("data") or {}
    kept = {key: record[key] for key in KEPT if key in record} | {
        "tuning": record.get("tuning") or {"trials": 0}
    }
    if "grouping" in data:
        # Validation scores are means over patients.
        kept["data.patients"] = split_hash(data["grouping"].get("patients") or {})
    return flat(
        kept
        | {
            f"data.{key}": data[key]
            for key in ("fingerprint", "data_digest", "split_hash")
            if key in data
        }
    )
