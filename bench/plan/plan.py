"""segbench plan: estimates the cost of a grid on the given hardware by timing real training steps
on it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bench.exit_codes import FINISHED
from bench.grid.own_data import on_data
from bench.grid.resolve import (
    ResolvedCell,
    ResolvedGrid,
    before_data,
    final_spec,
    pretrain_spec,
    resolve,
)
from bench.grid.user_file import load_grid
from bench.grid.validate import check_grid
from bench.grids import Grid
from bench.plan.estimate import (
    CostEstimate,
    Measurements,
    cheaper_grids,
    estimate_costs,
    estimate_wall_seconds,
    models_to_time,
    working_mib,
)
from trials.records.duration import duration
from trials.records.grouping import cases_by_patient
from trials.records.preparation import input_text
from trials.records.spec import FINAL, PRETRAIN

if TYPE_CHECKING:
    from bench.execution.ready import ReadyGrid
    from bench.tuning.driver import Cluster
    from bench.tuning.measure import Sample
    from trials.records.job import Job

SLOTS = (1, 4, 8)
# What a grid can resolve with a number of test patients, as lines.
Resolvable = Callable[[Grid, int | None], list[str]]


def plan_grid(options: argparse.Namespace, resolvable: Resolvable) -> int:
    """Check and prepare a grid, time its models and print the estimate, then the lines on what it
    can resolve; returns 0. Raises ValueError for a grid that cannot run.
    """
    from bench.execution.ready import DataPlaces, make_ready
    from bench.execution.start_weights import weight_files
    from bench.run_folder.own_places import refuse_cache
    from bench.tuning.driver import check_room, connect
    from bench.tuning.measure import measure

    grid, grid_text = load_grid(options.grid)
    grid = on_data(grid, options.dataset, options.fold)
    check_grid(grid)
    given = weight_files(options.weights, resolve(grid, before_data(grid)))
    console, runs = Console(stderr=True, markup=False, emoji=False), Path("runs").absolute()
    cache = (options.cache or runs / "cache").absolute()
    refuse_cache(cache, options.data)
    places = DataPlaces(data=options.data, made=runs / "data", cache=cache)
    ready = make_ready(resolve(grid, before_data(grid, given)), given, places, console)
    cluster = connect(options.address)
    check_room(grid, cluster.most)
    clock = time.monotonic()
    wanted = models_to_time(ready.resolved)
    samples = [make_sample(ready, cluster, *one) for one in wanted]
    measured = gather_measurements(ready, wanted, measure(samples, grid_text), cluster)
    print_plan(ready.resolved, measured, cluster, time.monotonic() - clock)
    prepared = ready.prepared
    patients = cases_by_patient(prepared.dataset.grouping, prepared.split.test)
    print(*resolvable(grid, len(patients)), sep="\n")
    return FINISHED


def make_sample(ready: "ReadyGrid", cluster: "Cluster", phase: str, model: str) -> "Sample":
    """The job that is timed for a model: the default of its first cell, or its pretraining."""
    from bench.tuning.measure import Sample, node_cpus
    from trials.records.codec import to_json

    one, cells = ready.resolved.models[model], ready.resolved.grid.cells
    samplings = dict.fromkeys(cell.sampling for cell in cells if cell.model == model)
    gpu_share = one.recipe.gpu_share if cluster.gpus else 0.0
    copies = node_cpus() if not cluster.gpus else max(1, int(1 / gpu_share)) if gpu_share else 1
    return Sample(
        job=to_json(make_timed_job(ready, one, phase)),
        samplings=("none", *samplings),
        gpu_share=gpu_share,
        copies=copies,
    )


def make_timed_job(ready: "ReadyGrid", one: ResolvedCell, phase: str) -> "Job":
    """The job of a trial of this phase, without a run folder."""
    from trials.records.job import Job

    seed, split, is_final = ready.resolved.grid.seeds[0], ready.prepared.split, phase == FINAL
    spec = final_spec(one, 0, one.default, seed) if is_final else pretrain_spec(one, seed)
    assert spec is not None
    file = ready.files.get(one.cell.model) if is_final and spec.weights != "random" else None
    return Job(
        trial="plan",
        spec=spec,
        out="",
        cache=str(ready.prepared.folders[spec.recipe.preparation]),
        train=split.train,
        val=split.val,
        test=split.test if is_final else (),
        weights=None if file is None else str(file),
    )


def gather_measurements(
    ready: "ReadyGrid",
    wanted: list[tuple[str, str]],
    taken: list[list[dict[str, Any]]],
    cluster: "Cluster",
) -> Measurements:
    """The measurements of the estimate: the mean over each model's copies. Raises ValueError for a
    model that cannot run or does not fit into memory.
    """
    resolved, split = ready.resolved, ready.prepared.split
    for (_, model), copies in zip(wanted, taken, strict=True):
        if errors := [copy["error"] for copy in copies if "error" in copy]:
            raise ValueError(f"grid {resolved.grid.name!r}: {model} cannot run here: {errors[0]}")
        check_memory(resolved, model, copies, cluster)
    timings = {key: average_timings(copies) for key, copies in zip(wanted, taken, strict=True)}
    return Measurements(
        timings=timings,
        num_val=len(split.val),
        num_test=len(split.test),
        start=max(copy["start"] + copy["first"] for copies in taken for copy in copies),
        scoring_threads=cluster.cores_per_trial(
            min(recipe.gpu_share for recipe in resolved.grid.recipes.values())
        ),
    )


def average_timings(copies: list[dict[str, Any]]) -> SimpleNamespace:
    """A Timing with the means of the copies; its peak is their largest."""
    numbers = {
        name: sum(copy[name] for copy in copies) / len(copies)
        for name, value in copies[0].items()
        if isinstance(value, float)
    }
    return SimpleNamespace(
        **copies[0] | numbers | {"peak_gib": max(copy["peak_gib"] for copy in copies)}
    )


def check_memory(
    resolved: ResolvedGrid, model: str, copies: list[dict[str, Any]], cluster: "Cluster"
) -> None:
    """Raise ValueError if trials fit into memory alone but not side by side."""
    peak, there = (
        max(copy["peak_gib"] for copy in copies),
        min(copy["memory_gib"] for copy in copies),
    )
    needed, device = peak * len(copies), copies[0]["device"]
    if needed > there:
        recipe = resolved.models[model].recipe
        raise ValueError(
            f"grid {resolved.grid.name!r}: {len(copies)} trials of {model} side by side need "
            f"{needed:.1f} GiB but {device} has {there:.1f}; lower its batch_size "
            f"({recipe.batch_size}) or size ({input_text(recipe)}), "
            + (
                "or raise its share of a GPU"
                if cluster.gpus
                else "or run on a machine with more memory per core"
            )
        )


def print_plan(
    resolved: ResolvedGrid, measured: Measurements, cluster: "Cluster", spent: float
) -> None:
    """Print the estimate to standard output."""
    on_cpu = not cluster.gpus
    unit, word = ("core", "cores") if on_cpu else ("GPU", "GPUs")
    rows = estimate_costs(resolved, measured, on_cpu)
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(cost_table(rows, unit))
    here = float(cluster.cpus if on_cpu else cluster.gpus)
    total, now = (
        sum(row.hours for row in rows),
        estimate_wall_seconds(resolved, measured, here, on_cpu),
    )
    device = next(iter(measured.timings.values())).device  # type: ignore[attr-defined]
    console.print(f"\ntimed on {device} in {spent:.0f} s, {samples_text(measured)}")
    for (phase, model), timing in measured.timings.items():
        console.print(f"{timed_name(phase, model)} trains in {timing.precision}")
    walls = [
        f"{duration(estimate_wall_seconds(resolved, measured, slots, on_cpu))} on {slots:g}"
        for slots in sorted({*SLOTS, here})
    ]
    console.print(f"wall time: {', '.join(walls)} {word}; this hardware has {here:g}")
    disk = sum(row.disk_mib for row in rows) + working_mib(measured, here)
    console.print(
        f"disk: {disk / 1024:.2f} GiB in the run folder, including checkpoints during the run"
    )
    for words, less in cheaper_grids(resolved).items():
        hours = total - sum(row.hours for row in estimate_costs(less, measured, on_cpu))
        saved = now - estimate_wall_seconds(less, measured, here, on_cpu)
        console.print(
            f"{words} would save {hours:.3g} {unit}-hours ({hours / total:.0%}) and "
            f"{duration(saved)} here"
        )
    console.print(excluded_text(resolved))


def samples_text(measured: Measurements) -> str:
    """The text that says what was timed."""
    names = (timed_name(phase, model) for phase, model in measured.timings)
    return f"a few steps each of {', '.join(names)}"


def timed_name(phase: str, model: str) -> str:
    """The name of a model, or of its pretraining."""
    return f"{model} pretraining" if phase == PRETRAIN else model


def excluded_text(resolved: ResolvedGrid) -> str:
    """The text that says what the estimate excludes."""
    tuning = resolved.grid.tuning
    pruned = (
        " Pruning stops trials early, so the cost is an upper bound."
        if tuning and tuning.prune
        else ""
    )
    return (
        "Not included: preparing the data, which is done, starting Ray and writing the "
        f"report.{pruned}"
    )


def cost_table(rows: list[CostEstimate], unit: str) -> Table:
    """A table with a row per cell and the total."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("cell", no_wrap=True)
    for title in ("trials", f"{unit}-hours", "peak GiB", "disk MiB"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            str(row.trials),
            f"{row.hours:.3g}",
            f"{row.peak_gib:.2f}",
            f"{row.disk_mib:.1f}",
        )
    hours, disk = sum(row.hours for row in rows), sum(row.disk_mib for row in rows)
    table.add_row(
        "all",
        str(sum(row.trials for row in rows)),
        f"{hours:.3g}",
        f"{max(row.peak_gib for row in rows):.2f}",
        f"{disk:.1f}",
    )
    return table
