"""The live view of a run: what is done, what runs, and when it will end. Plain lines where there is no terminal."""

import time
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.agenda import Agenda
from bench.expand import recipe_of
from bench.grids import Grid
from trials.job import Job
from trials.records import from_json
from trials.result import COMPLETE
from trials.spec import FINAL, PRETRAIN, TUNE, TrialSpec


def epochs_of(grid: Grid, model: str, phase: str) -> int:
    """How many epochs a trial of this phase trains."""
    recipe = recipe_of(grid, model)
    if phase == PRETRAIN:
        return recipe.pretrain_epochs
    return (grid.tuning.epochs if grid.tuning and phase == TUNE else None) or recipe.epochs


class LiveView(Callback):
    """Ray tells it of each trial; it keeps the counts, the running trials and the pace of each model."""

    def __init__(self, agenda: Agenda, planned: dict[str, int], console: Console):
        self.agenda, self.planned, self.console = agenda, planned, console
        self.slots = 1
        self.running: dict[str, tuple[TrialSpec, int, float]] = {}
        self.pace: dict[str, list[float]] = defaultdict(list)
        self._live: Live | None = None

    def __getstate__(self) -> dict:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def __enter__(self) -> "LiveView":
        if self.console.is_terminal:
            self._live = Live(get_renderable=self.render, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A trial got its place."""
        spec = from_json(Job, trial.config["job"]).spec
        self.running[trial.trial_id] = (spec, 0, time.monotonic())

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        """An epoch is over."""
        spec, epoch, started = self.running[trial.trial_id]
        if result["epoch"] > epoch:
            self.pace[spec.cell.model].append((time.monotonic() - started) / result["epoch"])
        self.running[trial.trial_id] = (spec, result["epoch"], started)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A trial left its result."""
        spec, _, started = self.running.pop(trial.trial_id)
        if self._live is None:
            last = trial.last_result or {}
            outcome = last.get("state") or "FAILED"
            score = f" validation {last.get('score', 0):.3f}" if outcome == COMPLETE else ""
            text = f"{self.headline()}  {describe(spec)}: {outcome.lower()}{score} in {time.monotonic() - started:.0f} s"
            self.console.print(text, soft_wrap=True, highlight=False)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """A worker was lost for good."""
        self.running.pop(trial.trial_id, None)

    def headline(self) -> str:
        """Done of planned, failures, and the end by the clock."""
        done, total = len(self.agenda.results), sum(self.planned.values())
        failed = sum(result.state == "FAILED" for result in self.agenda.results.values())
        words = [f"[{done}/{total}]"] + ([f"{failed} failed"] if failed else [])
        seconds = self.seconds_left()
        if seconds is not None:
            words.append(f"ends about {datetime.now() + timedelta(seconds=seconds):%H:%M:%S}")
        return " ".join(words)

    def seconds_left(self) -> float | None:
        """Epochs to go, at the measured pace of each model, over the trials side by side; None before a first epoch."""
        if not self.pace:
            return None
        mean = {model: sum(times) / len(times) for model, times in self.pace.items()}
        usual = sum(mean.values()) / len(mean)
        epochs = self._epochs_left()
        return sum(count * mean.get(model, usual) for model, count in epochs.items()) / self.slots

    def _epochs_left(self) -> dict[str, float]:
        grid = self.agenda.grid
        left: dict[str, float] = defaultdict(float)
        share = {phase: count / len(grid.cells) for phase, count in self.planned.items() if phase != PRETRAIN}
        for cell in grid.cells:
            for phase, trials in share.items():
                left[cell.model] += trials * epochs_of(grid, cell.model, phase)
        pretrained = {spec.cell.model for spec in self._specs() if spec.phase == PRETRAIN}
        for model in pretrained:
            left[model] += self.planned[PRETRAIN] / len(pretrained) * epochs_of(grid, model, PRETRAIN)
        for result in self.agenda.results.values():
            left[result.spec.cell.model] -= epochs_of(grid, result.spec.cell.model, result.spec.phase)
        for spec, epoch, _ in self.running.values():
            left[spec.cell.model] -= epoch
        return {model: max(0.0, count) for model, count in left.items()}

    def _specs(self) -> list[TrialSpec]:
        return [result.spec for result in self.agenda.results.values()] + [spec for spec, _, _ in self.running.values()]

    def render(self) -> Group:
        """The view of a terminal: a bar, the phases, the running trials, the best cell so far."""
        done, total = len(self.agenda.results), sum(self.planned.values())
        table = Table(box=None, padding=(0, 2, 0, 0))
        for title in ("running", "epoch", "for"):
            table.add_column(title, style="cyan", header_style="dim")
        for spec, epoch, started in list(self.running.values()):
            epochs = epochs_of(self.agenda.grid, spec.cell.model, spec.phase)
            table.add_row(describe(spec), f"{epoch}/{epochs}", f"{time.monotonic() - started:.0f} s")
        bar = ProgressBar(total=max(1, total), completed=done, width=60)
        return Group(Text(self.headline(), style="bold"), bar, Text(self._phases(), style="dim"), table, Text(self._best()))

    def _phases(self) -> str:
        finished = [result.spec.phase for result in self.agenda.results.values()]
        return "   ".join(f"{phase} {finished.count(phase)}/{count}" for phase, count in self.planned.items() if count)

    def _best(self) -> str:
        finals = [result for result in self.agenda.results.values() if result.spec.phase == FINAL and result.state == COMPLETE]
        if not finals:
            return ""
        best = max(finals, key=lambda result: result.val_score or 0.0)
        return f"best on validation so far: {describe(best.spec)}, mean Dice {best.val_score:.3f}"


def describe(spec: TrialSpec) -> str:
    """A trial in words."""
    cell = spec.cell
    which = "" if spec.phase == PRETRAIN else f" {cell.loss} {cell.sampling}"
    return f"{spec.phase} {cell.model}{which} seed {spec.seed}" + (f" setting {spec.number}" if spec.phase == TUNE else "")
