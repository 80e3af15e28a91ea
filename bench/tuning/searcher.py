"""The one searcher of a run: it hands Ray Tune whatever the agenda says is due, and waits where a cell must wait."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from bench.agenda import Agenda, Due
from bench.ledger import read_result
from trials.attempt import write_result
from trials.job import Job
from trials.records import to_json
from trials.result import FAILED, TrialResult


class GridSearcher(Searcher):
    """Multiplexes every cell's study. Its only state is the agenda, and that is rebuilt from result files."""

    def __init__(self, agenda: Agenda, make_job: Callable[[Due], Job], out: Path):
        super().__init__(metric="score", mode="max")
        self.agenda, self.make_job, self.out = agenda, make_job, out
        self.running: dict[str, Due] = {}
        self.is_stopping = False

    def __getstate__(self) -> dict:
        """Nothing of it goes into Ray's snapshots: result files are the truth."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec: Any) -> bool:
        """The grid owns its spaces; Ray's are not used."""
        return True

    def suggest(self, trial_id: str) -> dict | None:
        """The next job as JSON; None to wait for a running trial; FINISHED when nothing is left to start."""
        due = None if self.is_stopping else self.agenda.next({running.trial for running in self.running.values()})
        if due is None:
            return None if self.running else Searcher.FINISHED  # type: ignore[return-value]
        self.running[trial_id] = due
        return {"job": to_json(self.make_job(due)), "gpus": due.spec.recipe.gpus}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Read what the trial left on disk; a worker that died too often left nothing, which is a result too."""
        due = self.running.pop(trial_id, None)
        if due is None:
            return
        found = read_result(self.out, due.trial)
        if found is None and error:
            found = self._lost(due)
        if found is not None:
            self.agenda.add(found)

    def _lost(self, due: Due) -> TrialResult:
        text = "its worker was lost again and again: too little memory is the usual cause, or machines that were taken back"
        result = TrialResult(trial=due.trial, spec=due.spec, state=FAILED, reason="exception", error=text)
        write_result(self.out, result)
        return result

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: result files are the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore; a fresh driver reads the result files."""
