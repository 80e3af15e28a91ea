"""The studies of a run as files, written when it ends: studies.json says how much each
hyperparameter mattered in each cell's study, for the report; optuna.journal holds every study as an
Optuna storage for optuna-dashboard.

A run never reads the journal. If it is lost, damaged or edited, the end of a run or `segbench
report` rewrites it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages.journal import BaseJournalBackend

from bench.search.propose import Tried, distributions_of, frozen_trial, tried_of
from bench.spaces import Range
from trials.records.codec import rebuild
from trials.records.result import COMPLETE, TrialResult
from trials.records.run_record import NAME, read_run_record
from trials.records.spec import TUNE, Cell, Hyper, TrialSpec
from trials.storage.atomic import write_text
from trials.storage.checksum import add_checksum

# PED-ANOVA compares the best trials with all trials. At least five best trials are required, out of
# at least twice as many.
LEAST_TRIALS, BEST = 10, 5
BEST_SHARE = 0.25
Scored = tuple[Hyper, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredStudy:
    """A study of run.json: a cell in one fold and the ranges of its trials."""

    name: str
    cell: Cell
    space: Mapping[str, Range]
    fold: int | None = None

    def holds(self, spec: TrialSpec) -> bool:
        """Whether a trial is one of the study's."""
        return (spec.cell, spec.phase) == (self.cell, TUNE) and self.fold in (None, spec.fold)


def write_studies(out: Path, results: Iterable[TrialResult]) -> None:
    """Write studies.json: for every study of a tuned run, the number of its complete trials and the
    importances, None with too few trials.

    results are those of the run folder; some may be missing. Raises ValueError naming a damaged
    run.json.
    """
    declared = read_declared_studies(out)
    if not declared:
        return
    tuned, studies = [one for one in results if one.spec.phase == TUNE], []
    for study in declared:
        trials = _scored(one for one in tuned if study.holds(one.spec))
        studies.append(
            {
                "cell": asdict(study.cell),
                "fold": study.fold,
                "trials": len(trials),
                "importance": importance(trials, study.space),
            }
        )
    text = json.dumps({"evaluator": "PED-ANOVA", "studies": studies}, indent=1, sort_keys=True)
    write_text(out / "studies.json", add_checksum(text))


def read_declared_studies(out: Path) -> tuple[DeclaredStudy, ...]:
    """The studies of a run folder. Raises ValueError naming run.json and the key."""
    found = read_run_record(out).get("studies", ())
    try:
        declared: tuple[DeclaredStudy, ...] = rebuild(tuple[DeclaredStudy, ...], found, "studies")
        for study in declared:
            distributions_of(study.space)
        if len({study.name for study in declared}) < len(declared):
            raise ValueError("two studies have the same name")
    except ValueError as error:
        raise ValueError(
            f"{out / NAME} cannot be read ({error}); run the grid again to rewrite it"
        ) from None
    return declared


def importance(trials: Sequence[Scored], space: Mapping[str, Range]) -> dict[str, float] | None:
    """The importance of each hyperparameter: its share in separating the best trials of a study
    from all. Sums to 1 (Watanabe et al. 2023).

    trials are complete; a higher score is better. A default outside its search range is ignored.
    The best are a quarter of the trials, at least five. None below ten trials, or if all scores are
    equal.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = distributions_of(space)
    tried = [
        frozen_trial(Tried(hyper=hyper, state=COMPLETE, score=score), distributions)
        for hyper, score in trials
    ]
    inside = [trial for trial in tried if len(trial.params) == len(space)]
    if len(inside) < LEAST_TRIALS or len({trial.value for trial in inside}) == 1:
        return None
    study = optuna.create_study(direction="maximize")
    study.add_trials(inside)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(BEST_SHARE, BEST / len(inside)))
    found = get_param_importances(study, evaluator=evaluator)
    return {name: round(share, 6) for name, share in sorted(found.items())}


def _scored(results: Iterable[TrialResult]) -> list[Scored]:
    """Setting and validation score of the complete trials of a study, in its order."""
    numbered = {
        result.spec.number: (result.spec.hyper, result.val_score)
        for result in results
        if result.state == COMPLETE and result.val_score is not None
    }
    return [trial for _, trial in sorted(numbered.items())]


JOURNAL = "optuna.journal"


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
    path = out / JOURNAL
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
