"""segbench report --ensembles: the seeds of each configuration as an ensemble, scored on the run's
test cases and stored in the run folder. A fold's test cases are predicted by the seeds of that fold
alone: the trials of other folds trained on them.
"""

from pathlib import Path

from bench.commands.predict import load_recorded_parts, rules_of_run
from bench.commands.predictions import open_data_of, test_cases
from bench.execution.progress_bar import progress_bar
from reports.load.run_folder import Run, read_run
from trials.data.datasets.registry import Dataset, official_regions
from trials.data.prepared.case_checks import Rules
from trials.inference.trained import load_trained, score_ensemble
from trials.records.codec import from_json, record_hash, to_json
from trials.records.result import EnsembleScores, TrialResult
from trials.records.spec import Cell
from trials.scoring.regions import every_region
from trials.storage.atomic import exists, read_text, write_text
from trials.storage.checksum import add_checksum


def add_ensembles(out: Path, data: Path | None) -> None:
    """Score every configuration with two complete seeds or more as an ensemble and write
    RUN/ensembles/<hash>.json, which the report reads; one that was scored with the same weights is
    kept.

    It predicts every test case again, once for each seed. data is as for add_predictions. Raises
    ValueError if the data, a trial's weights or its code are not there.
    """
    run = read_run(out)
    due = {cell: finals for cell in run.cells if (finals := due_finals(run, cell))}
    if not due:
        return
    load_recorded_parts(run, [result for finals in due.values() for result in finals])
    dataset = open_data_of(run.record, data or Path(run.record["data"]["root"]))
    for number, (cell, finals) in enumerate(due.items(), 1):
        doing = f"scoring ensemble {number} of {len(due)}"
        scored = score_cell(run, cell, finals, dataset, doing)
        write_text(ensemble_path(out, cell), add_checksum(to_json(scored)))


def due_finals(run: Run, cell: Cell) -> list[TrialResult]:
    """The pooled final trials of a configuration that are to be scored as an ensemble; none if a
    fold has fewer than two, or if they have been.
    """
    finals = [result for result in run.pooled if result.spec.cell == cell]
    path = ensemble_path(run.out, cell)
    is_done = exists(path) and from_json(EnsembleScores, read_text(path)).trials == weights(finals)
    return [] if len(finals) < 2 * len(run.pooled_folds) or is_done else finals


def weights(finals: list[TrialResult]) -> dict[str, str]:
    """Trials with the SHA-256 of their weights."""
    return {result.trial: str(result.facts.get("weights_sha256")) for result in finals}


def ensemble_path(out: Path, cell: Cell) -> Path:
    """Where the scores of a configuration's ensemble lie."""
    return out / "ensembles" / f"{record_hash(cell)}.json"


def score_cell(
    run: Run, cell: Cell, finals: list[TrialResult], dataset: Dataset, doing: str
) -> EnsembleScores:
    """Load the trials of a configuration and score their ensemble fold by fold, with a progress
    bar.
    """
    rules: Rules = rules_of_run(run)
    regions = every_region(dataset.labels, official_regions(dataset.name))
    tests = test_cases(run.record, dataset)
    scored = []
    with progress_bar(doing, sum(len(tests[fold]) for fold in run.pooled_folds)) as tick:
        for fold in run.pooled_folds:
            mine = [result for result in finals if result.spec.fold == fold]
            trained = [load_trained(run.out, result, rules) for result in mine]
            for one in score_ensemble(trained, list(tests[fold].values()), rules, regions):
                scored.append(one)
                tick()
    return EnsembleScores(
        cell=cell,
        trials=weights(finals),
        scores=tuple(score for one in scored for score in one.scores),
        surfaces=tuple(surface for one in scored for surface in one.surfaces),
    )
