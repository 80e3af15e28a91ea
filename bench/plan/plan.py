"""segbench plan: estimates the cost of a grid on the given hardware by timing real training steps
on it; and cuts a grid that is run to the hours given, by the same timings.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.grid.own_data import PatientNumbers, on_data
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
from bench.plan.budget import Bought, cut_to, recorded_purchase
from bench.plan.estimate import Measurements, models_to_time
from bench.plan.printing import print_plan, timed_text
from bench.verb import FINISHED
from trials.records.spec import FINAL, input_text

if TYPE_CHECKING:
    from bench.execution.ready import ReadyGrid
    from bench.plan.other_gpu import KnownStep
    from bench.tuning.driver import Cluster
    from bench.tuning.measure import Sample
    from trials.records.job import Job

# What a grid can resolve with so many patients, as lines.
Resolvable = Callable[[Grid, PatientNumbers], list[str]]


def plan_grid(options: argparse.Namespace, resolvable: Resolvable) -> int:
    """Check and prepare a grid, time its models and print the estimate, then the lines on what it
    can resolve; returns 0. Raises ValueError for a grid that cannot run.
    """
    from bench.execution.ready import DataPlaces, make_ready
    from bench.execution.start_weights import weight_files
    from bench.run_folder.own_places import refuse_cache
    from bench.tuning.driver import check_room, connect

    refuse_flags(options)
    grid, grid_text = load_grid(options.grid)
    grid = on_data(grid, options.dataset, options.fold, options.targets)
    check_grid(grid)
    given = weight_files(options.weights, resolve(grid, before_data(grid)))
    console, runs = Console(stderr=True, markup=False, emoji=False), Path("runs").absolute()
    cache = (options.cache or runs / "cache").absolute()
    refuse_cache(cache, options.data)
    places = DataPlaces(data=options.data, made=runs / "data", cache=cache)
    declared = resolve(grid, before_data(grid, given))
    # Steps take as long from random weights, so that planning needs no network.
    ready = make_ready(declared, given, places, console, fetch=lambda _: {})
    if options.like:
        cluster, measured, source = measure_like(ready, options.like, options.gpus or 1)
    else:
        cluster, clock = connect(options.address), time.monotonic()
        check_room(grid, cluster.most)
        measured = measure_grid(ready, cluster, grid_text)
        source = timed_text(measured, time.monotonic() - clock)
    resolved = ready.resolved
    if options.gpu_hours is not None:
        bought = cut_to(options.gpu_hours, resolved, measured, on_cpu=not cluster.gpus)
        print(bought)
        resolved = replace(resolved, grid=bought.grid(grid))
    print_plan(resolved, measured, cluster, source)
    print(*resolvable(resolved.grid, ready.patients()), sep="\n")
    return FINISHED


def buy(
    ready: "ReadyGrid", options: argparse.Namespace, grid_text: str, console: Console, out: Path
) -> Bought:
    """What options.gpu_hours buy of a grid: as run.json in out says if it was bought for as much
    before, else by timing a few steps of each model. Raises ValueError if the hours do not buy one
    training of each cell.
    """
    from bench.tuning.driver import check_room, connect

    grid = ready.resolved.grid
    bought = recorded_purchase(out, grid, options.gpu_hours)
    if bought is None:
        cluster = connect(options.address)
        check_room(grid, cluster.most)
        measured = measure_grid(ready, cluster, grid_text)
        bought = cut_to(options.gpu_hours, ready.resolved, measured, on_cpu=not cluster.gpus)
    console.print(str(bought), highlight=False, soft_wrap=True)
    return bought


def measure_grid(ready: "ReadyGrid", cluster: "Cluster", grid_text: str) -> Measurements:
    """Time a few steps of each model of a grid where its trials would run."""
    from bench.tuning.measure import measure

    wanted = models_to_time(ready.resolved)
    samples = [make_sample(ready, cluster, *one) for one in wanted]
    return gather_measurements(ready, wanted, measure(samples, grid_text), cluster)


def refuse_flags(options: argparse.Namespace) -> None:
    """Raise ValueError for --gpus without --like, for --like with --address, and for a GPU without
    figures.
    """
    from bench.plan.other_gpu import gpus_known, steps_of

    if options.gpus and not options.like:
        raise ValueError(
            "--gpus N plans for GPUs that are not here, so it needs --like, the name of a GPU "
            f"whose steps are on file: {gpus_known()}"
        )
    if options.like and options.address:
        raise ValueError("--like plans without any hardware; leave out --address")
    if options.like:
        steps_of(options.like)


def measure_like(ready: "ReadyGrid", gpu: str, number: int) -> tuple["Cluster", Measurements, str]:
    """So many GPUs of a name, the timings from the figures on file, and the text that says so."""
    from bench.plan.other_gpu import CORES_OF_A_GPU, FIGURES, PROCESS_SECONDS, steps_of, timing_on
    from bench.tuning.driver import Cluster, check_room, smallest_share

    resolved, steps = ready.resolved, steps_of(gpu)
    cluster = Cluster(cpus=CORES_OF_A_GPU * number, gpus=float(number), most=float(number))
    check_room(resolved.grid, cluster.most)
    timings: dict[tuple[str, str], Any] = {
        (phase, model): timing_on(
            make_timed_job(ready, resolved.models[model], phase), samplings_of(ready, model), steps
        )
        for phase, model in models_to_time(resolved)
    }
    measured = Measurements(
        timings=timings,
        num_val=ready.largest("val"),
        num_test=ready.largest("test"),
        start=PROCESS_SECONDS,
        scoring_threads=cluster.cores_per_trial(smallest_share(resolved.grid)),
    )
    text = (
        f"nothing was timed on a GPU here: these are another machine's figures, of one "
        f"{steps[0].gpu} ({FIGURES.name}), scaled by multiply-adds; scoring was timed on this "
        "machine's processor, and peak GiB are estimates"
    )
    return cluster, measured, "\n".join([text, *remarks(resolved, timings, steps)])


def remarks(
    resolved: ResolvedGrid,
    timings: Mapping[tuple[str, str], Any],
    steps: "Sequence[KnownStep]",
) -> list[str]:
    """A line on each model without a step on file, and on each that may need more memory than its
    share of the GPU.
    """
    recorded, found = {step.model for step in steps}, []
    for model, one in resolved.models.items():
        if model not in recorded:
            found.append(
                f"no step of {model} is on file; it takes the lowest rate of the other models"
            )
        needed = max(timing.gpu_gib for (_, name), timing in timings.items() if name == model)
        share = steps[0].memory_gib * min(1.0, one.recipe.gpu_share)
        if needed > share:
            found.append(
                f"{model} takes about {needed:.0f} GiB, more than its share of {share:.0f}; lower "
                "its batch_size or size, or raise gpu_share"
            )
    return found


def samplings_of(ready: "ReadyGrid", model: str) -> tuple[str, ...]:
    """The samplings whose steps are counted for a model: "none", and those of its cells."""
    cells = ready.resolved.grid.cells
    return tuple(dict.fromkeys(["none", *(c.sampling for c in cells if c.model == model)]))


def make_sample(ready: "ReadyGrid", cluster: "Cluster", phase: str, model: str) -> "Sample":
    """The job that is timed for a model: the default of its first cell, or its pretraining."""
    from bench.tuning.measure import Sample, node_cpus
    from trials.records.codec import to_json

    one = ready.resolved.models[model]
    gpu_share = one.recipe.gpu_share if cluster.gpus else 0.0
    copies = node_cpus() if not cluster.gpus else max(1, int(1 / gpu_share)) if gpu_share else 1
    return Sample(
        job=to_json(make_timed_job(ready, one, phase)),
        samplings=samplings_of(ready, model),
        gpu_share=gpu_share,
        copies=copies,
    )


def make_timed_job(ready: "ReadyGrid", one: ResolvedCell, phase: str) -> "Job":
    """The job of a trial of this phase, without a run folder."""
    from trials.records.job import Job

    seed, prepared = ready.resolved.grid.seeds[0], ready.prepared[one.fold]
    split, is_final = prepared.split, phase == FINAL
    spec = final_spec(one, 0, one.default, seed) if is_final else pretrain_spec(one, seed)
    assert spec is not None
    file = ready.files.get(one.cell.model) if is_final and spec.weights != "random" else None
    return Job(
        trial="plan",
        spec=spec,
        out="",
        cache=str(prepared.folders[spec.recipe.preparation]),
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
    resolved = ready.resolved
    for (_, model), copies in zip(wanted, taken, strict=True):
        if errors := [copy["error"] for copy in copies if "error" in copy]:
            raise ValueError(f"grid {resolved.grid.name!r}: {model} cannot run here: {errors[0]}")
        check_memory(resolved, model, copies, cluster)
    timings = {key: average_timings(copies) for key, copies in zip(wanted, taken, strict=True)}
    return Measurements(
        timings=timings,
        num_val=ready.largest("val"),
        num_test=ready.largest("test"),
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
