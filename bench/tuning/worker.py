"""What a Ray worker runs: one trial, until it ends or the driver of its run asks it to stop,
wherever it runs: by a key in the cluster's own store, read after each epoch.
"""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from ray import tune

from bench.tuning.ray_private import has_flag, put_flag
from trials.records.codec import from_json, to_json
from trials.records.job import Job
from trials.records.result import EpochScore
from trials.training.attempt import attempt
from trials.training.memory import is_exhausted

# What Ray is told where it is not of an epoch.
NO_EPOCH: dict[str, Any] = {"epoch": 0, "score": 0.0, "state": "", "seconds": 0.0}


class Asked(BaseException):
    """Ends a trial that was asked to stop, at the end of an epoch: no failure, and no result."""


def raise_flag(run: str) -> None:
    """Ask every trial of this run to stop at the end of its epoch."""
    put_flag(_key(run))


def is_raised(run: str) -> bool:
    """True once the driver of this run has asked its trials to stop."""
    return has_flag(_key(run))


def _key(run: str) -> bytes:
    return f"segbench-stop-{run}".encode()


class WorkerReplaced(Exception):
    """Ends a worker in which memory ran out: Ray starts another, which finds the trial's result and
    goes on from there.
    """


def run_cell_trial(config: Mapping[str, Any]) -> None:
    """What a Ray worker runs: one job, reporting each epoch to the live view, and in the end its
    state.

    Where it has none because its files find no place, or this node has other code, that is a
    hindrance, for the searcher: no failure of the trial.
    """
    if config["grid_file"]:
        from bench.grid.user_file import load_grid_text

        load_grid_text(config["grid_file"])
    if not config["gpu_share"]:
        # Ray leaves its node's GPUs visible to a trial that asks for none.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    job = from_json(Job, config["job"])
    try:
        result = attempt(job, partial(report_epoch, config["run"]), report_note)
    except Asked:
        return
    except (OSError, ValueError) as wrong:
        tune.report({**NO_EPOCH, "hindrance": str(wrong)})
        return
    if is_exhausted():
        raise WorkerReplaced(
            "memory ran out in this worker; the trial's result is kept and a new worker takes its "
            "place"
        )
    tune.report(
        {
            "epoch": len(result.curve),
            "score": result.val_score or 0.0,
            "state": result.state,
            "seconds": result.seconds,
        }
    )


def report_epoch(run: str, score: EpochScore, reached: float) -> None:
    """Tell the driver of an epoch. Raises Asked where it asked the trials of its run to stop."""
    tune.report(
        {
            "epoch": score.epoch + 1,
            "score": reached,
            "state": "",
            "seconds": score.seconds,
            "epoch_score": to_json(score),
        }
    )
    if is_raised(run):
        raise Asked


def report_note(note: str) -> None:
    """Tell the driver a line for its user."""
    tune.report({**NO_EPOCH, "note": note})
