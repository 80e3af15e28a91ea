"""What the final trials of a run predict: of new scans (segbench predict), and of the run's own
test cases, where the seeds of each configuration are scored as an ensemble (segbench report
--ensembles) and stored in the run folder.

A fold's test cases are predicted by the seeds of that fold alone: the trials of other folds trained
on them.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from bench.execution.progress_bar import progress_bar
from bench.execution.progress_text import format_time
from bench.grid.user_file import load_grid_text
from bench.grid.validate import check_entries
from bench.predictions.external import open_data_of, test_cases
from bench.run_folder.own_places import refuse_overlap
from bench.verb import FINISHED, WITH_FAILURES
from reports.analysis.selection import selected_cell
from reports.load.run_folder import Run, read_run
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import Dataset, official_regions
from trials.data.datasets.scans import Scan, find_scans
from trials.data.prepared.case_checks import Rules, rules_for
from trials.identity.code_identity import OWN
from trials.inference.new_scans import (
    FAILED,
    open_out,
    outcome_lines,
    predict_scans,
    write_label_files,
)
from trials.inference.trained import Trained, load_trained, score_ensemble
from trials.records.codec import from_json, record_hash, to_json
from trials.records.registry import unknown
from trials.records.result import EnsembleScores, TrialResult
from trials.records.spec import Cell
from trials.scoring.regions import every_region
from trials.storage.atomic import exists, read_text, write_text
from trials.storage.checksum import add_checksum


def predict_folder(options: argparse.Namespace) -> int:
    """Predict every scan of options.images into options.out and print that folder; returns 0, or 3
    if a scan could not be used.

    Raises ValueError for a run without the trials or their weights, and for a folder of others.
    """
    console = Console(stderr=True)
    refuse_overlap("OUT", options.out, "IMAGES", options.images)
    refuse_overlap("OUT", options.out, "RUN", options.run)
    run = read_run(options.run)
    rules = rules_of_run(run)
    scans = find_scans(options.images, len(rules.channels))
    finals = chosen_finals(run, options.cell, options.seed, options.fold)
    load_recorded_parts(run, finals)
    trained = [load_trained(run.out, result, rules) for result in finals]
    open_out(options.out, finals)
    write_label_files(options.out, run.label_names)
    console.print(f"{len(scans)} scans, predicted by {described(finals)}", highlight=False)
    failed = predict_and_print(trained, scans, options.out, rules, console)
    print(options.out)
    return WITH_FAILURES if failed else FINISHED


def chosen_finals(
    run: Run, names: Sequence[str], seed: int | None, fold: int | None = None
) -> list[TrialResult]:
    """The complete final trials of the named configurations, by default of the one that the report
    selects; of every seed and fold, or of one.

    Raises ValueError where one is unknown, or has no such trial.
    """
    if not run.finals:
        raise ValueError(f"{run.out} has no complete final trial; run its grid to the end first")
    cells = [_cell_named(run, name) for name in names] or [_selected(run)]
    finals: list[TrialResult] = []
    for cell in dict.fromkeys(cells):
        of_cell = [result for result in run.finals if result.spec.cell == cell]
        wanted = [
            result
            for result in of_cell
            if seed in (None, result.spec.seed) and fold in (None, result.spec.fold)
        ]
        if not wanted:
            asked = {"seed": seed, "fold": fold}
            which = "".join(
                f" of {name} {value}" for name, value in asked.items() if value is not None
            )
            raise ValueError(
                f"{run.out}: {cell_text(cell)} has no complete final trial{which}; complete "
                f"{_complete(run, of_cell)}"
            )
        finals += sorted(wanted, key=lambda result: (result.spec.fold, result.spec.seed))
    return finals


def _complete(run: Run, finals: Sequence[TrialResult]) -> str:
    """The seeds that have a trial, and of several folds each with its fold."""
    several = len(run.folds) > 1
    names = sorted(
        (result.spec.seed, f" in fold {result.spec.fold}" if several else "") for result in finals
    )
    return "seeds: " + (", ".join(f"{seed}{fold}" for seed, fold in names) or "none")


def rules_of_run(run: Run) -> Rules:
    """What is known of the cases of a run's data set."""
    data = run.record.get("data") or {}
    labels = LabelSet(classes=run.label_names, has_ignore=data.get("has_ignore", False))
    return rules_for(run.record["dataset"], labels, tuple(data.get("channels") or ("CT",)))


def load_recorded_parts(run: Run, finals: Sequence[TrialResult]) -> None:
    """Execute the run's own grid file if a trial used a model, loss or sampling of it."""
    if any(result.code.keys() - {OWN} for result in finals):
        load_grid_text(run.grid_text, str(run.out / "grid.py"))
        check_entries()


def predict_and_print(
    trained: Sequence[Trained],
    scans: Sequence[Scan],
    out: Path,
    rules: Rules,
    console: Console,
) -> int:
    """Predict every scan, print a line for each with the expected end, and return how many
    failed.
    """
    started, failed = time.monotonic(), 0
    for number, outcome in enumerate(predict_scans(trained, scans, out, rules), 1):
        failed += outcome.state == FAILED
        left = (len(scans) - number) * (time.monotonic() - started) / number
        now = datetime.now()
        end = f", ends about {format_time(now + timedelta(seconds=left), now)}" if left else ""
        for line in outcome_lines(outcome, f"[{number}/{len(scans)}]", end):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    return failed


def described(finals: Sequence[TrialResult]) -> str:
    """The trials in words."""
    cells = ", ".join(dict.fromkeys(cell_text(result.spec.cell) for result in finals))
    several = f", the mean probability of {len(finals)} trials" if len(finals) > 1 else ""
    return cells + several


def cell_text(cell: Cell) -> str:
    """A configuration as --cell takes it."""
    return f"{cell.model}/{cell.loss}/{cell.sampling}"


def _cell_named(run: Run, name: str) -> Cell:
    known = {cell_text(cell): cell for cell in run.cells}
    if name not in known:
        raise ValueError(f"--cell: {unknown('configuration', name, known)}")
    return known[name]


def _selected(run: Run) -> Cell:
    cell = selected_cell(run)
    if cell is None:
        raise ValueError(
            f"{run.out} selects no configuration, since none has validation and test scores; name "
            "one with --cell"
        )
    return cell


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
