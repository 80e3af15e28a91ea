"""segbench report: rewrites the report of a run folder."""

import argparse
import sys
import time
from pathlib import Path

from bench.verb import FINISHED, OWN_METRICS, WITH_FAILURES, Verbs, add_verb
from trials.storage.probe import folder_or_url, local_path_argument

# Between two checks of a run folder.
WATCH_SECONDS = 5.0


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs, "report", "rewrite the tables and the report of a run, finished or not", run
    )
    verb.add_argument("run", type=folder_or_url, help="the run folder, or its URL")
    verb.add_argument(
        "--images",
        choices=["none", "masks", "ct"],
        help="pictures of patients in the page: none, masks only, or masks on the CT (default: "
        "ct for phantoms, else masks)",
    )
    verb.add_argument(
        "--watch",
        action="store_true",
        help="rewrite the report whenever the run advances, until it ends or Ctrl-C is pressed",
    )
    verb.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="compare external predictions of the test cases, stored as CASE.nii.gz; may be "
        "repeated",
    )
    verb.add_argument(
        "--ensembles",
        action="store_true",
        help="score the seeds of each configuration as an ensemble first; it predicts every test "
        "case again, once for each seed, and is done once",
    )
    verb.add_argument(
        "--paper",
        action="store_true",
        help="also write RUN/paper: methods, results, tables, captions, checklists and BibTeX, as "
        "Markdown and LaTeX",
    )
    verb.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="the folder of the run's data, for --add and --ensembles (default: the one that the "
        "run used)",
    )
    verb.add_argument("--grid", metavar="FILE.py", help=OWN_METRICS)


def run(options: argparse.Namespace) -> int:
    """Write the report once, or with --watch whenever the run advances, until it ends or Ctrl-C is
    pressed.

    Returns the exit code: 3 if no trial has finished yet, in which case the page says so.
    """
    from bench.grid.user_file import load_own_parts
    from bench.run import write_report
    from bench.run_folder.lock import find_lock, is_alive
    from reports.load.watch import watch
    from reports.manuscript.write import write_manuscript
    from trials.records.result_file import has_results

    load_own_parts(options.grid)
    if options.add:
        from bench.predictions.external import add_predictions

        add_predictions(options.run, options.add, options.data)
    if options.ensembles:
        from bench.predictions.finals import add_ensembles

        add_ensembles(options.run, options.data)

    def rebuild() -> Path:
        page = write_report(options.run, options.images)
        if options.paper:
            print(write_manuscript(options.run), flush=True)
        print(page, flush=True)
        return page

    def is_running() -> bool:
        held = find_lock(options.run)
        return options.watch and held is not None and is_alive(held)

    try:
        watch(options.run, rebuild, is_running, lambda: time.sleep(WATCH_SECONDS))
    except KeyboardInterrupt:
        if not options.watch:
            raise
        print("segbench: stopped watching; the page is kept", file=sys.stderr)
    return FINISHED if has_results(options.run) else WITH_FAILURES
