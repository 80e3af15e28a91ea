"""The live view of a run: Ray tells it of each trial. Plain lines where there is no terminal."""

import os
import platform
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live

from bench.execution.progress_text import (
    PaceByModel,
    RunningTrial,
    best,
    describe,
    headline,
    spec_epochs,
    summary,
    view,
    work_left,
)
from bench.execution.trial_queue import TrialQueue
from bench.run_folder.status import Running, Status
from trials.records.codec import from_json
from trials.records.job import Job
from trials.records.result import COMPLETE, FAILED, PRUNED
from trials.records.spec import TrialSpec


class LiveView(Callback):
    """Keeps the running trials and the pace of each model, and shows them."""

    def __init__(self, queue: TrialQueue, console: Console, slots: int):
        self.queue, self.console, self.slots = queue, console, slots
        self.running: dict[str, RunningTrial] = {}
        self.pace = PaceByModel()
        self._live: Live | None = None
        self.started, self.since = time.monotonic(), datetime.now().isoformat(timespec="seconds")
        self._told, self.changed = "", threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def __enter__(self) -> "LiveView":
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=lambda: view(self.queue, list(self.running.values()), self.end()),
                console=self.console,
                refresh_per_second=2,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        minutes = (time.monotonic() - self.started) / 60
        self.console.print(summary(self.queue, minutes), highlight=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its place."""
        self.running[trial.trial_id] = RunningTrial(spec_of(trial), 0, time.monotonic())
        self.changed.set()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over, or a trial says what it does otherwise than its recipe asks."""
        one = self.running[trial.trial_id]
        model = one.spec.cell.model
        if note := result.get("note"):
            self._tell(f"{describe(one.spec)}: {note}")
        if result["epoch"] > one.epoch:
            self.pace.add_epoch(model, result["seconds"])
        elif result["state"]:
            self.pace.add_trial(model, result["epoch"], result["seconds"])
        self.running[trial.trial_id] = RunningTrial(one.spec, result["epoch"], one.started)
        self.changed.set()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial left its result."""
        one = self.running.pop(trial.trial_id)
        self.changed.set()
        last = trial.last_result or {}
        if hindrance := last.get("hindrance"):
            self._tell(f"{describe(one.spec)} has no result: {hindrance}")
        elif self._live is None:
            self._tell("; ".join(self._ended(one, last)))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost, perhaps before it began, and its trial is tried again."""
        words = last_words(trial)
        _, was_replaced, reason = words.partition("WorkerReplaced: ")
        text = reason if was_replaced else f"its worker was lost and it is tried again ({words})"
        self._tell(f"{describe(spec_of(trial))}: {text}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost for good."""
        self.running.pop(trial.trial_id, None)
        text = f"{describe(spec_of(trial))}: its worker was lost for good"
        self._tell(f"{text} ({last_words(trial)})")

    def _tell(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _ended(self, one: RunningTrial, last: dict[str, Any]) -> list[str]:
        """What is said of a trial that ended: how far the run is, the outcome, and the best so far
        where that is another than before.
        """
        outcome = last.get("state") or ("stopped" if last else FAILED)
        is_scored = outcome in (COMPLETE, PRUNED)
        score = f" validation {last.get('score', 0):.3f}" if is_scored else ""
        told, self._told = self._told, best(self.queue)
        return [
            headline(self.queue, len(self.running), self.end()),
            f"{describe(one.spec)}: {outcome.lower()}{score} in {one.seconds:.0f} s",
            *([self._told] if self._told != told else []),
        ]

    def end(self) -> datetime | None:
        """When the run will be done at the pace so far."""
        seconds = self.seconds_left()
        return None if seconds is None else datetime.now() + timedelta(seconds=seconds)

    def seconds_left(self) -> float | None:
        """What is left at the measured pace of each model, over the trials side by side; None
        before a first epoch.
        """
        running = [(one.spec, one.epoch) for one in list(self.running.values())]
        seconds = self.pace.seconds_left(work_left(self.queue, running))
        return None if seconds is None else seconds / self.slots

    def status(self) -> Status:
        """What another shell is told."""
        end = self.end()
        running = [
            Running(
                phase=one.spec.phase,
                text=describe(one.spec),
                epoch=one.epoch,
                epochs=spec_epochs(one.spec),
                seconds=round(one.seconds, 1),
            )
            for one in list(self.running.values())
        ]
        return Status(
            host=platform.node(),
            pid=os.getpid(),
            started=self.since,
            updated=datetime.now().isoformat(timespec="seconds"),
            running=tuple(running),
            best=best(self.queue),
            ends=end.isoformat(timespec="seconds") if end else None,
        )


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
