"""The flags of segbench check."""

import argparse

from bench.commands.verb import (
    NAMES,
    Verbs,
    add_data,
    add_verb,
    add_workers,
    required_folder,
)


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(verbs, "check", "list all faults of a data set", run)
    verb.epilog = "Exit code: 0 without faults, with or without warnings; 2 with faults."
    add_data(verb)
    verb.add_argument("--dataset", help=f"{NAMES} (default: detected from the folder)")
    verb.add_argument(
        "--json",
        action="store_true",
        help='print {"faults": [{case, file, code, message, fix, level}, ...]} instead of text',
    )
    add_workers(verb)


def run(options: argparse.Namespace) -> int:
    """segbench check."""
    from bench.commands.check import check_folder

    options.folder = required_folder(options)
    return check_folder(options)
