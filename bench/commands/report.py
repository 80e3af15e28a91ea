"""segbench report: the page of a run folder, written again."""

import argparse
import sys
import time
from pathlib import Path

from bench.commands.verb import OWN_METRICS, add_verb
from bench.exit_codes import FINISHED, WITH_FAILURES
from trials.storage.probe import folder_or_url, local_path_argument

# Between two looks at a run folder.
WATCH_SECONDS = 5.0


def add(verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs, "report", "write tables and report of a run folder again, finished or not", run
    )
    verb.add_argument("run", type=folder_or_url, help="the run folder, or its URL")
    verb.add_argument(
        "--images",
        choices=["none", "masks", "ct"],
        help="pictures of patients in the page: none, masks alone, masks on the CT (default: ct "
        "for phantoms, else masks)",
    )
    verb.add_argument(
        "--watch",
        action="store_true",
        help="write it again whenever the run has got further, until it ends or Ctrl-C",
    )
    verb.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="show somebody else's predictions of the test cases beside the run's, as CASE.nii.gz; "
        "may be repeated",
    )
    verb.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="where the run's data lie now, for --add (default: as in the run)",
    )
    verb.add_argument("--grid", metavar="FILE.py", help=OWN_METRICS)


def run(options: argparse.Namespace) -> int:
    """Write the report once, or with --watch whenever the run has got further, until it ends or
    Ctrl-C.

    Returns the exit code: 3 where no trial has ended yet, of which the page says no more.
    """
    from bench.execution.results import has_results
    from bench.grid.user_file import load_own_parts
    from bench.run import write_report
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
