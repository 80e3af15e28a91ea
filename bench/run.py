"""The main command: from a grid to a report. `python -m bench.run --grid demo` is `segbench run
--grid demo`.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.execution.jobs import Places, job_maker
from bench.execution.signals import Stopping
from bench.execution.start_weights import weight_files
from bench.exit_codes import FINISHED, INTERRUPTED, WITH_FAILURES
from bench.grid.expand import outline, planned
from bench.grid.user_file import load_grid, load_own_parts
from bench.grid.validate import check_grid, check_settings
from bench.grids import Grid
from bench.run_folder.lock import driving, refuse_second
from bench.run_folder.own_places import refuse_places

# Between two looks at a run folder.
WATCH_SECONDS = 5.0


def run_grid(options: argparse.Namespace) -> int:
    """Run what is missing of a grid and write the report; returns the exit code. Raises ValueError
    for what a user can mend.
    """
    grid, grid_text = load_grid(options.grid)
    check_grid(grid)
    given = weight_files(options.weights, grid)
    if options.dry_run:
        return print_outline(grid, given, options.grid)
    out = (options.out or Path("runs") / grid.name).absolute()
    places = Places(
        out=out, cache=(options.cache or out.parent / "cache").absolute(), data=options.data
    )
    refuse_places(places)
    refuse_second(out)
    with Stopping() as stopping:
        finished = execute(grid, grid_text, places, given, options, stopping)
        report = write_report(out)
    print(report)
    return verdict(out, finished, stopping.code)


def execute(
    grid: Grid,
    grid_text: str,
    places: Places,
    given: Mapping[str, Path],
    options: argparse.Namespace,
    stopping: Stopping,
) -> bool:
    """Prepare, then run every trial that has no result yet. Returns False if the user asked to stop
    before the end.
    """
    from bench.execution.ceilings import write_ceilings
    from bench.execution.data import open_grid_data, prepare_grid
    from bench.execution.start_weights import digests, fetch_imagenet
    from bench.run_folder.changed_code import drop
    from bench.run_folder.continuing import resumed
    from bench.run_folder.heartbeat import beating
    from bench.run_folder.provenance import commit, run_record, write_provenance
    from bench.tuning.driver import check_room, connect, drive, smallest_share
    from bench.tuning.preflight import Preflight
    from bench.tuning.progress import LiveView
    from bench.tuning.searcher import GridSearcher
    from trials.storage.atomic import remove_abandoned
    from trials.storage.probe import check_scratch, check_writable, local_parent

    console = Console(stderr=True)
    check_writable(places.out)
    check_scratch()
    skip_bad = places.cache if options.skip_bad else None
    dataset, scheme, split = open_grid_data(
        grid, places.data, local_parent(places.out) / "data", console, skip_bad
    )
    files = dict(given) | fetch_imagenet(grid, given)
    prepared = prepare_grid(grid, dataset, scheme, split, places.cache, console)
    facts = prepared.facts(digests(files))
    check_settings(grid, facts)
    with driving(places.out) as lock:
        remove_abandoned(places.out)
        record = run_record(grid, prepared.record(), facts, random_notes(grid))
        queue, changed = resumed(places.out, grid, facts, record, grid_text, options.rerun_changed)
        cluster = None if queue.finished() else connect(options.address)
        preflight = Preflight(
            places.out, [str(path) for path in (*files.values(), *prepared.needed())]
        )
        if cluster:
            check_room(grid, cluster.most)
            preflight.check()
        # From here on nothing is refused any more.
        drop(places.out, changed)
        write_provenance(places.out, record, grid_text)
        if cluster:
            view = LiveView(
                queue, planned(grid, facts.weights), console, cluster.slots(smallest_share(grid))
            )
            cores = cluster.cores_per_trial(smallest_share(grid))
            make_job = job_maker(
                places, prepared, files, facts.weights, options, commit()[0], cores
            )
            with view, beating(lock, view.status, view.changed):
                drive(
                    GridSearcher(queue, make_job, places.out),
                    view,
                    cluster,
                    grid_text,
                    stopping,
                    preflight,
                )
        if queue.finished():
            write_ceilings(places.out, prepared)
    return queue.finished()


def random_notes(grid: Grid) -> list[str]:
    """What the report must say of models that start from random weights although their entry asks
    for others.
    """
    from bench.grid.expand import recipe_of
    from trials.models.registry import MODELS

    models = dict.fromkeys(cell.model for cell in grid.cells)
    asked = {
        model: MODELS[model].weights
        for model in models
        if recipe_of(grid, model).weights == "random"
    }
    return [
        f"{model} starts from random weights, as its recipe asks, not from {source}"
        for model, source in asked.items()
        if source != "random"
    ]


def print_outline(grid: Grid, given: Mapping[str, Path], name: str) -> int:
    """--dry-run: every trial, a line each, and how many there are."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("phase", "model", "loss", "sampling", "seed", "setting"):
        table.add_column(title, no_wrap=True)
    rows = list(outline(grid, dict.fromkeys(given, "")))
    for row in rows:
        table.add_row(
            row.phase, row.cell.model, row.cell.loss, row.cell.sampling, str(row.seed), row.setting
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    counts = ", ".join(
        f"{count} {phase}"
        for phase, count in planned(grid, dict.fromkeys(given, "")).items()
        if count
    )
    console.print(f"{len(rows)} trials: {counts}; nothing was started")
    console.print(
        f"time, memory and disk on this hardware: segbench plan --grid {name}",
        highlight=False,
        soft_wrap=True,
    )
    return FINISHED


def write_report(out: Path, images: str | None = None) -> Path:
    """What the studies taught, Optuna's storage, tables and the report of a run folder; images as
    in report_run.
    """
    from bench.search.importance import write_studies
    from bench.search.journal import write_journal
    from reports.build import report_run
    from reports.load.run_folder import read_run

    run = read_run(out)
    results = [result for result in run.results if result.reason != "interrupted"]
    write_studies(out, results)
    page = report_run(run, images)
    write_journal(out, results)
    return page


def report_folder(options: argparse.Namespace) -> int:
    """segbench report: once, or with --watch whenever the run has got further, until it ends or
    Ctrl-C.

    Returns the exit code: 3 where no trial has ended yet, of which the page says no more.
    """
    from bench.execution.results import has_results
    from bench.run_folder.lock import find, is_alive
    from reports.load.watch import watch

    load_own_parts(options.grid)
    if options.add:
        from bench.commands.predictions import add_predictions

        add_predictions(options.run, options.add, options.data)

    def rebuild() -> Path:
        page = write_report(options.run, options.images)
        print(page, flush=True)
        return page

    def goes_on() -> bool:
        held = find(options.run)
        return options.watch and held is not None and is_alive(held)

    try:
        watch(options.run, rebuild, goes_on, lambda: time.sleep(WATCH_SECONDS))
    except KeyboardInterrupt:
        if not options.watch:
            raise
        print("segbench: stopped watching; the page stays as it is", file=sys.stderr)
    return FINISHED if has_results(options.run) else WITH_FAILURES


def verdict(out: Path, finished: bool, stopped: int) -> int:
    """The exit code of a run: that of the signal that stopped it, finished with failures, or
    finished.
    """
    from bench.execution.results import read_results
    from bench.run_folder.provenance import command
    from trials.records.result import FAILED

    if not finished:
        print(
            "stopped: the report holds what is there; the same command goes on from here: "
            f"{command()}",
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
    if left_out := left_out_of(out):
        print(f"left out: {', '.join(left_out)}; the report says why", file=sys.stderr)
    return WITH_FAILURES if failed or left_out else FINISHED


def left_out_of(out: Path) -> list[str]:
    """The cases that --skip-bad left out of a run."""
    from trials.records.run_record import read_run_record

    return sorted((read_run_record(out).get("data") or {}).get("bad_cases") or ())


if __name__ == "__main__":
    from bench.cli import main

    sys.exit(main(["run", *sys.argv[1:]]))
