"""The live view of a run: what is done, what runs, and when it will end. Plain lines where there is
no terminal.
"""

import os
import platform
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import pretrainings, recipe_of
from bench.grids import Grid
from bench.run_folder.status import Running, Status
from trials.records.codec import from_json
from trials.records.job import Job
from trials.records.result import COMPLETE, FAILED, PRUNED
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec


def epochs_of(grid: Grid, model: str, phase: str) -> int:
    """How many epochs a trial of this phase trains."""
    recipe = recipe_of(grid, model)
    if phase == PRETRAIN:
        return recipe.pretrain_epochs
    return (grid.tuning.epochs if grid.tuning and phase == TUNE else None) or recipe.epochs


@dataclass(slots=True)
class Pace:
    """What the finished epochs and trials of a model have cost, in seconds."""

    epochs: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def seconds(self, epochs: float, trials: float) -> float:
        """What so many epochs in so many trials will cost: each epoch its mean, each trial what it
        needs beside its epochs.
        """
        beside = sum(self.beside) / len(self.beside) if self.beside else 0.0
        return epochs * sum(self.epochs) / len(self.epochs) + trials * beside


class LiveView(Callback):
    """Ray tells it of each trial; it keeps the counts, the running trials and the pace of each
    model.
    """

    def __init__(self, queue: TrialQueue, planned: dict[str, int], console: Console, slots: int):
        self.queue, self.planned, self.console, self.slots = queue, planned, console, slots
        self.running: dict[str, tuple[TrialSpec, int, float]] = {}
        self.pace: dict[str, Pace] = defaultdict(Pace)
        self._live: Live | None = None
        self.started, self.since = time.monotonic(), datetime.now().isoformat(timespec="seconds")
        self._told, self.changed = "", threading.Event()

    def __getstate__(self) -> dict:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def __enter__(self) -> "LiveView":
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self.render,
                console=self.console,
                refresh_per_second=2,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        self.console.print(self.summary(), highlight=False)

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A trial got its place."""
        self.running[trial.trial_id] = (spec_of(trial), 0, time.monotonic())
        self.changed.set()

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        """An epoch is over, or a trial says what it does otherwise than its recipe asks."""
        spec, epoch, started = self.running[trial.trial_id]
        if note := result.get("note"):
            self.console.print(
                f"{describe(spec)}: {note}", soft_wrap=True, highlight=False, markup=False
            )
        if result["epoch"] > epoch:
            self.pace[spec.cell.model].epochs.append(result["seconds"])
        elif result["state"]:
            trained = (
                result["epoch"]
                * sum(self.pace[spec.cell.model].epochs[-result["epoch"] :])
                / max(1, result["epoch"])
            )
            self.pace[spec.cell.model].beside.append(max(0.0, result["seconds"] - trained))
        self.running[trial.trial_id] = (spec, result["epoch"], started)
        self.changed.set()

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A trial left its result."""
        spec, _, started = self.running.pop(trial.trial_id)
        self.changed.set()
        last = trial.last_result or {}
        if hindrance := last.get("hindrance"):
            self.console.print(
                f"{describe(spec)} has no result: {hindrance}", soft_wrap=True, markup=False
            )
        elif self._live is None:
            outcome = last.get("state") or ("stopped" if last else FAILED)
            score = (
                f" validation {last.get('score', 0):.3f}" if outcome in (COMPLETE, PRUNED) else ""
            )
            text = (
                f"{self.headline()}; {describe(spec)}: {outcome.lower()}{score} in "
                f"{time.monotonic() - started:.0f} s"
            )
            if self.best() != self._told:
                self._told = self.best()
                text = f"{text}; {self._told}"
            self.console.print(text, soft_wrap=True, highlight=False)

    def on_trial_recover(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A worker was lost, perhaps before it began, and its trial is tried again."""
        words = last_words(trial)
        _, was_replaced, reason = words.partition("WorkerReplaced: ")
        text = reason if was_replaced else f"its worker was lost and it is tried again ({words})"
        self.console.print(
            f"{describe(spec_of(trial))}: {text}", soft_wrap=True, highlight=False, markup=False
        )

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A worker was lost for good."""
        self.running.pop(trial.trial_id, None)
        text = f"{describe(spec_of(trial))}: its worker was lost for good"
        self.console.print(
            f"{text} ({last_words(trial)})", soft_wrap=True, highlight=False, markup=False
        )

    def summary(self) -> str:
        """What came of it, in one line."""
        states = [result.state for result in self.queue.results.values()]
        others = "".join(
            f", {states.count(state)} {state.lower()}"
            for state in (PRUNED, FAILED)
            if state in states
        )
        spent = (time.monotonic() - self.started) / 60
        return (
            f"{states.count(COMPLETE)} of {sum(self.planned.values())} trials complete{others}, "
            f"{spent:.1f} minutes here"
        )

    def headline(self) -> str:
        """Trials and cells done, what runs, failures, and the end by the clock."""
        done, total = len(self.queue.results), sum(self.planned.values())
        failed = sum(result.state == FAILED for result in self.queue.results.values())
        words = [
            f"{self.cells_done()} of {len(self.queue.grid.cells)} cells done",
            f"{len(self.running)} running",
        ]
        words += [f"{failed} failed"] if failed else []
        end = self.end()
        words += [f"ends about {by_the_clock(end, datetime.now())}"] if end else []
        return f"[{done}/{total}] {', '.join(words)}"

    def cells_done(self) -> int:
        """How many cells have a result under each seed."""
        finals = Counter(
            result.spec.cell for result in self.queue.results.values() if result.spec.phase == FINAL
        )
        return sum(finals[cell] >= len(self.queue.grid.seeds) for cell in self.queue.grid.cells)

    def end(self) -> datetime | None:
        """When the run will be done at the pace so far."""
        seconds = self.seconds_left()
        return None if seconds is None else datetime.now() + timedelta(seconds=seconds)

    def status(self) -> Status:
        """What another shell is told."""
        now, end = time.monotonic(), self.end()
        running = [
            Running(
                phase=spec.phase,
                text=describe(spec),
                epoch=epoch,
                epochs=epochs_of(self.queue.grid, spec.cell.model, spec.phase),
                seconds=round(now - started, 1),
            )
            for spec, epoch, started in list(self.running.values())
        ]
        return Status(
            host=platform.node(),
            pid=os.getpid(),
            started=self.since,
            updated=datetime.now().isoformat(timespec="seconds"),
            running=tuple(running),
            best=self.best(),
            ends=end.isoformat(timespec="seconds") if end else None,
        )

    def seconds_left(self) -> float | None:
        """What is left at the measured pace of each model, over the trials side by side; None
        before a first epoch.
        """
        paces = {model: pace for model, pace in self.pace.items() if pace.epochs}
        if not paces:
            return None
        usual = Pace(
            [sum(p.epochs) / len(p.epochs) for p in paces.values()],
            [b for p in paces.values() for b in p.beside],
        )
        left = self._left()
        return (
            sum(paces.get(model, usual).seconds(*amount) for model, amount in left.items())
            / self.slots
        )

    def _left(self) -> dict[str, tuple[float, float]]:
        """Epochs and trials that each model still has before it; a running trial is left but for
        its finished epochs.
        """
        grid, share = self.queue.grid, self.share_trained()
        lengths = {phase: share if phase == TUNE else 1.0 for phase in self.planned}
        plan: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        models = [cell.model for cell in grid.cells]
        pretrained = [model for model, _ in pretrainings(grid, self.queue.facts.weights)]
        for phase, count in self.planned.items():
            wanted = pretrained if phase == PRETRAIN else models
            for model in wanted:
                trials = count / len(wanted)
                plan[model][0] += trials * lengths[phase] * epochs_of(grid, model, phase)
                plan[model][1] += trials
        for result in self.queue.results.values():
            model = result.spec.cell.model
            plan[model][0] -= lengths[result.spec.phase] * epochs_of(grid, model, result.spec.phase)
            plan[model][1] -= 1
        for spec, epoch, _ in self.running.values():
            plan[spec.cell.model][0] -= epoch
        return {
            model: (max(0.0, epochs), max(0.0, trials)) for model, (epochs, trials) in plan.items()
        }

    def share_trained(self) -> float:
        """How much of their epochs the tuning trials so far have trained: less than 1 where some
        were pruned.
        """
        tuned = [
            result
            for result in self.queue.results.values()
            if result.spec.phase == TUNE and result.curve
        ]
        whole = sum(epochs_of(self.queue.grid, result.spec.cell.model, TUNE) for result in tuned)
        return sum(len(result.curve) for result in tuned) / whole if whole else 1.0

    def render(self) -> Group:
        """The view of a terminal: a bar, the phases, the running trials, the best cell so far."""
        done, total = len(self.queue.results), sum(self.planned.values())
        table = Table(box=None, padding=(0, 2, 0, 0))
        for title in ("running", "epoch", "for"):
            table.add_column(title, style="cyan", header_style="dim")
        for spec, epoch, started in list(self.running.values()):
            epochs = epochs_of(self.queue.grid, spec.cell.model, spec.phase)
            table.add_row(
                describe(spec), f"{epoch}/{epochs}", f"{time.monotonic() - started:.0f} s"
            )
        bar = ProgressBar(total=max(1, total), completed=done, width=60)
        head = Table.grid(padding=(0, 2))
        head.add_row(bar, Text(self._phases(), style="dim"))
        return Group(Text(self.headline(), style="bold"), head, Text(""), table, Text(self.best()))

    def _phases(self) -> str:
        finished = [result.spec.phase for result in self.queue.results.values()]
        return "   ".join(
            f"{phase} {finished.count(phase)}/{count}"
            for phase, count in self.planned.items()
            if count
        )

    def best(self) -> str:
        """The best trial on validation so far, of the final ones once there are any; "" before a
        first.
        """
        complete = [
            result for result in list(self.queue.results.values()) if result.state == COMPLETE
        ]
        finals = [result for result in complete if result.spec.phase == FINAL]
        candidates = finals or [result for result in complete if result.spec.phase == TUNE]
        if not candidates:
            return ""
        best = max(candidates, key=lambda result: result.val_score or 0.0)
        return f"best on validation so far: {describe(best.spec)}, mean Dice {best.val_score:.3f}"


def by_the_clock(moment: datetime, now: datetime) -> str:
    """A time of day, with its date where that is not today's."""
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%a %d %b %H:%M}"


def spec_of(trial: Any) -> TrialSpec:
    """What one of Ray's trials was asked to do."""
    return from_json(Job, trial.config["job"]).spec


def last_words(trial: Any) -> str:
    """What a trial's worker raised, or what Ray says of its end: the last line that it wrote of it,
    cut to a line's length.
    """
    path = Path(trial.error_file or "")
    lines = path.read_text(errors="replace").split("\n") if path.is_file() else []
    return next(
        (line.strip() for line in reversed(lines) if line.strip()), "no error was reported"
    )[:160]


def describe(spec: TrialSpec) -> str:
    """A trial in words."""
    cell = spec.cell
    which = "" if spec.phase == PRETRAIN else f" {cell.loss} {cell.sampling}"
    return f"{spec.phase} {cell.model}{which} seed {spec.seed}" + (
        f" setting {spec.number}" if spec.phase == TUNE else ""
    )
