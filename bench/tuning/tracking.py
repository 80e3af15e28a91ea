"""What Ray says of each trial, handed to the trackers that the user asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from bench.tracking.feed import Event, Feed, epoch_values, final_values, tracked
from trials.records.codec import from_json
from trials.records.job import Job
from trials.records.result import FAILED, EpochScore
from trials.records.result_file import read_result


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
