"""Trials of a run folder that ran other code than this grid would run now: which, what differs, and
how they are dropped.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.execution.trial_queue import TrialQueue
from bench.grid.grid_changes import changes
from bench.grids import Grid
from trials.identity.code_identity import OWN, changed_parts, code_of, own_code
from trials.records.job import result_path, trial_folder
from trials.records.result import TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec
from trials.storage.atomic import delete, delete_folder, find_files
from trials.training.attempt_log import read_attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A trial that is not what this grid would run now.

    recorded and code are the digests that it was run with and those of now, see code_of(); they are
    equal for a trial that follows from a changed one. is_finished is False for one of which there
    are checkpoints alone.
    """

    trial: str
    recorded: Mapping[str, str]
    code: Mapping[str, str]
    is_finished: bool = True

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that differ, of which nothing can be said where nothing was recorded."""
        return changed_parts(self.recorded, self.code) if self.recorded else ()


def changed_trials(
    out: Path, queue: TrialQueue, results: Mapping[str, TrialResult]
) -> list[Changed]:
    """The trials of a folder that this grid would use although they ran other code, and those that
    follow from them.

    results are the folder's finished trials; an interrupted one counts where it left a checkpoint.
    Trials that no cell or seed of the grid asks for are left alone: they are compared when it does.
    """
    used = {trial: result for trial, result in results.items() if is_used(result.spec, queue.grid)}
    finished = [
        Changed(trial=trial, recorded=one.code, code=code_now(one, queue.grid))
        for trial, one in used.items()
    ]
    finished = [one for one in finished if one.recorded != one.code]
    follow = following(used, {one.trial for one in finished})
    followers = [
        Changed(trial=trial, recorded=used[trial].code, code=used[trial].code)
        for trial in sorted(follow)
    ]
    return followers + finished + interrupted(out, queue, results)


def is_used(spec: TrialSpec, grid: Grid) -> bool:
    """Whether a grid still asks for trials of this cell and seed; every pretraining counts, since
    the report shows it.
    """
    return spec.phase == PRETRAIN or (
        spec.cell in grid.cells and (spec.phase == TUNE or spec.seed in grid.seeds)
    )


def code_now(result: TrialResult, grid: Grid) -> Mapping[str, str]:
    """The digests of the code that a trial would run now; of a model that the grid has no longer
    the recorded one stands.
    """
    if result.spec.cell.model in {cell.model for cell in grid.cells}:
        return code_of(result.spec)
    return {**result.code, OWN: own_code()}


def following(results: Mapping[str, TrialResult], changed: set[str]) -> set[str]:
    """The other trials that a second run of changed ones would change: those that start from their
    weights, those that their study proposed later, and those for which their study chose the
    setting."""
    weights = {f"pretrain:{trial}" for trial in changed}
    found = {trial for trial, one in results.items() if one.spec.weights in weights}
    first: dict[object, int] = {}
    for trial, one in results.items():
        if one.spec.phase == TUNE and trial in changed | found:
            first[one.spec.cell] = min(one.spec.number, first.get(one.spec.cell, one.spec.number))
    for trial, one in results.items():
        cell = one.spec.cell
        if cell in first and (
            one.spec.phase == FINAL or (one.spec.phase == TUNE and one.spec.number > first[cell])
        ):
            found.add(trial)
    return found - changed


def interrupted(out: Path, queue: TrialQueue, results: Mapping[str, TrialResult]) -> list[Changed]:
    """The trials that are due and have a checkpoint of other code."""
    kept = {
        path.parent.name for path in find_files(out, "trials/*/checkpoint-*.pt")
    } - results.keys()
    if not kept:
        return []
    due = {one.trial: code_of(one.spec) for one in queue.due() if one.trial in kept}
    before = {trial: read_attempts(out, trial) for trial in due}
    # Without what its folder remembers a trial is left to its worker, which looks into the
    # checkpoint itself.
    found = [(trial, one.code, due[trial]) for trial, one in before.items() if one is not None]
    return [
        Changed(trial=trial, recorded=old, code=now, is_finished=False)
        for trial, old, now in found
        if old != now
    ]


def refusal(out: Path, changed: Sequence[Changed], before: str, now: str) -> str:
    """Why a folder is refused: each part with what changed between the kept and the present text of
    the grid file.
    """
    by_part: dict[str, list[Changed]] = defaultdict(list)
    for one in changed:
        for part in one.parts:
            by_part[part].append(one)
    told = [of_part(part, those, before, now) for part, those in sorted(by_part.items())]
    if unrecorded := [one for one in changed if not one.recorded]:
        told.append(
            f"an earlier version of segbench, which did not record its code ({counted(unrecorded)})"
        )
    num = len(changed)
    follow = sum(one.recorded == one.code for one in changed)
    also = f", of which {follow} only follow from others" if follow else ""
    these = f"these {num} trials" if num > 1 else "this 1 trial"
    return (
        f"{out} holds trials that ran {'; '.join(told)}; give a new --out, or add "
        f"--rerun-changed to run {these} again{also}"
    )


def of_part(part: str, those: Sequence[Changed], before: str, now: str) -> str:
    """One part that differs, in words."""
    old, new = those[0].recorded.get(part), those[0].code.get(part)
    if part == OWN:
        return f"another segbench ({counted(those)}): its training code differs ({old} -> {new})"
    kind, _, name = part.partition(" ")
    if old is None or new is None:
        whose = ("segbench's own", "the grid file's")
        how = "it was {}, and is {}".format(*(whose if old is None else whose[::-1]))
    else:
        lines = ", ".join(changes(before, now, kind, name))
        how = (
            f"its source differs ({lines})"
            if lines
            else "it differs, though not in the lines of the grid file"
        )
    return f"another {kind} {name!r} ({counted(those)}): {how}"


def counted(those: Sequence[Changed]) -> str:
    """How many of them are finished and how many interrupted."""
    finished = sum(one.is_finished for one in those)
    counts = {"finished": finished, "interrupted": len(those) - finished}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def drop(out: Path, changed: Iterable[Changed]) -> None:
    """Delete the folders of these trials, the result first, without which a trial is run again.

    Killed on the way it leaves a folder that is refused again: what follows from others stands
    before them.
    """
    for one in changed:
        delete(result_path(out, one.trial))
        delete_folder(trial_folder(out, one.trial))
