"""Timings of a grid's models on a GPU that is not there: the steps that benchmarks/results/ holds
of named GPUs, scaled by multiply-adds. What needs no GPU is timed on this machine.
"""

import csv
import functools
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench
from trials.models.registry import MODELS
from trials.records.registry import unknown
from trials.records.spec import PRETRAIN, Cube, Recipe

if TYPE_CHECKING:
    from trials.data.prepared.cache import Cache
    from trials.records.job import Job
    from trials.training.timing import Timing

FIGURES = Path(bench.__file__).parents[1] / "benchmarks" / "results" / "gpu_steps.csv"
# A forward pass is a third of a training step: the backward pass multiplies twice as often.
FORWARD_SHARE = 1 / 3
# On an H200 a process took about 25 s to its first step, and a trial in a process that is reused 3.
PROCESS_SECONDS, SETUP_SECONDS = 25.0, 3.0
CORES_OF_A_GPU = 16
DISK_MIB_A_SECOND = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStep:
    """A training step that was measured: on which GPU, of which model, for a batch of cubes, or
    of slices, of an edge, compiled or not.
    """

    gpu: str
    memory_gib: float
    model: str
    batch: int
    edge: int
    is_compiled: bool
    seconds: float


def known_steps() -> tuple[KnownStep, ...]:
    """Every step on file. Raises ValueError where there is no file: it is part of a clone."""
    if not FIGURES.is_file():
        raise ValueError(
            f"{FIGURES}, the steps of named GPUs, is part of a clone and not of a wheel; run in a "
            "clone, or plan for this machine: `plan` without --like, `init` with --gpus 0"
        )
    lines = [line for line in FIGURES.read_text().splitlines() if not line.startswith("#")]
    return tuple(
        KnownStep(
            gpu=row["gpu"],
            memory_gib=float(row["memory_gib"]),
            model=row["model"],
            batch=int(row["batch"]),
            edge=int(row["edge"]),
            is_compiled=row["compiled"] == "yes",
            seconds=float(row["step_ms"]) / 1000,
        )
        for row in csv.DictReader(lines)
    )


def gpus_known() -> str:
    """The names of the GPUs on file."""
    return ", ".join(sorted({step.gpu for step in known_steps()}))


def steps_of(gpu: str) -> tuple[KnownStep, ...]:
    """The steps of a named GPU, capitals or not. Raises ValueError listing the known names."""
    steps = known_steps()
    found = tuple(step for step in steps if step.gpu.casefold() == gpu.strip().casefold())
    if not found:
        raise ValueError(f"--like: {unknown('GPU', gpu, {step.gpu for step in steps})}")
    return found


def step_seconds(
    model: str, recipe: Recipe, steps: Sequence[KnownStep], items: int, channels: int = 1
) -> tuple[float, bool]:
    """Seconds of a training step of a model, and whether it is compiled; items is the number of
    those of a whole training.

    A recorded step of the model counts by multiply-adds; a model without one takes the lowest rate
    of any recorded model of its dimension.
    """
    from trials.training.warm_up import compiles_on_gpu

    work = forward_work(model, recipe, channels)
    is_compiled = compiles_on_gpu(recipe, work * items)
    own = [step for step in steps if step.model == model]
    same = [step for step in own if step.is_compiled == is_compiled] or own
    alike = [step for step in steps if MODELS[step.model].dims == MODELS[model].dims]
    rates = [rate_of(step) for step in same or alike]
    return work * recipe.batch_size / min(rates), is_compiled


@functools.cache
def rate_of(step: KnownStep) -> float:
    """Forward multiply-adds a second of a recorded step, of a CT with four classes."""
    recipe = Recipe(epochs=1, batch_size=step.batch, preparation=Cube(edge=step.edge))
    return forward_work(step.model, recipe, 1) * step.batch / step.seconds


def forward_work(model: str, recipe: Recipe, channels: int, classes: int = 4) -> int:
    """Forward multiply-adds of one item of a recipe. Computes nothing."""
    from trials.models.build import item_multiply_adds

    module = empty_model(model, recipe, channels, classes)
    return item_multiply_adds(module, MODELS[model].dims, recipe, channels)


