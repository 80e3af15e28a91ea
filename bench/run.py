"""The main command, from a grid to a report. `python -m bench.run --grid demo` is the same as
`segbench run --grid demo`.
"""

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.execution.ready import Places
from bench.execution.signals import Stopping
from bench.execution.start_weights import weight_files
from bench.grid.expand import count_trials, list_trials
from bench.grid.own_data import PatientNumbers, on_data, patient_numbers, run_name
from bench.grid.resolve import ResolvedGrid, before_data, resolve
from bench.grid.user_file import load_grid
from bench.grid.validate import check_grid
from bench.plan.plan import buy
from bench.run_folder.lock import refuse_second_driver
from bench.run_folder.own_places import refuse_places
from bench.tuning.trackers import check_tracker
from bench.verb import FINISHED, INTERRUPTED, WITH_FAILURES
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import DATASETS
from trials.data.datasets.targets import target_regions
from trials.records.targets import LABELS, REGIONS, targets_text

# What networks predict, as far as it is known before the data are.
TARGETS = {LABELS: targets_text(()), REGIONS: "the regions of the data set, each with a sigmoid"}


def run_grid(options: argparse.Namespace) -> int:
    """Run the trials of a grid that have no result, write the report and return the exit code.
    Raises ValueError for what the user can fix.
    """
    grid, grid_text = load_grid(options.grid)
    grid = on_data(grid, options.dataset, options.fold, options.targets)
    check_grid(grid)
    for name in options.track:
        check_tracker(name)
    given = weight_files(options.weights, resolve(grid, before_data(grid)))
    declared = resolve(grid, before_data(grid, given))
    name = run_name(grid, options.dataset, options.fold, options.data, options.targets)
    out = (options.out or Path("runs") / name).absolute()
    places = Places(
        out=out, cache=(options.cache or out.parent / "cache").absolute(), data=options.data
    )
    if options.dry_run and options.gpu_hours is None:
        dataset, told = None, TARGETS[grid.targets]
        is_made = grid.generate and DATASETS[grid.dataset].generate
        if options.data and not is_made:
            dataset = open_dataset(grid.dataset, options.data, grid.patients)
            told = targets_text(target_regions(dataset, grid.targets))
        return print_trials(declared, options, patient_numbers(grid, dataset), told)
    from bench.tuning.execute import Request, execute, prepare

    refuse_places(places)
    refuse_second_driver(out)
    asked = Request(
        declared=declared,
        grid_text=grid_text,
        given=given,
        places=places,
        options=options,
        buy=buy if options.gpu_hours is not None else None,
    )
    if options.dry_run:
        ready = prepare(asked).ready
        told = targets_text(ready.resolved.regions)
        return print_trials(ready.resolved, options, ready.patients(), told)
    with Stopping() as stopping:
        finished = execute(asked, stopping)
        report = write_report(out)
    print(report)
    return exit_code_of(out, finished, stopping.code)


def print_trials(
    declared: ResolvedGrid, options: argparse.Namespace, patients: PatientNumbers, told: str
) -> int:
    """Print every trial of a grid, one per line, their number, what networks predict, and what the
    trials can resolve with these numbers of patients (--dry-run).
    """
    from bench.commands.plan import resolvable_lines

    table = Table(box=None, padding=(0, 2, 0, 0))
    several = ["fold"] if len(declared.grid.folds) > 1 else []
    for title in ("phase", "model", "loss", "sampling", *several, "seed", "setting"):
        table.add_column(title, no_wrap=True)
    rows = list(list_trials(declared))
    for row in rows:
        cell, numbers = row.cell, [row.fold, row.seed] if several else [row.seed]
        table.add_row(
            row.phase, cell.model, cell.loss, cell.sampling, *map(str, numbers), row.setting
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    counts = ", ".join(
        f"{count} {phase}" for phase, count in count_trials(declared).items() if count
    )
    console.print(f"{len(rows)} trials: {counts}; none was started")
    console.print(f"networks predict {told}", highlight=False, markup=False, soft_wrap=True)
    for line in resolvable_lines(declared.grid, patients):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(
        f"to estimate time, memory and disk on this hardware: {plan_command(options)}",
        highlight=False,
        soft_wrap=True,
    )
    return FINISHED


def plan_command(options: argparse.Namespace) -> str:
    """The command that estimates the same run."""
    names = ("grid", "dataset", "fold", "targets", "data", "gpu_hours")
    flags = {name.replace("_", "-"): getattr(options, name) for name in names}
    given = [
        text
        for name, value in flags.items()
        if value is not None
        for text in (f"--{name}", *map(str, value if name == "fold" else [value]))
    ]
    return shlex.join(["segbench", "plan", *given])


def write_report(out: Path, images: str | None = None) -> Path:
    """Write the studies, the Optuna storage, the tables and the report of a run folder, and return
    the path of the page. images as in report_run.
    """
    from bench.search.studies import write_journal, write_studies
    from reports.build import report_run
    from reports.load.run_folder import read_run

    run = read_run(out)
    results = [result for result in run.results if result.reason != "interrupted"]
    write_studies(out, results)
    page = report_run(run, images)
    write_journal(out, results)
    return page


def exit_code_of(out: Path, finished: bool, stopped: int) -> int:
    """The exit code of a run: that of the signal that stopped it, finished with failures, or
    finished. Prints what failed to stderr.
    """
    from bench.run_folder.provenance import command
    from trials.records.result import FAILED
    from trials.records.result_file import read_results

    if not finished:
        print(
            f"stopped: the report shows the finished trials; to continue, run: {command()}",
            file=sys.stderr,
        )
        return stopped or INTERRUPTED
    failed = [result for result in read_results(out).values() if result.state == FAILED]
    for result in failed:
        print(
            f"failed: {result.spec.phase} {result.spec.cell.model} {result.spec.cell.loss}: "
            f"{result.error}",
            file=sys.stderr,
        )
    if left_out := excluded_cases(out):
        print(f"left out: {', '.join(left_out)}; the report gives the reasons", file=sys.stderr)
    return WITH_FAILURES if failed or left_out else FINISHED


def excluded_cases(out: Path) -> list[str]:
    """The cases that --skip-bad excluded from a run."""
    from trials.records.run_record import read_run_record

    return sorted((read_run_record(out).get("data") or {}).get("bad_cases") or ())


if __name__ == "__main__":
    from bench.cli import main

    sys.exit(main(["run", *sys.argv[1:]]))
