"""The progress of a run as text and as a terminal table: pure functions of its queue, its running
trials, and the time that they have taken so far.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import count_trials
from bench.grid.resolve import epochs_of, pretrainings
from trials.records.result import COMPLETE, FAILED, PRUNED
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec


@dataclass(slots=True)
class Pace:
    """The time of the finished epochs of a model, and of its finished trials outside their epochs,
    in seconds.
    """

    epochs: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)

    def seconds(self, epochs: float, trials: float) -> float:
        """The expected seconds of so many epochs and trials: the mean per epoch, plus the mean time
        of a trial outside its epochs.
        """
        outside = sum(self.outside) / len(self.outside) if self.outside else 0.0
        return epochs * sum(self.epochs) / len(self.epochs) + trials * outside


class PaceByModel:
    """The pace of each model, updated with every finished epoch and trial."""

    def __init__(self) -> None:
        self.models: dict[str, Pace] = defaultdict(Pace)

    def add_epoch(self, model: str, seconds: float) -> None:
        """Record a finished epoch."""
        self.models[model].epochs.append(seconds)

    def add_trial(self, model: str, epochs: int, seconds: float) -> None:
        """Record a finished trial; the time beyond its epochs counts as time outside them."""
        mean = sum(self.models[model].epochs[-epochs:]) / max(1, epochs)
        self.models[model].outside.append(max(0.0, seconds - epochs * mean))

    def seconds_left(self, left: Mapping[str, tuple[float, float]]) -> float | None:
        """The expected seconds of these epochs and trials of each model, one trial at a time; None
        before the first epoch. A model without a finished epoch gets the mean pace of the others.
        """
        paces = {model: pace for model, pace in self.models.items() if pace.epochs}
        if not paces:
            return None
        usual = Pace(
            [sum(p.epochs) / len(p.epochs) for p in paces.values()],
            [b for p in paces.values() for b in p.outside],
        )
        return sum(paces.get(model, usual).seconds(*amount) for model, amount in left.items())


def work_left(
    queue: TrialQueue, running: Iterable[tuple[TrialSpec, int]]
) -> dict[str, tuple[float, float]]:
    """Remaining epochs and trials of each model; of a running trial, its finished epochs are
    subtracted.
    """
    counts, models, share = (
        count_trials(queue.resolved),
        queue.resolved.models,
        share_trained(queue),
    )
    lengths = {phase: share if phase == TUNE else 1.0 for phase in counts}
    left: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    in_cells = [one.cell.model for one in queue.resolved.cells]
    pretrained = [spec.cell.model for spec in pretrainings(queue.resolved)]
    for phase, count in counts.items():
        wanted = pretrained if phase == PRETRAIN else in_cells
        for model in wanted:
            trials = count / len(wanted)
            left[model][0] += trials * lengths[phase] * epochs_of(models[model], phase)
            left[model][1] += trials
    for result in queue.results.values():
        left[result.spec.cell.model][0] -= lengths[result.spec.phase] * spec_epochs(result.spec)
        left[result.spec.cell.model][1] -= 1
    for spec, epoch in running:
        left[spec.cell.model][0] -= epoch
    return {model: (max(0.0, epochs), max(0.0, trials)) for model, (epochs, trials) in left.items()}


def share_trained(queue: TrialQueue) -> float:
    """The fraction of their epochs that the tuning trials so far have trained: less than 1 if some
    were pruned.
    """
    tuned = [one for one in queue.results.values() if one.spec.phase == TUNE and one.curve]
    whole = sum(spec_epochs(result.spec) for result in tuned)
    return sum(len(result.curve) for result in tuned) / whole if whole else 1.0


def spec_epochs(spec: TrialSpec) -> int:
    """The number of epochs of a trial that is neither pruned nor stopped early."""
    return spec.recipe.pretrain_epochs if spec.phase == PRETRAIN else spec.recipe.epochs


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
