"""From a due trial to the job of a worker: its cases, files and initial weights."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.execution.ready import ReadyGrid
    from bench.execution.trial_queue import Due
    from trials.records.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a run reads and writes. data None: an error tells how to get the data set."""

    out: Path
    cache: Path
    data: Path | None


def job_maker(
    places: Places,
    ready: "ReadyGrid",
    options: argparse.Namespace,
    revision: str,
    scoring_threads: int = 1,
) -> "Callable[[Due], Job]":
    """A function that turns a due trial into the job of a worker. Only final trials get test cases.

    scoring_threads is the number of cores of a trial.
    """
    from bench.execution.results import digest_of
    from trials.identity.code_identity import code_of
    from trials.records.job import Job, best_path
    from trials.records.spec import FINAL

    files, digests = ready.files, ready.resolved.weights

    def make_job(due: "Due") -> Job:
        spec = due.spec
        prepared = ready.prepared[spec.fold]
        known = {*prepared.split.train, *prepared.split.val}
        patients = prepared.dataset.grouping.patients
        source, _, trial = spec.weights.partition(":")
        weights = (
            best_path(places.out, trial) if source == "pretrain" else files.get(spec.cell.model)
        )
        return Job(
            trial=due.trial,
            spec=spec,
            out=str(places.out),
            cache=str(prepared.folders[spec.recipe.preparation]),
            train=prepared.split.train,
            val=prepared.split.val,
            test=prepared.split.test if spec.phase == FINAL else (),
            patients={case: patient for case, patient in patients.items() if case in known},
            rungs=due.rungs,
            weights=None if weights is None or spec.weights == "random" else str(weights),
            weights_sha256=digest_of(places.out, trial)
            if source == "pretrain"
            else digests.get(spec.cell.model, ""),
            save_predictions=options.save_predictions and spec.phase == FINAL,
            checkpoint_minutes=options.checkpoint_minutes,
            commit=revision,
            scoring_threads=scoring_threads,
            code=code_of(spec),
        )

    return make_job
