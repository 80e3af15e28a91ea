"""Times the parts of a trial on this machine: sets up, trains for a few steps, validates, scores,
and deletes the results.

The prediction to score is the reference shifted by a voxel, which takes as long as a trained
network's.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from trials.data.prepared.cache import Cache, open_cache
from trials.data.sampling import SAMPLINGS
from trials.inference.ceiling import certain_planes, certainties
from trials.inference.evaluate import (
    Evaluated,
    Evaluation,
    Prediction,
    predicted,
    predicted_labels,
    score_case,
)
from trials.inference.network import Network, mirrored
from trials.models.build import item_multiply_adds
from trials.process.environment import device_name, memory_gib, peak_gib, reset_peak
from trials.records.job import Job
from trials.records.registry import pick
from trials.records.spec import PRETRAIN
from trials.records.targets import Targets
from trials.storage.atomic import to_path
from trials.training.build import (
    make_network,
    make_restoration,
    make_segmentation,
    training_items,
    with_first_weights,
)
from trials.training.checkpoint import Checkpoints, save_weights
from trials.training.loop import train_epoch
from trials.training.memory import limit_share, step_gib
from trials.training.optimizer import make_optimizer, moment_bytes
from trials.training.progress import Progress, checkpoint_state
from trials.training.tasks import Restoration, Segmentation
from trials.training.warm_up import beside_network, compiles_on_gpu, precision_text, warm_up

R = TypeVar("R")
# Steps are timed for at least this long and this many, after two warm-up steps.
MEASURED_SECONDS = 2.0
LEAST_STEPS = 3
now = time.perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Costs of one model with one recipe. Seconds: once per process, set-up, a training step, an
    epoch's validation, a checkpoint, and scoring a case of a split.

    steps gives the steps per epoch of each sampling. precision gives the training precision and the
    result of its check. gpu_gib is the memory of a GPU that a step takes: the peak where there is
    one, else an estimate. memory_gib is the total memory of the GPU, or else of the machine.
    checkpoint_mib and weights_mib are file sizes; the other mib are the files of a scored case.
    """

    first: float
    setup: float
    step: float
    validation: float
    checkpoint: float
    val_case: float = 0.0
    test_case: float = 0.0
    steps: dict[str, int]
    peak_gib: float
    gpu_gib: float
    memory_gib: float
    device: str
    precision: str
    checkpoint_mib: float
    weights_mib: float
    val_case_mib: float = 0.0
    test_case_mib: float = 0.0


def time_trial(job: Job, samplings: Sequence[str]) -> Timing:
    """Time the parts of a job. Raises what the trial itself would raise, including
    torch.OutOfMemoryError.
    """
    torch.set_num_threads(job.threads)
    limit_share(job.spec.recipe.gpu_share)
    reset_peak()
    with tempfile.TemporaryDirectory(prefix="segbench-plan-") as folder:
        job = replace(with_first_weights(job, Path(folder)), out=folder)
        first, _ = timed(lambda: set_up(job))
        setup, (cache, task, network, precision) = timed(lambda: set_up(job))
        step = step_seconds(network, task, job)
        validation = validation_seconds(network, task)
        saving, checkpoint_mib, weights_mib = saving_cost(network, task, job, Path(folder))
        scored = (
            {} if job.spec.phase == PRETRAIN else scoring_cost(network, cache, job, Path(folder))
        )
        peak = peak_gib(network.device)
        return Timing(
            first=max(0.0, first - setup),
            setup=setup + counting_seconds(network, job),
            step=step,
            validation=validation,
            checkpoint=saving,
            steps=steps_by_sampling(task, cache, job, samplings),
            peak_gib=peak,
            gpu_gib=peak if network.device.type == "cuda" else gpu_estimate(network, task, job),
            memory_gib=memory_gib(network.device),
            device=device_name(network.device),
            precision=precision,
            checkpoint_mib=checkpoint_mib,
            weights_mib=weights_mib,
            **scored,
        )


