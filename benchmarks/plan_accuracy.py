"""How well `segbench plan` foretells: a grid is planned, then really run, and both are compared.

    python -m benchmarks.plan_accuracy [demo | small | tiny]

The run takes all cores at once through Ray, from the first trial's start to the last one's end.
Starting Ray, preparing the data and the report are not in it. The machine has to be quiet.
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import ray
from rich.console import Console

from bench.execution.ready import DataPlaces, make_ready
from bench.grid.resolve import before_data, resolve
from bench.grid.user_file import load_grid
from bench.plan.estimate import estimate_wall_seconds, models_to_time
from bench.plan.plan import gather_measurements, make_sample
from bench.tuning.driver import connect
from bench.tuning.measure import measure
from benchmarks.compare import keep
from trials.records.result_file import read_results

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


def planned(name: str, place: Path) -> tuple[float, int]:
    """Seconds that all trials of a grid are planned to take, and on how many cores."""
    grid, text = load_grid(name)
    console = Console(stderr=True)
    data = DataPlaces(data=None, made=place / "data", cache=place / "cache")
    ready = make_ready(resolve(grid, before_data(grid)), {}, data, console)
    cluster, wanted = connect(None), models_to_time(ready.resolved)
    samples = [make_sample(ready, cluster, *key) for key in wanted]
    taken = measure(samples, text)
    ray.shutdown()
    measured = gather_measurements(ready, wanted, taken, cluster)
    # A trial's own clock starts when its process has imported what all need; what its model needs
    # first is in it.
    measured = replace(measured, start=max(copy["first"] for copies in taken for copy in copies))
    return estimate_wall_seconds(ready.resolved, measured, cluster.cpus, on_cpu=True), cluster.cpus


def real(name: str, out: Path) -> float:
    """Seconds that they take."""
    command = [sys.executable, "-m", "bench.run", "--grid", name, "--out", str(out)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    results = read_results(out)
    ends = {trial: (out / "trials" / trial / "result.json").stat().st_mtime for trial in results}
    starts = [ends[trial] - result.seconds for trial, result in results.items()]
    return max(ends.values()) - min(starts)


def main() -> None:
    """Plan, run, print and keep the row."""
    (kind,) = sys.argv[1:] or ["small"]
    with tempfile.TemporaryDirectory(prefix="segbench-accuracy-") as folder:
        name = kind
        if kind != "demo":
            name = str(Path(folder) / "grid.py")
            Path(name).write_text({"small": SMALL, "tiny": TINY}[kind])
        foretold, cores = planned(name, Path(folder))
        taken = real(name, Path(folder) / "run")
    lines = [
        f"{'':<24}{'planned s':>10}{'real s':>10}{'ratio':>8}",
        f"{f'all on {cores} cores':<24}{foretold:>10.1f}{taken:>10.1f}{foretold / taken:>8.2f}",
    ]
    keep("plan_accuracy", f"All trials of grid {kind}, wall time", lines)


if __name__ == "__main__":
    main()
