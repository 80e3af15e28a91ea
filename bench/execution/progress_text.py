"""The progress of a run as text and as a terminal table: pure functions of its queue, its running
trials and its expected end.
"""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.execution.pace import spec_epochs
from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import count_trials
from trials.records.result import COMPLETE, FAILED, PRUNED
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A running trial, its number of finished epochs, and its start on the monotonic clock."""

    spec: TrialSpec
    epoch: int
    started: float

    @property
    def seconds(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self.started


def summary(queue: TrialQueue, minutes: float) -> str:
    """The outcome of a run, in one line."""
    states = [result.state for result in queue.results.values()]
    others = "".join(
        f", {states.count(state)} {state.lower()}" for state in (PRUNED, FAILED) if state in states
    )
    return (
        f"{states.count(COMPLETE)} of {num_planned(queue)} trials complete{others}, "
        f"{minutes:.1f} minutes here"
    )


def headline(queue: TrialQueue, num_running: int, end: datetime | None) -> str:
    """Trials and cells done, running trials, failures, and the expected end."""
    failed = sum(result.state == FAILED for result in queue.results.values())
    words = [
        f"{cells_done(queue)} of {len(queue.grid.cells)} cells done",
        f"{num_running} running",
        *([f"{failed} failed"] if failed else []),
        *([f"ends about {format_time(end, datetime.now())}"] if end else []),
    ]
    return f"[{len(queue.results)}/{num_planned(queue)}] {', '.join(words)}"


def num_planned(queue: TrialQueue) -> int:
    """The number of trials of the run."""
    return sum(count_trials(queue.resolved).values())


def cells_done(queue: TrialQueue) -> int:
    """The number of cells that have a result under each seed in each fold."""
    finals = Counter(one.spec.cell for one in queue.results.values() if one.spec.phase == FINAL)
    wanted = len(queue.grid.seeds) * len(queue.grid.folds)
    return sum(finals[cell] >= wanted for cell in queue.grid.cells)


def view(queue: TrialQueue, running: list[RunningTrial], end: datetime | None) -> Group:
    """The terminal view: a bar, the phases, the running trials and the best cell so far."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("running", "epoch", "for"):
        table.add_column(column, style="cyan", header_style="dim")
    for one in running:
        table.add_row(
            describe(one.spec), f"{one.epoch}/{spec_epochs(one.spec)}", f"{one.seconds:.0f} s"
        )
    total = max(1, num_planned(queue))
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=total, completed=len(queue.results), width=60)
    head.add_row(bar, Text(phases(queue), style="dim"))
    title = Text(headline(queue, len(running), end), style="bold")
    return Group(title, head, Text(""), table, Text(best(queue)))


def phases(queue: TrialQueue) -> str:
    """The number of finished trials of each phase."""
    finished = [result.spec.phase for result in queue.results.values()]
    return "   ".join(
        f"{phase} {finished.count(phase)}/{count}"
        for phase, count in count_trials(queue.resolved).items()
        if count
    )


def best(queue: TrialQueue) -> str:
    """The best trial on validation so far, of the final trials if any has finished; "" before the
    first.
    """
    complete = [result for result in list(queue.results.values()) if result.state == COMPLETE]
    finals = [result for result in complete if result.spec.phase == FINAL]
    candidates = finals or [result for result in complete if result.spec.phase == TUNE]
    if not candidates:
        return ""
    first = max(candidates, key=lambda result: result.val_score or 0.0)
    return f"best on validation so far: {describe(first.spec)}, mean Dice {first.val_score:.3f}"


def format_time(moment: datetime, now: datetime) -> str:
    """A time of day, with the date if it is not today."""
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%a %d %b %H:%M}"


def describe(spec: TrialSpec) -> str:
    """A trial as text."""
    cell = spec.cell
    which = "" if spec.phase == PRETRAIN else f" {cell.loss} {cell.sampling}"
    fold = f" fold {spec.fold}" if spec.fold else ""
    return f"{spec.phase} {cell.model}{which} seed {spec.seed}{fold}" + (
        f" setting {spec.number}" if spec.phase == TUNE else ""
    )
