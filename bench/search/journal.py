"""RUN/optuna.journal: every study as an Optuna storage for optuna-dashboard, rebuilt from the
results.

A run never reads it. If it is lost, damaged or edited, the end of a run or `segbench report`
rewrites it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend

from bench.search.importance import DeclaredStudy, read_declared_studies
from bench.search.propose import distributions_of, frozen_trial, tried_of
from trials.records.result import TrialResult
from trials.records.spec import TUNE
from trials.storage.atomic import write_text

NAME = "optuna.journal"


class InMemory(BaseJournalBackend):
    """The lines of a journal as a list, so that the storage is written at once and completely."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The lines from this number on."""
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines."""
        self.logs += logs


def write_journal(out: Path, results: Iterable[TrialResult]) -> Path | None:
    """Write RUN/optuna.journal from run.json and the results, and return its path; None if the grid
    tunes nothing.

    Equal results give equal bytes.
    """
    studies = read_declared_studies(out)
    if not studies:
        return None
    tuned = sorted(
        (one for one in results if one.spec.phase == TUNE), key=lambda one: one.spec.number
    )
    path = out / NAME
    write_text(path, "".join(journal_lines(studies, tuned)))
    return path


def journal_lines(studies: Sequence[DeclaredStudy], tuned: Sequence[TrialResult]) -> Iterator[str]:
    """The lines of a journal of these studies with their finished trials, in order."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = InMemory()
    storage = optuna.storages.JournalStorage(backend)
    for declared in studies:
        distributions = distributions_of(declared.space)
        study = optuna.create_study(storage=storage, study_name=declared.name, direction="maximize")
        for result in tuned:
            if declared.holds(result.spec):
                study.add_trial(with_times(result, frozen_trial(tried_of(result), distributions)))
    for log in backend.logs:
        # Optuna gives each writer a random name.
        yield json.dumps(log | {"worker_id": "segbench"}, separators=(",", ":")) + "\n"


def with_times(result: TrialResult, trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """The trial with its times, its hash and its complete setting, which includes parameters
    outside their range.
    """
    start = (
        datetime.fromisoformat(result.started) if result.started else datetime.fromtimestamp(0, UTC)
    )
    trial.datetime_start, trial.datetime_complete = start, start + timedelta(seconds=result.seconds)
    attributes = {
        "trial": result.trial,
        "setting": dict(result.spec.hyper),
        "reason": result.reason,
        "error": result.error,
    }
    trial.set_user_attr(
        "segbench", {name: value for name, value in attributes.items() if value is not None}
    )
    return trial
