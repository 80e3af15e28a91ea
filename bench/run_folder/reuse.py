"""Takes over results of other run folders: of each trial that is due here, the result of the same
spec, on the same data, by the same code.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.execution.trial_queue import Due, TrialQueue
from bench.grid.expand import count_trials
from bench.run_folder.own_places import refuse_overlap
from trials.identity.code_identity import code_of
from trials.records.job import trial_folder
from trials.records.record import shown
from trials.records.result import COMPLETE, PRUNED, TrialResult
from trials.records.result_file import read_results
from trials.records.run_record import NAME, read_run_record
from trials.storage.atomic import exists, find_files, read_bytes, write_whole

# What must be equal in both runs besides the spec of a trial, which names the prepared data.
OF_THE_DATA = ("fingerprint", "split_hash")
# What a trial needs only while it runs.
LEFT_OUT = ("checkpoint-", "attempts", ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusableRun:
    """Another run: its folder, its run.json, its results that ran today's code, by the hash of
    their trial, and the number of those that ran other code or failed.
    """

    folder: Path
    record: Mapping[str, Any]
    results: Mapping[str, TrialResult]
    others: int


def open_run(folder: Path, out: Path, data: Mapping[str, Any]) -> ReusableRun:
    """Open a run to take results from; data is the data entry of this run. Raises ValueError for
    this run's own folder, and for a run on other data.
    """
    refuse_overlap("--reuse", folder, "--out", out)
    record = read_run_record(folder, [f"data.{key}" for key in OF_THE_DATA])
    for key in OF_THE_DATA:
        theirs, ours = _of_shared_folds(record["data"][key], data[key])
        if theirs != ours:
            raise ValueError(
                f"--reuse {folder} must be a run on the same cases and splits; its data.{key} is "
                f"{shown(theirs)}, that of this run {shown(ours)}; leave it out"
            )
    found = read_results(folder)
    usable = {
        trial: one
        for trial, one in found.items()
        if one.state in (COMPLETE, PRUNED) and one.code == code_of(one.spec)
    }
    return ReusableRun(
        folder=folder, record=record, results=usable, others=len(found) - len(usable)
    )


def _of_shared_folds(theirs: Any, ours: Any) -> tuple[Any, Any]:
    """Two entries of data, those by fold without the folds that only one run has."""
    if not isinstance(theirs, Mapping):
        return theirs, ours
    shared = sorted(theirs.keys() & ours.keys())
    return {fold: theirs[fold] for fold in shared}, {fold: ours[fold] for fold in shared}


class Reuse:
    """What a run takes over from others; it knows which trials it has given, and by which run."""

    def __init__(self, out: Path, runs: Sequence[ReusableRun]):
        self.out, self.runs = out, runs
        has_record = exists(out / NAME)
        self.earlier = read_run_record(out).get("reused", ()) if has_record else ()
        self._taken: dict[str, ReusableRun] = {}
        self._copied: set[str] = set()

    def result_of(self, due: Due) -> TrialResult | None:
        """The result of a due trial in the first run that has it; None if none has. A trial that
        nothing can prune here takes no pruned result.
        """
        for run in self.runs:
            result = run.results.get(due.trial)
            if result is not None and (due.rungs or result.state != PRUNED):
                self._taken[due.trial] = run
                return result
        return None

    def take(self, due: Due) -> TrialResult | None:
        """result_of(), with the trial's files copied into the run folder."""
        result = self.result_of(due)
        self.copy()
        return result

    def add_to(self, queue: TrialQueue) -> None:
        """Give the queue the results of its due trials, and of those that are due then. Writes
        nothing.
        """
        while open_trials := [one for one in queue.due() if one.trial not in queue.results]:
            found = [self.result_of(one) for one in open_trials]
            for result in found:
                if result is not None:
                    queue.add(result)
            if not any(found):
                break

    def copy(self) -> None:
        """Copy the files of every trial that was given and is not copied yet."""
        for trial, run in self._taken.items():
            if trial not in self._copied:
                copy_folder(run.folder / "cases", self.out / "cases")
                copy_folder(trial_folder(run.folder, trial), trial_folder(self.out, trial))
                self._copied.add(trial)

    def record(self) -> list[dict[str, Any]]:
        """The entry "reused" of run.json: each run with the number of trials taken over from it, to
        which those of earlier starts of this run are added.
        """
        entries = {entry["run"]: dict(entry) for entry in self.earlier}
        for run, number in Counter(run.folder for run in self._taken.values()).items():
            of_run = next(one for one in self.runs if one.folder == run)
            entry = {key: of_run.record.get(key) for key in ("grid", "commit", "started")}
            before = entries.get(str(run), {}).get("trials", 0)
            entries[str(run)] = {"run": str(run), **entry, "trials": before + number}
        return list(entries.values())

    def text(self, queue: TrialQueue) -> str:
        """How many results are taken over from each run, and how many trials will run."""
        due = {one.trial for one in queue.due()}
        left = sum(count_trials(queue.resolved).values()) - len(due & queue.results.keys())
        lines = [
            f"taken over from {run.folder}: "
            f"{sum(one is run for one in self._taken.values())} of "
            f"{len(run.results) + run.others} results"
            + (f" ({run.others} failed or ran other code)" if run.others else "")
            for run in self.runs
        ]
        return "\n".join([*lines, f"{left} trials are left to run"])


def copy_folder(source: Path, target: Path) -> None:
    """Copy the files of a folder that are not in the target yet, result.json last."""
    files = [path for path in find_files(source, "**/*") if not path.name.startswith(LEFT_OUT)]
    for path in sorted(files, key=lambda path: path.name == "result.json"):
        copy = target / str(path.relative_to(source))
        if exists(path) and not exists(copy):
            copy_file(path, copy)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, each of the two local or at a URL."""
    content = read_bytes(source)
    write_whole(target, lambda file: file.write(content))
