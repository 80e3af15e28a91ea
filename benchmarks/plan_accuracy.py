"""How well `segbench plan` foretells: every trial of a grid is planned, then really run, and both
are compared.

    python benchmarks/plan_accuracy.py [demo | small | tiny] [--only alone | together] [--out FILE]

alone: trial after trial in this process on one thread, in wall time, and in processor time, which
other work on the machine does not lengthen. together: as the verbs do it, all cores at once through
Ray, from the first trial's start to the last one's end. Starting Ray, preparing the data and the
report are in neither. For wall time the machine has to be quiet.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import ray
from rich.console import Console

from bench.execution.data import Prepared, open_grid_data, prepare_grid
from bench.execution.jobs import Places, job_maker
from bench.execution.results import read_results
from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import Facts
from bench.grid.user_file import load_grid
from bench.grids import Grid
from bench.plan.estimate import Measured, models_to_time, trial_seconds, wall
from bench.plan.plan import gathered, sample
from bench.tuning.driver import Cluster, connect
from bench.tuning.measure import measure
from trials.process.versions import processor_name
from trials.records.codec import from_json
from trials.records.job import Job
from trials.training import timing
from trials.training.attempt import attempt

GRID = """
from dataclasses import replace
from bench.grids import DEMO, Tuning, product

OWN = replace(
    DEMO,
    name="{name}",
    generate={{"num_cases": {cases}, "seed": 1}},
    cells=product({models}, ("combined", "focal"), ("none",)),
    tuning=Tuning(trials=2, epochs={epochs}, prune=False),
    recipes={{
        model: replace(DEMO.recipes[model], epochs={finals}, steps_per_epoch={steps})
        for model in ("3d", "vnet")
    }},
)
"""
SMALL = GRID.format(name="small", models=("unet3d", "vnet"), cases=22, epochs=3, finals=6, steps=16)
TINY = GRID.format(name="tiny", models=("unet3d",), cases=11, epochs=1, finals=2, steps=4)
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True)
class Ready:
    """A grid with its data prepared in a folder. name is what --grid is given."""

    name: str
    grid: Grid
    place: Path
    prepared: Prepared
    facts: Facts


def made_ready(name: str, place: Path) -> Ready:
    """Make and prepare what a grid needs."""
    if name != "demo":
        (place / "grid.py").write_text({"small": SMALL, "tiny": TINY}[name])
        name = str(place / "grid.py")
    grid, _ = load_grid(name)
    console = Console(stderr=True)
    dataset, scheme, split = open_grid_data(grid, None, place / "data", console)
    prepared = prepare_grid(grid, dataset, scheme, split, place / "cache", console)
    return Ready(name, grid, place, prepared, prepared.facts({}))


def alone(ready: Ready) -> list[str]:
    """A row a model and phase and the sum, by each clock."""
    measured = {clock: timed_by(ready, clock) for clock in CLOCKS}
    places = Places(out=ready.place / "alone", cache=ready.place / "cache", data=None)
    make_job = job_maker(
        places,
        ready.prepared,
        {},
        {},
        Namespace(save_predictions=False, checkpoint_minutes=1.0),
        "",
    )
    planned: dict[tuple, float] = defaultdict(float)
    real: dict[tuple, float] = defaultdict(float)
    queue = TrialQueue(ready.grid, ready.facts, {})
    while (due := queue.next(())) is not None:
        began = {name: clock() for name, clock in CLOCKS.items()}
        queue.add(attempt(make_job(due)))
        for name, clock in CLOCKS.items():
            for row in (f"{due.spec.cell.model} {due.spec.phase}", "all"):
                real[row, name] += clock() - began[name]
                planned[row, name] += trial_seconds(
                    ready.grid, due.spec.cell, due.spec.phase, measured[name]
                )
        print(f"{len(queue.results)} trials", end="\r", file=sys.stderr, flush=True)
    rows = sorted({row for row, _ in real}, key=lambda row: (row == "all", row))
    return [
        line(f"{row}, {clock}", planned[row, clock], real[row, clock])
        for clock in CLOCKS
        for row in rows
    ]


def timed_by(ready: Ready, clock: str) -> Measured:
    """What the estimate rests on, timed in this process by one clock."""
    timing.now = CLOCKS[clock]
    timings = {}
    for key in models_to_time(ready.grid, {}):
        one = sample(ready.grid, ready.facts, ready.prepared, {}, Cluster(cpus=1, gpus=0.0), *key)
        timings[key] = SimpleNamespace(
            **asdict(timing.time_trial(from_json(Job, one.job), one.samplings))
        )
    split = ready.prepared.split
    sizes = {"num_val": len(split.val), "num_test": len(split.test)}
    return Measured(timings=timings, given={}, **sizes, start=0.0)


def together(ready: Ready) -> list[str]:
    """The row of the whole grid on all cores."""
    cluster = connect(None)
    wanted = models_to_time(ready.grid, {})
    samples = [sample(ready.grid, ready.facts, ready.prepared, {}, cluster, *key) for key in wanted]
    grid_text = "" if ready.name == "demo" else Path(ready.name).read_text()
    taken = measure(samples, grid_text)
    ray.shutdown()
    measured = gathered(ready.grid, ready.facts, ready.prepared, wanted, taken, cluster)
    # A trial's own clock starts when its process has imported what all need; what its model needs
    # first is in it.
    measured = replace(measured, start=max(copy["first"] for copies in taken for copy in copies))
    planned = wall(ready.grid, measured, cluster.cpus, on_cpu=True)
    out = ready.place / "together"
    command = [sys.executable, "-m", "bench.run", "--grid", ready.name, "--out", str(out)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    ends = {
        trial: (out / "trials" / trial / "result.json").stat().st_mtime
        for trial in read_results(out)
    }
    starts = [ends[trial] - result.seconds for trial, result in read_results(out).items()]
    return [line(f"all on {cluster.cpus} cores, wall", planned, max(ends.values()) - min(starts))]


def line(what: str, planned: float, real: float) -> str:
    """A row of the table."""
    return f"{what:<36}{planned:>10.1f}{real:>10.1f}{planned / real:>8.2f}"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("grid", nargs="?", choices=["demo", "small", "tiny"], default="small")
    options.add_argument("--only", choices=["alone", "together"])
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="segbench-accuracy-") as folder:
        ready = made_ready(given.grid, Path(folder))
        rows = together(ready) if given.only != "alone" else []
        rows += alone(ready) if given.only != "together" else []
    head = (
        f"grid {given.grid}, {datetime.now():%Y-%m-%d %H:%M}, {processor_name()}, load "
        f"{os.getloadavg()[0]:.1f} at the end"
    )
    text = "\n".join([head, f"{'':<36}{'planned s':>10}{'real s':>10}{'ratio':>8}", *rows])
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
