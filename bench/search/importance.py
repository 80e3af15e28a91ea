"""How much each hyperparameter mattered in each cell's study, written as studies.json for the
report.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from bench.search.propose import Tried, distributions_of, frozen_trial
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
