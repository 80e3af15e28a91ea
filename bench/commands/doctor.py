"""segbench doctor: the flags. The checks are in bench/doctor."""

import argparse

from bench.verb import Verbs, add_verb
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and its flags. All are optional; this machine is always checked."""
    verb = add_verb(
        verbs, "doctor", "find problems that would stop a run, and say how to fix them", run
    )
    verb.epilog = "Exit code: 0 without errors, with or without warnings; 2 with errors."
    verb.add_argument(
        "--cluster",
        type=local_path_argument,
        metavar="FILE.yaml",
        help="a cluster file for `ray up`; what it needs on this machine is checked too",
    )
    verb.add_argument("--data", type=local_path_argument, metavar="DIR", help="a data set's folder")
    verb.add_argument(
        "--cache",
        type=folder_or_url,
        metavar="DIR|URL",
        help="prepared data; every digest is checked",
    )
    verb.add_argument(
        "--out", type=folder_or_url, metavar="DIR|URL", help="the run folder (default: runs)"
    )
    verb.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster; checks that each node can write to --out and read --data and --cache",
    )
    verb.add_argument(
        "--grid",
        metavar="NAME|FILE.py",
        help="a grid; checks the precision in which each of its models trains on this machine",
    )
    verb.add_argument(
        "--json",
        action="store_true",
        help='print {"findings": [{level, subject, message, fix}, ...]} instead of text',
    )


def run(options: argparse.Namespace) -> int:
    """segbench doctor."""
    from bench.doctor.run import doctor

    return doctor(options)
