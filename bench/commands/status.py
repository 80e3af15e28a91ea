"""segbench status: the progress of a run, read from its folder."""

import argparse

from bench.verb import FINISHED, Verbs, add_verb
from trials.storage.probe import folder_or_url


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "status",
        "show the progress of a run and when it will end; works from any shell",
        run,
    )
    verb.add_argument("run", type=folder_or_url, help="the run folder, or its URL")


def run(options: argparse.Namespace) -> int:
    """segbench status."""
    from datetime import datetime

    from bench.run_folder.status import status_text

    print(status_text(options.run, datetime.now()))
    return FINISHED
