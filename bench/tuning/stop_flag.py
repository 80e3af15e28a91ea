"""How a driver asks its trials to stop, wherever they run: a key in the cluster's own store, read
after each epoch.
"""

from typing import Any

from ray.tune import Callback

from bench.execution.signals import Stopping
from bench.tuning.ray_private import has_flag, put_flag
from bench.tuning.searcher import GridSearcher


class Asked(BaseException):
    """Ends a trial that was asked to stop, at the end of an epoch: no failure, and no result."""


class Overdue(Exception):
    """Ends the run: trials that were asked to stop did not within their time of grace."""


class StopWatch(Callback):
    """Passes a user's wish to stop on to the searcher and the running trials."""

    def __init__(self, stopping: Stopping, searcher: GridSearcher, run: str):
        self.stopping, self.searcher, self.run = stopping, searcher, run

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray takes a step: see whether a signal came."""
        if self.stopping.code and not self.searcher.is_stopping:
            self.searcher.is_stopping = True
            raise_flag(self.run)
        if self.stopping.is_overdue():
            raise Overdue


def raise_flag(run: str) -> None:
    """Ask every trial of this run to stop at the end of its epoch."""
    put_flag(_key(run))


def is_raised(run: str) -> bool:
    """True once the driver of this run has asked its trials to stop."""
    return has_flag(_key(run))


def _key(run: str) -> bytes:
    return f"segbench-stop-{run}".encode()
