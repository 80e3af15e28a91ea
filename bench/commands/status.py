"""segbench status: what a run has done and what runs now."""

import argparse

from bench.commands.verb import add_verb
from bench.exit_codes import FINISHED
from trials.storage.probe import folder_or_url


def add(verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "status",
        "what a run has done, what runs now and when it ends, from another shell",
        run,
    )
    verb.add_argument("run", type=folder_or_url, help="the run folder, or its URL")


def run(options: argparse.Namespace) -> int:
    """segbench status."""
    from datetime import datetime

    from bench.run_folder.status import status_text

    print(status_text(options.run, datetime.now()))
    return FINISHED
