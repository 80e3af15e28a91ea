"""Seconds until the command line answers, and what it has loaded by then."""

import subprocess
import sys
from functools import partial

from benchmarks.compare import compare, keep, table

HEAVY = ("torch", "ray", "monai", "optuna", "pandas", "plotly")
LOADED = (
    "import sys; from bench.cli import parser; parser(); print([n for n in {!r} if n in "
    "sys.modules])"
)


def command(*arguments: str) -> None:
    """One process."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print and keep the figures."""
    ways = {
        "python -c pass": partial(command, "-c", "pass"),
        "segbench --help": partial(command, "-m", "bench.cli", "--help"),
        "segbench ls": partial(command, "-m", "bench.cli", "ls"),
    }
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED.format(HEAVY)], check=True, capture_output=True, text=True
    ).stdout
    lines = [
        *table(compare(ways), "python -c pass"),
        f"heavy packages loaded by --help: {loaded.strip()}",
    ]
    keep(
        "start", "The command line, each time a new process (wall time is what counts here)", lines
    )


if __name__ == "__main__":
    main()
