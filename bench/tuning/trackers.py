"""The experiment trackers: TensorBoard, MLflow and Weights & Biases. Each shows a trial as one run
with a stable name; a trial that is resumed goes on in its run.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from trials.records.result import COMPLETE, PRUNED

# A server that does not answer must not keep the thread for MLflow's own minutes; stdout is the
# run's.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# Between two writes of TensorBoard's values.
FLUSH_SECONDS = 5
# What MLflow takes in the name of a metric.
NOT_IN_MLFLOW = re.compile(r"[^\w. /-]", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedTrial:
    """A trial as a tracker shows it: its hash, its grid, a name that is the same in every run of
    the grid, and its settings.
    """

    trial: str
    grid: str
    name: str
    settings: Mapping[str, str | float]


class Tracker(Protocol):
    """What a tracker is told; each call names a trial by its hash. It may raise anything."""

    def start(self, trial: TrackedTrial) -> None:
        """A trial begins, or goes on after an interruption."""

    def log(self, trial: str, step: int, values: Mapping[str, float]) -> None:
        """The values of an epoch, counted from 1."""

    def end(self, trial: str, state: str, values: Mapping[str, float]) -> None:
        """A trial has ended in this state, with its final scores."""

    def close(self) -> None:
        """The run has ended; trials without an end were interrupted."""


class TensorBoard:
    """Event files in OUT/tensorboard, a folder for each trial, whose settings are its hparams; a
    resumed trial adds a file there, from which TensorBoard takes the epochs that it repeats.
    """

    def __init__(self, out: Path):
        self.folder = out / "tensorboard"
        self._trials: dict[str, TrackedTrial] = {}
        self._writers: dict[str, Any] = {}

    def start(self, trial: TrackedTrial) -> None:
        """Keep what is written with the first values."""
        self._trials[trial.trial] = trial

    def log(self, trial: str, step: int, values: Mapping[str, float]) -> None:
        """One scalar for each value."""
        writer = self._writers.get(trial) or self._open(trial, step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def end(self, trial: str, state: str, values: Mapping[str, float]) -> None:
        """The final scores as scalars of step 0, and the state as text."""
        from tensorboardX.summary import hparams

        writer = self._writers.pop(trial, None) or self._open(trial, None)
        self._writers.pop(trial, None)
        for name, value in values.items():
            writer.add_scalar(name, value, 0)
        writer.add_text("state", state)
        if state in (COMPLETE, PRUNED):
            _, _, succeeded = hparams({}, {})
            writer.file_writer.add_summary(succeeded)
        writer.close()

    def close(self) -> None:
        """Write what is held back of interrupted trials."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _open(self, trial: str, step: int | None) -> Any:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        tracked = self._trials[trial]
        writer = SummaryWriter(
            logdir=str(self.folder / tracked.name),
            purge_step=step,
            flush_secs=FLUSH_SECONDS,
            filename_suffix=f".{time.time_ns()}",
        )
        rows = "\n".join(f"| {name} | {value} |" for name, value in tracked.settings.items())
        writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")
        # Without the first, a list of columns, TensorBoard takes the settings of all trials.
        settings = {name: value for name, value in tracked.settings.items() if name != "trial"}
        _, started, _ = hparams(settings, {})
        writer.file_writer.add_summary(started)
        self._writers[trial] = writer
        return writer


class MLflow:
    """Runs of the experiment named after the grid, on the server that MLFLOW_TRACKING_URI names
    (MLflow's own default: a file in the working folder). A trial's run is found by its tag
    segbench.trial.
    """

    def __init__(self, out: Path):
        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        self._runs: dict[str, str] = {}

    def start(self, trial: TrackedTrial) -> None:
        """Go on in the trial's run, or make one with its settings as parameters."""
        from mlflow.entities import Param

        experiment = self._experiment(trial.grid)
        tag = f"tags.`segbench.trial` = '{trial.trial}'"
        found = self._client.search_runs([experiment], tag, max_results=1)
        if found:
            self._runs[trial.trial] = found[0].info.run_id
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return
        tags = {"segbench.trial": trial.trial}
        run = self._client.create_run(experiment, tags=tags, run_name=trial.name)
        self._runs[trial.trial] = run.info.run_id
        params = [Param(name, str(value)) for name, value in trial.settings.items()]
        self._client.log_batch(run.info.run_id, params=params)

    def log(self, trial: str, step: int, values: Mapping[str, float]) -> None:
        """One metric for each value."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(NOT_IN_MLFLOW.sub("_", name), value, now, step) for name, value in values.items()
        ]
        self._client.log_batch(self._runs[trial], metrics=metrics)

    def end(self, trial: str, state: str, values: Mapping[str, float]) -> None:
        """The final scores as metrics of step 0; the state as a tag."""
        self.log(trial, 0, values)
        run = self._runs.pop(trial)
        self._client.set_tag(run, "segbench.state", state)
        status = "FINISHED" if state in (COMPLETE, PRUNED) else "FAILED"
        self._client.set_terminated(run, status)

    def close(self) -> None:
        """Interrupted trials are shown as killed, until they go on."""
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        self._runs.clear()

    def _experiment(self, grid: str) -> str:
        found = self._client.get_experiment_by_name(grid)
        return found.experiment_id if found else self._client.create_experiment(grid)


class WeightsAndBiases:
    """Runs of the project named after the grid, with the trial's hash as id. WANDB_MODE=offline
    writes to OUT/wandb, a folder for each start under the one id.
    """

    def __init__(self, out: Path):
        self._out = out
        self._runs: dict[str, Any] = {}

    def start(self, trial: TrackedTrial) -> None:
        """Make the trial's run, or go on in it."""
        if trial.trial in self._runs:
            return
        import wandb

        self._out.mkdir(parents=True, exist_ok=True)
        self._runs[trial.trial] = wandb.init(
            project=trial.grid,
            id=trial.trial,
            name=trial.name,
            config=dict(trial.settings),
            dir=str(self._out),
            resume="allow",
            reinit="create_new",
        )

    def log(self, trial: str, step: int, values: Mapping[str, float]) -> None:
        """The values of an epoch; one that the run holds already is left out by W&B."""
        self._runs[trial].log(dict(values), step=step)

    def end(self, trial: str, state: str, values: Mapping[str, float]) -> None:
        """The final scores and the state in the run's summary."""
        run = self._runs.pop(trial)
        run.summary.update({**values, "state": state})
        run.finish(exit_code=0 if state in (COMPLETE, PRUNED) else 1)

    def close(self) -> None:
        """Interrupted trials are marked as such, until they go on."""
        for run in self._runs.values():
            run.finish(exit_code=255)
        self._runs.clear()


# By the name after --track: how it is made, and the package that it needs.
TRACKERS: dict[str, tuple[Callable[[Path], Tracker], str]] = {
    "tensorboard": (TensorBoard, "tensorboardX"),
    "mlflow": (MLflow, "mlflow"),
    "wandb": (WeightsAndBiases, "wandb"),
}


def check_tracker(name: str) -> None:
    """Raise ValueError for a tracker whose package is not installed."""
    if find_spec(TRACKERS[name][1]) is None:
        raise ValueError(
            f"--track {name} needs the package {TRACKERS[name][1]}; install it with "
            f"`pip install 'segbench[{name}]'`"
        )
