"""`python -m benchmarks.gpu [steps|grid|demo]` on one GPU; without a part all three, each in a
process of its own.

A part takes at most four minutes, needs no network, writes each row when it is known and replaces
its former rows in benchmarks/results/gpu.txt. The rows and what each is to reach:
benchmarks/gpu/rows.py. `--short` is a tiny form that also runs on a CPU and keeps nothing but what
--out names.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.compare import RESULTS
from benchmarks.gpu.demo import run_demo
from benchmarks.gpu.grid import run_grid
from benchmarks.gpu.machine import python, stamp
from benchmarks.gpu.rows import ROWS, Sheet
from benchmarks.gpu.steps import run_steps

# A part's rows begin before this is spent, and none begins after: the last one ends within four
# minutes.
PART_SECONDS = 225.0
PARTS = {"steps": run_steps, "grid": run_grid, "demo": run_demo}


def main(arguments: list[str]) -> int:
    """Run one part, or all; 2 where there is no GPU to measure, 1 where a part ended early."""
    options = parser().parse_args(arguments)
    if not options.short and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} sees no GPU; --short runs a tiny form on the CPU",
            file=sys.stderr,
        )
        return 2
    if options.part is None:
        codes = [
            subprocess.run(python("benchmarks.gpu", part, *arguments)).returncode for part in ROWS
        ]
        return max(codes)
    path = options.out or (None if options.short else RESULTS / "gpu.txt")
    sheet = Sheet(part=options.part, stamp=stamp(), path=path, seconds=options.seconds)
    sheet.save()
    PARTS[options.part](sheet, "short" if options.short else "full")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    made.add_argument("part", nargs="?", choices=ROWS, help="which part; all of them without it")
    made.add_argument(
        "--short", action="store_true", help="tiny sizes, also on a CPU; kept only where --out says"
    )
    made.add_argument(
        "--seconds",
        type=float,
        default=PART_SECONDS,
        help=f"time that a part may take ({PART_SECONDS:g})",
    )
    made.add_argument("--out", type=Path, help="another file than benchmarks/results/gpu.txt")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
