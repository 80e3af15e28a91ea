"""What may be named on doctor's command line."""

import argparse
from pathlib import Path


def add_doctor_flags(verb: argparse.ArgumentParser) -> None:
    """Everything is optional: this machine is always looked at."""
    verb.epilog = "Exit code: 0, also with warnings; 2 where something must be mended."
    verb.add_argument("--cluster", type=Path, metavar="FILE.yaml", help="a cluster file for `ray up`, and what it needs here")
    verb.add_argument("--data", type=Path, metavar="DIR", help="a data set's folder")
    verb.add_argument("--cache", type=Path, metavar="DIR", help="prepared data: every digest is checked")
    verb.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: runs)")
    verb.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster: can each node write to --out?")
    verb.add_argument("--json", action="store_true", help='print {"findings": [{level, subject, message, fix}, ...]} instead')
