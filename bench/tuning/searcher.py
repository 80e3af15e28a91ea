"""The one searcher of a run: it hands Ray Tune whatever the queue says is due, and waits where a
cell must wait.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from bench.execution.trial_queue import Due, TrialQueue
from trials.records.codec import to_json
from trials.records.job import Job, result_path
from trials.records.result import FAILED, TrialResult
from trials.records.result_file import find_result, result_text
from trials.storage.spool import write_or_spool
from trials.training.attempt import collect_spooled
from trials.training.attempt_log import attempts_facts, attempts_of


class GridSearcher(Searcher):
    """Multiplexes every cell's study. Its only state is the queue, and that is rebuilt from result
    files.

    hindered maps a trial to why it has no result although it ended: its files find no place. It is
    due again as soon as another trial's result found one, and in the next run; a result that was
    made waits on its node. reuse gives the result of a due trial that another run has.
    """

    def __init__(
        self,
        queue: TrialQueue,
        make_job: Callable[[Due], Job],
        out: Path,
        reuse: Callable[[Due], TrialResult | None] = lambda due: None,
    ):
        super().__init__(metric="score", mode="max")
        self.reuse = reuse
        self.queue, self.make_job, self.out = queue, make_job, out
        self.running: dict[str, Due] = {}
        self.hindered: dict[str, str] = {}
        self.is_stopping = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: result files are the truth."""
        return {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """The grid owns its spaces; Ray's are not used."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next job as JSON; None to wait for a running trial; FINISHED when nothing is left to
        start.
        """
        busy = {running.trial for running in self.running.values()} | self.hindered.keys()
        due = None if self.is_stopping else self._next(busy)
        if due is None:
            return None if self.running else Searcher.FINISHED  # type: ignore[return-value]
        self.running[trial_id] = due
        return {"job": to_json(self.make_job(due)), "gpu_share": due.spec.recipe.gpu_share}

    def _next(self, busy: set[str]) -> Due | None:
        """The next due trial that no other run has a result of."""
        while (due := self.queue.next(busy)) is not None:
            result = self.reuse(due)
            if result is None:
                return due
            self.queue.add(result)
        return None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Read what the trial left on disk; a worker that died too often left nothing, which is a
        result too.
        """
        due = self.running.pop(trial_id, None)
        if due is None:
            return
        hindrance = (result or {}).get("hindrance", "")
        try:
            found = find_result(self.out, due.trial) or (self._lost(due) if error else None)
        except (OSError, ValueError) as wrong:
            found, hindrance = None, str(wrong)
        if found is not None:
            self.hindered.clear()
            self.queue.add(found)
        elif hindrance:
            self.hindered[due.trial] = hindrance

    def _lost(self, due: Due) -> TrialResult:
        """What becomes of a trial whose worker was lost for good: the result that waits on this
        node, else a failure.
        """
        job = self.make_job(due)
        if (found := collect_spooled(job)) is not None:
            return found
        text = (
            "its worker was lost again and again: too little memory is the usual cause, or "
            "machines that were taken back"
        )
        facts = attempts_facts(attempts_of(job).number)
        result = TrialResult(
            trial=due.trial,
            spec=due.spec,
            state=FAILED,
            reason="exception",
            error=text,
            facts=facts,
            code=job.code,
        )
        write_or_spool(result_path(self.out, due.trial), result_text(result))
        return result

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: result files are the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore; a fresh driver reads the result files."""
