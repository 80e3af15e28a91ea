"""Trials of a run folder that ran other code than this grid would run now: finds them, explains the
difference and deletes them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.execution.trial_queue import TrialQueue
from bench.grid.grid_changes import describe_changes
from bench.grids import Grid
from trials.identity.code_identity import OWN, changed_parts, code_of, own_code
from trials.records.job import result_path, trial_folder
from trials.records.result import TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec
from trials.storage.atomic import delete, delete_folder, find_files
from trials.training.attempt_log import read_attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A trial whose code or predecessors have changed.

    recorded and code are its digests when it ran and now, see code_of(). They are equal for a trial
    that only depends on a changed one. is_finished is False if there are only checkpoints.
    """

    trial: str
    recorded: Mapping[str, str]
    code: Mapping[str, str]
    is_finished: bool = True

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that differ; empty if no digests were recorded."""
        return changed_parts(self.recorded, self.code) if self.recorded else ()


def changed_trials(
    out: Path, queue: TrialQueue, results: Mapping[str, TrialResult]
) -> list[Changed]:
    """The trials of a folder that this grid would use although they ran other code, and those that
    depend on them.

    results are the finished trials of the folder. An interrupted trial counts if it left a
    checkpoint. Trials of cells and seeds that the grid does not contain are ignored until a grid
    does.
    """
    used = {trial: result for trial, result in results.items() if is_used(result.spec, queue.grid)}
    finished = [
        Changed(trial=trial, recorded=one.code, code=code_now(one, queue.grid))
        for trial, one in used.items()
    ]
    finished = [one for one in finished if one.recorded != one.code]
    follow = dependent_trials(used, {one.trial for one in finished})
    followers = [
        Changed(trial=trial, recorded=used[trial].code, code=used[trial].code)
        for trial in sorted(follow)
    ]
    return followers + finished + interrupted_trials(out, queue, results)


def is_used(spec: TrialSpec, grid: Grid) -> bool:
    """Whether a grid contains the cell, fold and seed of a trial. Every pretraining counts, because
    the report shows it.
    """
    is_of_cell = spec.cell in grid.cells and spec.fold in grid.folds
    return spec.phase == PRETRAIN or (
        is_of_cell and (spec.phase == TUNE or spec.seed in grid.seeds)
    )


def code_now(result: TrialResult, grid: Grid) -> Mapping[str, str]:
    """The digests of the code that a trial would run now. For a model that the grid no longer
    contains, the recorded digests are kept.
    """
    if result.spec.cell.model in {cell.model for cell in grid.cells}:
        return code_of(result.spec)
    return {**result.code, OWN: own_code()}


def dependent_trials(results: Mapping[str, TrialResult], changed: set[str]) -> set[str]:
    """The other trials that rerunning changed ones would change: those that start from their
    weights, those that their study proposed later, and final trials whose setting their study
    selected.
    """
    weights = {f"pretrain:{trial}" for trial in changed}
    found = {trial for trial, one in results.items() if one.spec.weights in weights}
    first: dict[object, int] = {}
    for trial, one in results.items():
        study = one.spec.cell, one.spec.fold
        if one.spec.phase == TUNE and trial in changed | found:
            first[study] = min(one.spec.number, first.get(study, one.spec.number))
    for trial, one in results.items():
        study = one.spec.cell, one.spec.fold
        if study in first and (
            one.spec.phase == FINAL or (one.spec.phase == TUNE and one.spec.number > first[study])
        ):
            found.add(trial)
    return found - changed


def interrupted_trials(
    out: Path, queue: TrialQueue, results: Mapping[str, TrialResult]
) -> list[Changed]:
    """The due trials that have a checkpoint of other code."""
    kept = {
        path.parent.name for path in find_files(out, "trials/*/checkpoint-*.pt")
    } - results.keys()
    if not kept:
        return []
    due = {one.trial: code_of(one.spec) for one in queue.due() if one.trial in kept}
    before = {trial: read_attempts(out, trial) for trial in due}
    # A trial without a record of its attempts is left to its worker, which checks the checkpoint
    # itself.
    found = [(trial, one.code, due[trial]) for trial, one in before.items() if one is not None]
    return [
        Changed(trial=trial, recorded=old, code=now, is_finished=False)
        for trial, old, now in found
        if old != now
    ]


def changed_code_message(out: Path, changed: Sequence[Changed], before: str, now: str) -> str:
    """The error message for a folder with changed trials: each part, with the difference between
    the stored and the current text of the grid file.
    """
    by_part: dict[str, list[Changed]] = defaultdict(list)
    for one in changed:
        for part in one.parts:
            by_part[part].append(one)
    texts = [describe_part(part, trials, before, now) for part, trials in sorted(by_part.items())]
    if unrecorded := [one for one in changed if not one.recorded]:
        texts.append(
            "an earlier version of segbench that did not record its code "
            f"({count_states(unrecorded)})"
        )
    num = len(changed)
    follow = sum(one.recorded == one.code for one in changed)
    also = f", of which {follow} only depend on others" if follow else ""
    these = f"these {num} trials" if num > 1 else "this 1 trial"
    return (
        f"{out} holds trials that ran {'; '.join(texts)}; choose a new --out, or add "
        f"--rerun-changed to run {these} again{also}"
    )


def describe_part(part: str, trials: Sequence[Changed], before: str, now: str) -> str:
    """One part that differs, as text."""
    old, new = trials[0].recorded.get(part), trials[0].code.get(part)
    if part == OWN:
        return (
            f"another segbench ({count_states(trials)}): its training code differs ({old} -> {new})"
        )
    kind, _, name = part.partition(" ")
    if old is None or new is None:
        whose = ("segbench's own", "the grid file's")
        how = "it was {} and is now {}".format(*(whose if old is None else whose[::-1]))
    else:
        lines = ", ".join(describe_changes(before, now, kind, name))
        how = (
            f"its source differs ({lines})"
            if lines
            else "it differs, but its lines in the grid file are equal"
        )
    return f"another {kind} {name!r} ({count_states(trials)}): {how}"


def count_states(trials: Sequence[Changed]) -> str:
    """How many of these trials are finished and how many interrupted."""
    finished = sum(one.is_finished for one in trials)
    counts = {"finished": finished, "interrupted": len(trials) - finished}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def delete_trials(out: Path, changed: Iterable[Changed]) -> None:
    """Delete the folders of these trials, the result first; a trial without a result runs again.

    Dependent trials come first, so that a folder whose deletion was interrupted is still refused.
    """
    for one in changed:
        delete(result_path(out, one.trial))
        delete_folder(trial_folder(out, one.trial))
