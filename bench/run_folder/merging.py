"""Several run folders as one run: what must be equal in them, the trials of the whole, and its
run.json. Reads and computes; writes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.records.codec import flat, record_hash
from trials.records.record import shown
from trials.records.result import COMPLETE, TrialResult
from trials.records.result_file import read_result
from trials.records.run_record import read_run_record
from trials.records.spec import FINAL, PRETRAIN, Cell
from trials.storage.atomic import find_files

# What must be equal in all runs. Of a mapping, the keys that two runs share must be equal.
SAME = (
    *("dataset", "splits", "classes", "target_regions", "tuning", "questions"),
    *("recipes", "hyper", "spaces", "weights", "code"),
)
OF_THE_DATA = ("fingerprint", "split_hash", "channels", "has_ignore", "grouping")
BY_NAME = ("recipes", "hyper", "spaces", "weights", "code")
# Entries of the data by fold or case, which the runs may hold for other folds.
BY_FOLD = ("fold_cases", "split_hash", "excluded")
MAY_LACK = (*(f"{name}." for name in BY_NAME), "data.split_hash.")
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the runs: its folder, its run.json, and the trials of its grid by their hash."""

    out: Path
    record: Mapping[str, Any]
    results: Mapping[str, TrialResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The merged run: its run.json, and for each trial the run that it is taken from."""

    record: Mapping[str, Any]
    trials: Mapping[str, Part]


def read_part(out: Path) -> Part:
    """Read a run folder. Raises ValueError naming the file that is missing or damaged."""
    record = read_run_record(out, ("cells", "seeds", "code", "data.split_hash"))
    if not record["data"].get("fingerprint"):
        raise ValueError(
            f"{out / 'run.json'} has no data.fingerprint, so its data cannot be compared; run its "
            "grid again to rewrite it"
        )
    read = [read_result(out, path.parent.name) for path in find_files(out, "trials/*/result.json")]
    return Part(
        out=out,
        record=record,
        results={one.trial: one for one in read if _is_of_grid(one, record)},
    )


def merge(parts: Sequence[Part], command: str) -> Whole:
    """The whole of several runs. Raises ValueError saying what differs in runs that cannot be one.

    A trial that several runs hold is taken from the first that completed it.
    """
    for part in parts[1:]:
        refuse_differences(parts[0], part)
    trials: dict[str, Part] = {}
    for part in parts:
        for trial, result in part.results.items():
            other = trials.get(trial)
            if other is not None:
                _refuse_other_scores(other, part, trial)
            if other is None or other.results[trial].state != COMPLETE == result.state:
                trials[trial] = part
    refuse_other_settings(trials)
    shared = Counter(
        trials[trial].results[trial].spec.phase for part in parts for trial in part.results
    ) - Counter(part.results[trial].spec.phase for trial, part in trials.items())
    return Whole(
        record=merged_record([part.record for part in parts], shared, command), trials=trials
    )


def refuse_differences(first: Part, other: Part) -> None:
    """Raise ValueError unless two runs have the same data, splits, code and settings."""
    before, now = _settings(first.record), _settings(other.record)
    changed = [
        f"{key} {shown(before.get(key))} and {shown(now.get(key))}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
        and (not key.startswith(MAY_LACK) or (key in before and key in now))
    ]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise ValueError(
            f"{first.out} and {other.out} cannot be merged, since these differ: "
            f"{'; '.join(changed[:SHOWN])}{more}"
        )


def refuse_other_settings(trials: Mapping[str, Part]) -> None:
    """Raise ValueError if the final trials of a configuration in one fold were trained with several
    settings of hyperparameters.
    """
    seen: dict[tuple[Cell, int], tuple[Part, TrialResult]] = {}
    for trial, part in trials.items():
        result = part.results[trial]
        if result.spec.phase != FINAL:
            continue
        cell, fold = result.spec.cell, result.spec.fold
        other, first = seen.setdefault((cell, fold), (part, result))
        if first.spec.hyper != result.spec.hyper:
            where = f" in fold {fold}" if fold else ""
            raise ValueError(
                f"{cell.model}/{cell.loss}/{cell.sampling}{where} was trained with other settings "
                f"in {other.out} ({shown(first.spec.hyper)}) than in {part.out} "
                f"({shown(result.spec.hyper)}); merge runs that each tuned whole configurations"
            )


def merged_record(
    records: Sequence[Mapping[str, Any]], shared: Mapping[str, int], command: str
) -> dict[str, Any]:
    """The run.json of the whole; shared counts, by phase, the trials that more than one run
    holds.
    """
    first = records[0]
    recipes = _union(record["recipes"] for record in records if record.get("recipes"))
    commits = _unique(record.get("commit") or "" for record in records)
    digests = _unique(digest for one in records for digest in one["data"]["data_digest"].split())
    budgets = _unique(record.get("budget") for record in records)
    return {
        **{key: value for key, value in first.items() if key != "budget" or len(budgets) == 1},
        "grid": " and ".join(_unique(record["grid"] for record in records)),
        "cells": _unique(cell for record in records for cell in record["cells"]),
        "seeds": sorted({seed for record in records for seed in record["seeds"]}),
        "folds": sorted({fold for record in records for fold in record["folds"]}),
        "studies": _unique(study for record in records for study in record.get("studies") or ()),
        "planned": {
            phase: sum(record["planned"].get(phase, 0) for record in records) - shared.get(phase, 0)
            for phase in first["planned"]
        },
        "preparations": [recipe["preparation"] for recipe in recipes.values()]
        if all("preparation" in recipe for recipe in recipes.values())
        else first.get("preparations"),
        **{key: _union(record.get(key) or {} for record in records) for key in BY_NAME},
        "weights_notes": _unique(
            n for record in records for n in record.get("weights_notes") or ()
        ),
        "data": first["data"]
        | {key: _union(record["data"].get(key) or {} for record in records) for key in BY_FOLD}
        | {
            "data_digest": " ".join(digests),
            "split_rule": "; ".join(
                _unique(record["data"].get("split_rule", "") for record in records)
            ),
        },
        "command": command,
        "commit": commits[0] if len(commits) == 1 else "",
        "dirty": any(record.get("dirty") for record in records),
        "started": min(str(record.get("started", "")) for record in records),
        "reused": _unique(run for record in records for run in record.get("reused") or ()),
        "merged": [
            {key: record.get(key) for key in ("grid", "command", "commit", "started", "machine")}
            for record in records
        ],
    }


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    data = {f"data.{key}": record["data"].get(key) for key in OF_THE_DATA}
    return flat({key: record.get(key) for key in SAME} | data)


def _is_of_grid(result: TrialResult, record: Mapping[str, Any]) -> bool:
    cells = {record_hash(Cell(**cell)) for cell in record["cells"]}
    is_ours = result.spec.phase == PRETRAIN or record_hash(result.spec.cell) in cells
    is_ours = is_ours and result.spec.fold in record["folds"]
    return is_ours and (result.spec.phase != FINAL or result.spec.seed in record["seeds"])


def _refuse_other_scores(first: Part, other: Part, trial: str) -> None:
    one, two = first.results[trial], other.results[trial]
    both = one.spec.phase == FINAL and one.state == two.state == COMPLETE
    if both and (one.scores, one.surfaces) != (two.scores, two.surfaces):
        raise ValueError(
            f"trial {trial} has other scores in {first.out} than in {other.out}; leave it out of "
            "one of them: delete its folder there"
        )


def _unique(values: Iterable[Any]) -> list[Any]:
    """Values in their order, each once; they need not be hashable."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _union(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All keys, each with the value of the first mapping that has it."""
    found: dict[str, Any] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            found.setdefault(key, value)
    return found
