"""The printed estimate of a grid: a table by cell, wall times, disk, and what less would save."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bench.grid.resolve import ResolvedGrid
from bench.plan.estimate import (
    CostEstimate,
    Measurements,
    cheaper_grids,
    estimate_costs,
    estimate_wall_seconds,
    working_mib,
)
from trials.records.result import duration
from trials.records.spec import PRETRAIN
from trials.records.targets import targets_text

if TYPE_CHECKING:
    from bench.tuning.driver import Cluster

SLOTS = (1, 4, 8)


def print_plan(
    resolved: ResolvedGrid, measured: Measurements, cluster: "Cluster", source: str
) -> None:
    """Print the estimate to standard output; source says where the timings come from."""
    on_cpu = not cluster.gpus
    unit, word = ("core", "cores") if on_cpu else ("GPU", "GPUs")
    rows = estimate_costs(resolved, measured, on_cpu)
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(cost_table(rows, unit, on_cpu))
    here = float(cluster.cpus if on_cpu else cluster.gpus)
    total, now = (
        sum(row.hours for row in rows),
        estimate_wall_seconds(resolved, measured, here, on_cpu),
    )
    console.print(f"\n{source}", soft_wrap=True)
    if resolved.regions:
        told = f"networks predict {targets_text(resolved.regions)}"
        console.print(told, markup=False, soft_wrap=True)
    for (phase, model), timing in measured.timings.items():
        console.print(f"{timed_name(phase, model)} trains in {timing.precision}")
    walls = [
        f"{duration(estimate_wall_seconds(resolved, measured, slots, on_cpu))} on {slots:g}"
        for slots in sorted({*SLOTS, here})
    ]
    console.print(f"wall time: {', '.join(walls)} {word}; planned for {here:g}")
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
    if on_cpu:
        console.print(
            'GPU GiB are estimates; for times on a GPU, add --gpus N --like "NVIDIA H200"'
        )


def timed_text(measured: Measurements, spent: float) -> str:
    """The text that says what was timed, on which device."""
    names = (timed_name(phase, model) for phase, model in measured.timings)
    device = next(iter(measured.timings.values())).device  # type: ignore[attr-defined]
    return f"timed on {device} in {spent:.0f} s, a few steps each of {', '.join(names)}"


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


def cost_table(rows: list[CostEstimate], unit: str, on_cpu: bool) -> Table:
    """A table with a row per cell and the total. Without a GPU it has a column with the memory that
    a trial would take of one.
    """
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("cell", no_wrap=True)
    titles = ("trials", f"{unit}-hours", "peak GiB", *(("GPU GiB",) if on_cpu else ()), "disk MiB")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    total = CostEstimate(
        name="all",
        trials=sum(row.trials for row in rows),
        hours=sum(row.hours for row in rows),
        peak_gib=max(row.peak_gib for row in rows),
        gpu_gib=max(row.gpu_gib for row in rows),
        disk_mib=sum(row.disk_mib for row in rows),
    )
    for row in (*rows, total):
        gpu = (f"{row.gpu_gib:.2f}",) if on_cpu else ()
        texts = (f"{row.hours:.3g}", f"{row.peak_gib:.2f}", *gpu, f"{row.disk_mib:.1f}")
        table.add_row(row.name, str(row.trials), *texts)
    return table