def gpu_estimate(network: Network, task: Segmentation | Restoration, job: Job) -> float:
    """The estimated GiB of a GPU that a training step of a job takes."""
    model, recipe, channels = job.spec.cell.model, job.spec.recipe, network.channels
    work = item_multiply_adds(network.module, network.dims, recipe, channels)
    is_compiled = compiles_on_gpu(recipe, work * task.epochs * task.steps * recipe.batch_size)
    classes = len(open_cache(to_path(job.cache)).classes)
    return step_gib(model, recipe, channels, classes, is_compiled)


def set_up(job: Job) -> tuple[Cache, Segmentation | Restoration, Network, str]:
    """Everything that a trial has before its first step, and its precision in words."""
    cache = open_cache(to_path(job.cache))
    task = (make_restoration if job.spec.phase == PRETRAIN else make_segmentation)(job, cache)[0]
    network, facts = warm_up(make_network(job, cache), task, job.spec)
    task = beside_network(network, task, job.spec)
    return cache, task, network, precision_text(network, facts)


def timed(work: Callable[[], R]) -> tuple[float, R]:
    """The seconds that work() takes, and what it returns."""
    clock = now()
    result = work()
    return now() - clock, result


def counting_seconds(network: Network, job: Job) -> float:
    """Seconds to count the network's multiply-adds, which each trial does once."""
    network.module.eval()
    recipe, channels = job.spec.recipe, network.channels
    return timed(lambda: item_multiply_adds(network.module, network.dims, recipe, channels))[0]


def step_seconds(network: Network, task: Segmentation | Restoration, job: Job) -> float:
    """Mean seconds of a training step: two warm-up steps, then twice as many each time until
    MEASURED_SECONDS have passed.
    """
    recipe, generator = job.spec.recipe, np.random.default_rng(0)
    optimizer, scheduler = make_optimizer(network.module, task.lr, 1_000_000 * task.steps, recipe)
    train_epoch(network, replace(task, steps=2), recipe, generator, optimizer, scheduler)
    steps, spent, number = 0, 0.0, LEAST_STEPS
    while spent < MEASURED_SECONDS:
        part = replace(task, steps=number)
        epoch = partial(train_epoch, network, part, recipe, generator, optimizer, scheduler)
        spent, steps, number = spent + timed(epoch)[0], steps + number, 2 * number
    return spent / steps


def validation_seconds(network: Network, task: Segmentation | Restoration) -> float:
    """Seconds of an epoch's validation, extrapolated from a batch or two of its cases."""
    if isinstance(task, Restoration):
        return warm_seconds(lambda: task.validate(network))
    few = max(2, task.recipe.batch_size if network.dims == 3 else 2)
    part = replace(task, val=task.val[:few], train_scored=task.train_scored[:few])
    cases, of_all = len(part.val) + len(part.train_scored), len(task.val) + len(task.train_scored)
    return warm_seconds(lambda: part.validate(network)) * of_all / cases


def warm_seconds(work: Callable[[], object]) -> float:
    """The seconds that work() takes the second time."""
    work()
    return timed(work)[0]


def saving_cost(
    network: Network, task: Segmentation | Restoration, job: Job, folder: Path
) -> tuple[float, float, float]:
    """Seconds of a checkpoint, its MiB, and the MiB of the weights alone."""
    optimizer, scheduler = make_optimizer(network.module, task.lr, task.steps, job.spec.recipe)
    best = {name: tensor.detach().cpu() for name, tensor in network.module.state_dict().items()}
    state = checkpoint_state(Progress(best_weights=best), network.module, optimizer, scheduler)
    kept = Checkpoints(folder=folder / "checkpoints", spec=job.spec)
    seconds, _ = timed(lambda: kept.save(0, state))
    save_weights(folder / "best.pt", best)
    # The optimizer keeps these only from its first step on.
    moments = moment_bytes(network.module, job.spec.recipe) / 2**20
    return seconds, size_mib(folder / "checkpoints") + moments, size_mib(folder / "best.pt")


