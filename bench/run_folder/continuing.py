"""A run folder goes on with the grid and the code it was begun with: others are refused with the
difference.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.execution.results import read_results
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import ResolvedGrid
from bench.run_folder.changed_code import Changed, changed_trials, refusal
from trials.records.codec import flat
from trials.records.run_record import NAME, read_run_record
from trials.storage.atomic import exists, find_files, read_text

# Cells and seeds may come and go: a trial's hash tells whether it is done, and the report names
# what it leaves out.
KEPT = (
    "grid",
    "dataset",
    "splits",
    "fold",
    "classes",
    "tuning",
    "recipes",
    "hyper",
    "spaces",
    "weights",
)
SHOWN = 5


def resumed(
    out: Path, resolved: ResolvedGrid, record: Mapping[str, Any], grid_text: str, reruns: bool
) -> tuple[TrialQueue, list[Changed]]:
    """What is left to do in a run folder, and the trials in it that must be dropped before. Changes
    nothing.

    record is the run.json to be. Raises ValueError where the folder holds trials of another grid,
    or, unless it reruns them, trials that ran other code.
    """
    refuse_other_grid(out, record)
    results = read_results(out)
    changed = changed_trials(out, TrialQueue(resolved, results), results)
    if changed and not reruns:
        raise ValueError(refusal(out, changed, kept_text(out), grid_text))
    dropped = {one.trial for one in changed}
    return TrialQueue(
        resolved, {trial: one for trial, one in results.items() if trial not in dropped}
    ), changed


def kept_text(out: Path) -> str:
    """The grid file of the run so far, "" where there is none that can be read."""
    try:
        return read_text(out / "grid.py")
    except (FileNotFoundError, ValueError):
        return ""


def refuse_other_grid(out: Path, record: Mapping[str, Any]) -> None:
    """Raise ValueError where the folder holds trials that were run under other settings than
    record, a run.json to be.

    What only one of the two names, such as the recipe of a model that is new, is no difference.
    """
    if not exists(out / NAME) or not find_files(out, "trials/*/result.json"):
        return
    before, now = settings(read_run_record(out)), settings(json.loads(json.dumps(record)))
    changed = [
        f"{key} {before[key]} -> {now[key]}"
        for key in before
        if key in now and before[key] != now[key]
    ]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise ValueError(
            f"{out} holds trials of another grid: {'; '.join(changed[:SHOWN])}{more}; "
            "choose another --out, or go back to the grid as it was"
        )


def settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a trial, of a run.json: dotted keys and plain values."""
    data = record.get("data") or {}
    kept = {key: record[key] for key in KEPT if key in record} | {
        "tuning": record.get("tuning") or {"trials": 0}
    }
    return flat(
        kept | {f"data.{key}": data[key] for key in ("data_digest", "split_hash") if key in data}
    )
