"""What Ray says of each trial, handed to the trackers that the user asked for by a thread each: one
that is slow or down neither slows a trial nor fails it.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from bench.tuning.trackers import TrackedTrial, Tracker
from trials.records.codec import from_json
from trials.records.job import Job
from trials.records.result import FAILED, NATIVE, EpochScore, TrialResult, dice
from trials.records.result_file import read_result
from trials.records.spec import FINAL, PRETRAIN, TrialSpec

# After the run, a tracker that lags behind has this long.
LAST_SECONDS = 30.0
Event = Callable[[Tracker], None]


class Feed:
    """Events in their order. After the first error nothing more is sent, and the user is told
    once.
    """

    def __init__(self, name: str, make: Callable[[], Tracker], tell: Callable[[str], None]):
        self._name, self._make, self._tell = name, make, tell
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"track {name}")
        self._thread.start()

    def put(self, event: Event) -> None:
        """Send an event when its turn comes; returns at once."""
        if self._thread.is_alive():
            self._events.put(event)

    def close(self) -> None:
        """Wait until everything is sent, at most LAST_SECONDS."""
        self._events.put(None)
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            self._tell(f"{self._name} did not take all values in {LAST_SECONDS:.0f} s; left as is")

    def _run(self) -> None:
        try:
            tracker = self._make()
            while (event := self._events.get()) is not None:
                event(tracker)
            tracker.close()
        except Exception as error:  # a tracker is foreign code, and may raise what it likes
            reason = " ".join(str(error).split())[:200]
            self._tell(
                f"{self._name} takes no values ({type(error).__name__}: {reason}); the run goes on "
                "without it"
            )


def tracked(trial: str, spec: TrialSpec, grid: str) -> TrackedTrial:
    """A trial for a tracker: its name says grid square, phase and number or seed."""
    cell = spec.cell
    last = f"seed-{spec.seed}" if spec.phase == FINAL else f"setting-{spec.number}"
    square = (cell.model,) if spec.phase == PRETRAIN else (cell.model, cell.loss, cell.sampling)
    settings: dict[str, str | float] = {
        "model": cell.model,
        "loss": cell.loss,
        "sampling": cell.sampling,
        "phase": spec.phase,
        "seed": spec.seed,
        "fold": spec.fold,
        "trial": trial,
    }
    settings |= {
        name: value if isinstance(value, float) else str(value)
        for name, value in spec.hyper.items()
    }
    return TrackedTrial(
        trial=trial,
        grid=grid,
        name="/".join((*square, f"{spec.phase}-fold-{spec.fold}-{last}")),
        settings=settings,
    )


def epoch_values(score: EpochScore, classes: Iterable[str]) -> dict[str, float]:
    """The values of an epoch: losses, learning rate, and Dice of each class where it is known."""
    names = list(classes)
    values = {"train/loss": score.train_loss, "val/loss": score.val_loss, "lr": score.lr}
    for split, by_label in (("train", score.train_dice), ("val", score.val_dice)):
        values |= {f"{split}/dice/{names[label]}": one for label, one in by_label.items() if label}
    return {name: value for name, value in values.items() if value is not None}


def final_values(result: TrialResult, classes: Iterable[str]) -> dict[str, float]:
    """The scores of a finished trial: its validation score, its cost, and for a final trial the
    mean test Dice of each class over the cases that hold it, native grid.
    """
    values = {"final/val_score": result.val_score, "final/seconds": result.seconds}
    for label, name in enumerate(classes):
        found = [
            dice(one.true_voxels, one.pred_voxels, one.overlap_voxels)
            for one in result.scores
            if (one.split, one.space, one.label) == ("test", NATIVE, label) and one.true_voxels
        ]
        if label and found:
            values[f"final/test_dice/{name}"] = sum(found) / len(found)
    return {name: value for name, value in values.items() if value is not None}


class Tracking(Callback):
    """Feeds each tracker with the trials of one run; classes are those of its data, background
    first.
    """

    def __init__(self, feeds: Sequence[Feed], out: Path, grid: str, classes: Sequence[str]):
        self._feeds, self._out, self._grid, self._classes = feeds, out, grid, classes

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(self, *error: object) -> None:
        for feed in self._feeds:
            feed.close()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or is tried again on another worker."""
        job = job_of(trial)
        started = tracked(job.trial, job.spec, self._grid)
        self._send(lambda tracker: tracker.start(started))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over."""
        if not result.get("epoch_score"):
            return
        values = epoch_values(from_json(EpochScore, result["epoch_score"]), self._classes)
        name, epoch = job_of(trial).trial, result["epoch"]
        self._send(lambda tracker: tracker.log(name, epoch, values))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial left its result, or was asked to stop and goes on in the next run."""
        name = job_of(trial).trial
        try:
            result = read_result(self._out, name)
        except (OSError, ValueError):
            return
        values = final_values(result, self._classes)
        self._send(lambda tracker: tracker.end(name, result.state, values))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost for good."""
        name = job_of(trial).trial
        self._send(lambda tracker: tracker.end(name, FAILED, {}))

    def _send(self, event: Event) -> None:
        for feed in self._feeds:
            feed.put(event)


def job_of(trial: Any) -> Job:
    """What one of Ray's trials was asked to do."""
    return from_json(Job, trial.config["job"])
