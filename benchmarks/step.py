"""An epoch of the trainer against a bare loop of forward, loss, backward and optimizer on tensors
at hand, for every model.

The two take turns at going first, a few steps each, since a shared machine's speed drifts by more
than what is measured.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.compare import keep
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.inference.network import Network
from trials.process.environment import reset_peak
from trials.records.job import Job
from trials.records.spec import TUNE, Cell, Cube, Recipe, TrialSpec
from trials.training.build import make_network, make_segmentation
from trials.training.loop import train_epoch
from trials.training.optimizer import make_optimizer
from trials.training.tasks import Segmentation

EDGE, STEPS, ROUNDS = 48, 2, 24
VOLUMES = Recipe(
    epochs=1,
    batch_size=2,
    steps_per_epoch=STEPS,
    preparation=Cube(edge=EDGE),
    width=8,
    weights="random",
)
SLICES = replace(VOLUMES, batch_size=16, width=None)
MODELS = {
    "unet3d": VOLUMES,
    "vnet": VOLUMES,
    "segresnet": VOLUMES,
    "unet2d_resnet18": SLICES,
    "unet2d_resnet50": SLICES,
}


def job_of(folder: Path, cache: Cache, model: str) -> Job:
    """A trial of a model on eight phantoms."""
    cases = tuple(cache.cases)
    cell = Cell(model=model, loss="combined", sampling="none")
    spec = TrialSpec(
        dataset="phantoms",
        data=cache.digest,
        splits="sequential",
        fold=0,
        cell=cell,
        hyper={"lr": 1e-3},
        recipe=MODELS[model],
        seed=0,
        phase=TUNE,
    )
    return Job(
        trial=model,
        spec=spec,
        out=str(folder),
        cache=str(cache.folder),
        train=cases[:8],
        val=cases[8:],
    )


def trainer(network: Network, task: Segmentation, recipe: Recipe) -> tuple[float, float]:
    """Seconds of processor time a step of the trainer's own epoch, and the share of its time that
    was not the model's.
    """
    optimizer, scheduler = make_optimizer(
        network.module, task.lr, task.epochs * task.steps, replace(recipe, optimizer="adam")
    )
    started = time.process_time()
    passed = train_epoch(network, task, recipe, np.random.default_rng(0), optimizer, scheduler)
    return (time.process_time() - started) / STEPS, 1 - passed.model_seconds / passed.seconds


def bare(network: Network, task: Segmentation) -> float:
    """Seconds of processor time a step on one batch that is there as float32."""
    images, labels = next(iter(task.batches(np.random.default_rng(0))))
    images, module, loss = images.float(), network.module.train(), task.loss_function
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    started = time.process_time()
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        with network.low_precision():
            logits = module(images)
        loss(logits.float(), labels).backward()
        optimizer.step()
    return (time.process_time() - started) / STEPS


def row(model: str, network: Network, task: Segmentation) -> str:
    """A model's line: median milliseconds of both, the median ratio of a round with its error, the
    share beside the model.
    """
    ours, theirs, beside = [], [], []
    for number in range(ROUNDS + 1):
        seconds = bare(network, task) if number % 2 else 0.0
        own, share = trainer(network, task, MODELS[model])
        ours.append(own)
        theirs.append(seconds or bare(network, task))
        beside.append(share)
    ratios = np.array(ours[1:]) / np.array(theirs[1:])
    draws = np.median(np.random.default_rng(0).choice(ratios, (2000, ROUNDS)), axis=1)
    medians = [1000 * statistics.median(each[1:]) for each in (ours, theirs)]
    error, share = draws.std(), 100 * statistics.median(beside[1:])
    return (
        f"{model:20} {medians[0]:11.1f} {medians[1]:13.1f} {np.median(ratios):7.3f} "
        f"{error:6.3f} {share:14.2f}"
    )


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    # As a trial starts; the bare loop has the same memory.
    reset_peak()
    lines = [
        f"{'model':20} {'trainer ms':>11} {'bare loop ms':>13} {'ratio':>7} {'+/-':>6} "
        f"{'beside model %':>14}"
    ]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_phantoms(place / "phantoms", 9, 0)
        folder = prepare_dataset(
            open_dataset("phantoms", place / "phantoms"), Cube(edge=EDGE), place / "cache"
        )
        cache = open_cache(folder)
        for model in MODELS:
            job = job_of(place, cache, model)
            network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
            lines.append(row(model, network, task))
    keep(
        "step",
        f"A training step at {EDGE}^3 (2D: 16 slices of {EDGE}^2), processor time, one thread, no "
        "augmentation",
        lines,
    )


if __name__ == "__main__":
    main()