def empty_model(model: str, recipe: Recipe, channels: int, classes: int) -> Any:
    """A model whose tensors have a size and no memory."""
    import torch

    from trials.models.build import build, form_of

    with torch.device("meta"):
        return build(model, classes, **form_of(model, recipe, channels))


def timing_on(job: "Job", samplings: Sequence[str], steps: Sequence[KnownStep]) -> "Timing":
    """The timing of a job on a GPU of which these steps are known, without one."""
    from trials.data.prepared.cache import open_cache
    from trials.storage.atomic import to_path
    from trials.training.build import make_restoration, make_segmentation
    from trials.training.memory import step_gib
    from trials.training.optimizer import moment_bytes
    from trials.training.timing import Timing, steps_by_sampling

    model, recipe, is_pretraining = job.spec.cell.model, job.spec.recipe, job.spec.phase == PRETRAIN
    dims = MODELS[model].dims
    cache = open_cache(to_path(job.cache))
    task: Any = (make_restoration if is_pretraining else make_segmentation)(job, cache)[0]
    channels, classes = cache.channels, len(cache.classes)
    module = empty_model(model, recipe, channels, classes)
    items = task.epochs * task.steps * recipe.batch_size
    step, is_compiled = step_seconds(model, recipe, steps, items, channels)
    item = step * FORWARD_SHARE / recipe.batch_size
    weights = sum(tensor.nbytes for tensor in module.state_dict().values()) / 2**20
    checkpoint = 2 * weights + moment_bytes(module, recipe) / 2**20
    memory = step_gib(model, recipe, channels, classes, is_compiled)
    scored = () if is_pretraining else (*task.val, *task.train_scored)
    return Timing(
        first=PROCESS_SECONDS,
        setup=SETUP_SECONDS + (compile_seconds() if is_compiled else 0.0),
        step=step,
        validation=item * num_items(cache, scored, recipe, dims, recipe.validation_overlap),
        checkpoint=checkpoint / DISK_MIB_A_SECOND,
        steps=steps_by_sampling(task, cache, job, samplings),
        peak_gib=memory,
        gpu_gib=memory,
        memory_gib=steps[0].memory_gib,
        device=steps[0].gpu,
        precision="bfloat16" + (", compiled" if is_compiled else ""),
        checkpoint_mib=checkpoint,
        weights_mib=weights,
        **({} if is_pretraining else scoring_on(cache, job, item)),
    )


def scoring_on(cache: "Cache", job: "Job", item: float) -> dict[str, float]:
    """What scoring a case costs where the network predicts an item in so many seconds: what the
    processor does is timed here.
    """
    from trials.training.timing import counting_cost, scored_cases

    recipe, dims = job.spec.recipe, MODELS[job.spec.cell.model].dims
    with tempfile.TemporaryDirectory(prefix="segbench-plan-") as folder:
        cost = counting_cost(cache, job, Path(folder))
    for split, cases in scored_cases(job).items():
        number = num_items(cache, cases, recipe, dims, recipe.overlap)
        cost[f"{split}_case"] += item * number / len(cases)
    return cost


def compile_seconds() -> float:
    """Seconds that compiling takes, counted in every trial, although a node keeps what it made."""
    from trials.training.warm_up import COMPILE_SECONDS

    return COMPILE_SECONDS


def num_items(
    cache: "Cache", cases: Sequence[str], recipe: Recipe, dims: int, overlap: float
) -> int:
    """How many items a network predicts of these cases: windows, whole cubes, or slices."""
    from trials.inference.whole_cases import window_starts

    shapes = [cache.image(case).shape[1:] for case in cases]
    if recipe.patch is None:
        return sum(1 if dims == 3 else shape[0] for shape in shapes)
    patch = recipe.patch
    return sum(
        math.prod(len(window_starts(*axis, overlap)) for axis in zip(shape, patch, strict=True))
        for shape in shapes
    )
