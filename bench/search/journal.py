"""RUN/optuna.journal: every study as an Optuna storage that optuna-dashboard reads, rebuilt whole
from results.

Nothing of a run is read from it: lost, torn or edited, it is written anew at the end of a run and
by `segbench report`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend

from bench.search.importance import Declared, read_declared
from bench.search.propose import distributions_of, frozen, tried_of
from trials.records.result import TrialResult
from trials.records.spec import TUNE
from trials.storage.atomic import write_text

NAME = "optuna.journal"


class InMemory(BaseJournalBackend):
    """The lines of a journal as a list, so that a whole storage costs one write and is there or not
    there.
    """

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The lines from this number on."""
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep more lines."""
        self.logs += logs


def write_journal(out: Path, results: Iterable[TrialResult]) -> Path | None:
    """Write RUN/optuna.journal from run.json and the folder's results, and return its path; None
    where the grid tunes nothing.

    Equal results give equal bytes.
    """
    studies = read_declared(out)
    if not studies:
        return None
    tuned = sorted(
        (one for one in results if one.spec.phase == TUNE), key=lambda one: one.spec.number
    )
    path = out / NAME
    write_text(path, "".join(journal_lines(studies, tuned)))
    return path


def journal_lines(studies: Sequence[Declared], tuned: Sequence[TrialResult]) -> Iterator[str]:
    """The lines of a journal of these studies with their finished trials in order."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = InMemory()
    storage = optuna.storages.JournalStorage(backend)
    for declared in studies:
        distributions = distributions_of(declared.space)
        study = optuna.create_study(storage=storage, study_name=declared.name, direction="maximize")
        for result in tuned:
            if result.spec.cell == declared.cell:
                study.add_trial(dated(result, frozen(tried_of(result), distributions)))
    for log in backend.logs:
        # Optuna names each writer at random.
        yield json.dumps(log | {"worker_id": "segbench"}, separators=(",", ":")) + "\n"


def dated(result: TrialResult, trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """The trial with its clock, its hash and its whole setting, of which parameters outside their
    range are a part.
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
