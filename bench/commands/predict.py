"""segbench predict: the final trials of a run, alone or as an ensemble, on new scans."""

import argparse
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from bench.execution.progress_text import format_time
from bench.exit_codes import FINISHED, WITH_FAILURES
from bench.grid.user_file import load_grid_text
from bench.grid.validate import check_entries
from bench.run_folder.own_places import refuse_overlap
from reports.analysis.selection import selected_cell
from reports.load.run_folder import Run, read_run
from trials.data.datasets.label_set import LabelSet
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
from trials.inference.trained import Trained, load_trained
from trials.records.registry import unknown
from trials.records.result import TrialResult
from trials.records.spec import Cell


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