def scoring_cost(network: Network, cache: Cache, job: Job, folder: Path) -> dict[str, float]:
    """Seconds of scoring a validation and a test case of average size, and the MiB of their
    files.
    """
    plan, cost = evaluation(cache, job, folder), counting_cost(cache, job, folder)
    for split, cases in scored_cases(job).items():
        case = middle_case(cache, cases)
        forward, _ = timed(partial(list, predicted(network, plan, {split: (case,)})))
        if split == "test" and job.spec.recipe.mirror_test:
            forward += timed(partial(list, predicted(mirrored(network), plan, {split: (case,)})))[0]
        cost[f"{split}_case"] += forward * mean_voxels(cache, cases) / voxels(cache, case)
    return cost


def counting_cost(cache: Cache, job: Job, folder: Path) -> dict[str, float]:
    """scoring_cost without the network: what the processor does, and the files."""
    plan, cost = evaluation(cache, job, folder), {}
    for split, cases in scored_cases(job).items():
        case = middle_case(cache, cases)
        shifted = partial(predicted_labels, plan, case, shifted_logits(plan, case))
        # Of a case larger than a patch this is part of its prediction, timed elsewhere.
        shifted = shifted if job.spec.recipe.patch is None else partial(replace, shifted())
        counting, evaluated = timed(partial(_score, plan, shifted, case, split))
        cost[f"{split}_case"] = counting * mean_voxels(cache, cases) / voxels(cache, case)
        cost[f"{split}_case_mib"] = len(json.dumps(asdict(evaluated), indent=1)) / 2**20
    if job.test:
        cost["test_case_mib"] += size_mib(folder / "pictures") + size_mib(folder / "predictions")
    return cost


def scored_cases(job: Job) -> dict[str, tuple[str, ...]]:
    """The cases of a job that are scored at its end, by split; without the splits that have
    none.
    """
    return {split: cases for split, cases in (("val", job.val), ("test", job.test)) if cases}


def evaluation(cache: Cache, job: Job, folder: Path) -> Evaluation:
    """How the job's cases are scored, with all files below folder."""
    return Evaluation(
        cache=cache,
        batch_size=job.spec.recipe.batch_size,
        regions=job.spec.regions,
        overlap=job.spec.recipe.overlap,
        references=folder / "cases",
        pictures=folder / "pictures",
        predictions=folder / "predictions" if job.save_predictions else None,
    )


def _score(plan: Evaluation, predict: Callable[[], Prediction], case: str, split: str) -> Evaluated:
    return score_case(plan, predict(), case, split)


def shifted_logits(plan: Evaluation, case: str) -> Iterator[Tensor]:
    """Logits [K, 1, H, W] of each plane of a prediction that is the reference shifted by a
    voxel.
    """
    targets = Targets(len(plan.cache.classes), plan.regions)
    shifted = np.roll(plan.cache.labels(case), 1, axis=0)
    planes = certain_planes(shifted, targets.num_labels)
    return (8 * known for known in certainties(planes, targets))


def middle_case(cache: Cache, cases: Sequence[str]) -> str:
    """The case of median size on its own grid."""
    return sorted(cases, key=lambda case: (voxels(cache, case), case))[len(cases) // 2]


def voxels(cache: Cache, case: str) -> int:
    """Voxels of a case's own grid."""
    return int(np.prod(cache.cases[case].shape))


def mean_voxels(cache: Cache, cases: Sequence[str]) -> float:
    """Mean voxels of the cases' own grids."""
    return sum(voxels(cache, case) for case in cases) / len(cases)


def steps_by_sampling(
    task: Segmentation | Restoration, cache: Cache, job: Job, samplings: Sequence[str]
) -> dict[str, int]:
    """Steps per epoch of each sampling, which may drop items."""
    recipe = job.spec.recipe
    if recipe.steps_per_epoch or recipe.patch is not None or isinstance(task, Restoration):
        return dict.fromkeys(samplings, task.steps)
    voxels = training_items(job, cache).class_voxels
    weights = {name: pick(SAMPLINGS, "sampling", name).load()(voxels, recipe) for name in samplings}
    return {name: -(-int((kept > 0).sum()) // recipe.batch_size) for name, kept in weights.items()}


def size_mib(path: Path) -> float:
    """Size in MiB of a file or of all files in a folder; 0 if there is none."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20
