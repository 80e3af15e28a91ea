"""How well `segbench plan` foretells: every trial of a grid is planned, then really run, and both are compared.

python benchmarks/plan_accuracy.py [demo | small] [FOLDER]

In one process and in processor time, one thread, so that other work on the machine counts on neither side. Starting Ray and
the report are in neither. Prints a row a model and phase, then the sum.
"""

import sys
import tempfile
import time
from argparse import Namespace
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from bench.agenda import Agenda
from bench.estimate import Measured, models_to_time, trial_seconds
from bench.grids import DEMO, Grid, Tuning, product
from bench.plan import sample
from bench.prepared import open_grid_data, prepare_grid
from bench.run import Places, job_maker
from bench.tuning.driver import Cluster
from trials import timing
from trials.attempt import attempt
from trials.job import Job
from trials.records import from_json

SMALL = replace(
    DEMO,
    name="small",
    generate={"num_cases": 22, "seed": 1},
    cells=product(("unet3d",), ("combined", "focal"), ("none",)),
    tuning=Tuning(trials=2, epochs=2, prune=False),
    recipes={"3d": replace(DEMO.recipes["3d"], epochs=5, steps_per_epoch=12)},
)


def main(grid: Grid, place: Path) -> None:
    """Plan, run, compare."""
    timing.now = time.process_time
    console = Console(stderr=True)
    dataset, scheme, split = open_grid_data(grid, None, place / "data", console)
    prepared = prepare_grid(grid, dataset, scheme, split, place / "cache", console)
    facts, cluster = prepared.facts({}), Cluster(cpus=1, gpus=0.0)
    timings = {}
    for key in models_to_time(grid, {}):
        one = sample(grid, facts, prepared, {}, cluster, *key)
        timings[key] = SimpleNamespace(**asdict(timing.time_trial(from_json(Job, one.job), one.samplings)))
    sizes = {"num_val": len(split.val), "num_test": len(split.test)}
    measured = Measured(timings=timings, given={}, **sizes, start=0.0, every_trial=False)
    run(grid, place, Agenda(grid, facts, {}), prepared, measured)


def run(grid: Grid, place: Path, agenda: Agenda, prepared, measured: Measured) -> None:
    """Run every trial and print what it was planned at and what it took."""
    places = Places(out=place / "out", cache=place / "cache", data=None)
    make_job = job_maker(places, prepared, {}, {}, Namespace(save_predictions=False, checkpoint_minutes=1.0), "")
    planned, real = defaultdict(float), defaultdict(float)
    while (due := agenda.next(())) is not None:
        clock = time.process_time()
        result = attempt(make_job(due))
        key = (due.spec.cell.model, due.spec.phase)
        real[key] += time.process_time() - clock
        planned[key] += trial_seconds(grid, due.spec.cell, due.spec.phase, measured)
        agenda.add(result)
        print(f"{result.state} {due.spec.phase} {due.spec.cell}", file=sys.stderr)
    print(f"{'grid ' + grid.name:<28}{'planned s':>10}{'real s':>10}{'ratio':>8}")
    for key in real:
        print(f"{' '.join(key):<28}{planned[key]:>10.1f}{real[key]:>10.1f}{planned[key] / real[key]:>8.2f}")
    total, took = sum(planned.values()), sum(real.values())
    print(f"{'all':<28}{total:>10.1f}{took:>10.1f}{total / took:>8.2f}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="segbench-accuracy-") as folder:
        name = sys.argv[1] if len(sys.argv) > 1 else "small"
        main({"demo": DEMO, "small": SMALL}[name], Path(sys.argv[2] if len(sys.argv) > 2 else folder))
