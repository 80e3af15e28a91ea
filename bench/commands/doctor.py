"""segbench doctor: what may be named on its command line. The work is in bench/doctor."""

import argparse

from bench.commands.verb import add_verb
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs) -> None:
    """The verb and its flags. Everything is optional: this machine is always looked at."""
    verb = add_verb(
        verbs, "doctor", "look for what stands in the way of a run, and say how to fix it", run
    )
    verb.epilog = "Exit code: 0, also with warnings; 2 where something must be fixed."
    verb.add_argument(
        "--cluster",
        type=local_path_argument,
        metavar="FILE.yaml",
        help="a cluster file for `ray up`, and what it needs here",
    )
    verb.add_argument("--data", type=local_path_argument, metavar="DIR", help="a data set's folder")
    verb.add_argument(
        "--cache",
        type=folder_or_url,
        metavar="DIR|URL",
        help="prepared data: every digest is checked",
    )
    verb.add_argument(
        "--out", type=folder_or_url, metavar="DIR|URL", help="the run folder (default: runs)"
    )
    verb.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster: can each node write to --out, and see --data and --cache?",
    )
    verb.add_argument(
        "--grid",
        metavar="NAME|FILE.py",
        help="in which precision each model of a grid trains here, and whether it is right",
    )
    verb.add_argument(
        "--json",
        action="store_true",
        help='print {"findings": [{level, subject, message, fix}, ...]} instead',
    )


def run(options: argparse.Namespace) -> int:
    """segbench doctor."""
    from bench.doctor.run import doctor

    return doctor(options)
