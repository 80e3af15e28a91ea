"""What Ray costs: seconds between two trials of a reused worker, and the share of worker time that
is spent in trials.

A grid of 12 cells x 8 trials is run by `python -m bench.run` itself. Each trial waits some seconds,
then trains a moment, so that the machine's other users change it little. Times are those of the
result files.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.compare import keep

SECONDS, CELLS, TUNED = 10.0, 12, 7
GRID = f"""
import time
from dataclasses import replace

from bench.grids import DEMO, Tuning, product
from trials.losses import LOSSES
from trials.records.registry import Entry


def waiting(counts):
    time.sleep({SECONDS})
    return lambda logits, labels: logits.square().mean()


LOSSES.update({{f"waiting{{number}}": Entry(waiting) for number in range(4)}})
RECIPE = replace(DEMO.recipes["3d"], epochs=1, steps_per_epoch=1, width=2, train_cases_scored=0)
SHORT = replace(
    DEMO,
    name="short",
    generate={{"num_cases": 11, "seed": 1}},
    cells=product(
        ("unet3d",),
        tuple(name for name in LOSSES if "waiting" in name),
        ("none", "oversample", "subsample"),
    ),
    tuning=Tuning(trials={TUNED}, epochs=1),
    hyper={{}},
    recipes={{"3d": RECIPE}},
)
"""


def intervals(out: Path) -> list[tuple[float, float]]:
    """Start and end of every trial by the machine's clock, sorted: a result is written when its
    trial ends.
    """
    found = []
    for path in out.glob("trials/*/result.json"):
        end = path.stat().st_mtime
        found.append((end - json.loads(path.read_text())["seconds"], end))
    return sorted(found)


def main() -> None:
    """Run the grid and keep the figures."""
    slots = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "grid.py").write_text(GRID)
        command = [
            sys.executable,
            "-m",
            "bench.run",
            "--grid",
            f"{place}/grid.py",
            "--out",
            f"{place}/out",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        trials = intervals(Path(place) / "out")
    assert len(trials) == CELLS * (TUNED + 1), f"{len(trials)} trials have a result"
    # The ramp-up ends when every worker has had its first trial, whose imports are its own.
    begin, end = sorted(end for _, end in trials)[slots - 1], max(end for _, end in trials)
    counted = [(max(start, begin), stop) for start, stop in trials if stop > begin]
    busy = sum(stop - start for start, stop in counted)
    room = slots * (end - begin)
    between = (room - busy) / len(counted)
    keep(
        "ray_overhead",
        f"{CELLS} cells x {TUNED + 1} trials on {slots} workers, {SECONDS:g} s of waiting in each",
        [
            f"trials after the ramp-up           {len(counted)}",
            f"mean seconds in a trial            {busy / len(counted):.2f}",
            f"seconds between trials of a worker {between:.3f}",
            f"share of worker time in trials     {busy / room:.1%}",
            f"ramp-up, first start to its end    {begin - trials[0][0]:.1f} s",
        ],
    )


if __name__ == "__main__":
    main()
