"""An epoch of the trainer against a bare loop of forward, loss, backward and optimizer on tensors at hand, for every model."""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.compare import keep
from trials.data.cache import Cache, open_cache, prepare_dataset
from trials.data.datasets import open_dataset
from trials.data.phantoms import write_phantoms
from trials.environment import reset_peak
from trials.fit import descent, train_epoch
from trials.job import Job
from trials.network import Network
from trials.segment import Segmentation
from trials.setup import make_network, make_segmentation
from trials.spec import TUNE, Cell, Preparation, Recipe, TrialSpec

EDGE, STEPS, ROUNDS = 48, 6, 9
VOLUMES = Recipe(epochs=1, batch_size=2, steps_per_epoch=STEPS, preparation=Preparation(cube=EDGE), width=8, weights="random")
SLICES = replace(VOLUMES, batch_size=16, width=None)
MODELS = {"unet3d": VOLUMES, "vnet": VOLUMES, "segresnet": VOLUMES, "unet2d_resnet18": SLICES, "unet2d_resnet50": SLICES}


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
    return Job(trial=model, spec=spec, out=str(folder), cache=str(cache.folder), train=cases[:8], val=cases[8:])


def trainer(network: Network, task: Segmentation, recipe: Recipe) -> float:
    """Seconds of processor time a step of the trainer's own epoch."""
    optimizer, scheduler = descent(network.module, task, replace(recipe, optimizer="adam"))
    started = time.process_time()
    train_epoch(network, task, recipe, np.random.default_rng(0), optimizer, scheduler)
    return (time.process_time() - started) / STEPS


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


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    # As a trial starts; the bare loop has the same memory.
    reset_peak()
    lines = [f"{'model':20} {'trainer ms':>11} {'bare loop ms':>13} {'ratio':>7} {'ratios of the rounds':>34}"]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_phantoms(place / "phantoms", 9, 0)
        folder = prepare_dataset(open_dataset("phantoms", place / "phantoms"), Preparation(cube=EDGE), place / "cache")
        cache = open_cache(folder)
        for model, recipe in MODELS.items():
            job = job_of(place, cache, model)
            network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
            bare(network, task)
            pairs = [(trainer(network, task, recipe), bare(network, task)) for _ in range(ROUNDS)]
            ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
            ratios = " ".join(f"{a / b:.3f}" for a, b in pairs)
            lines.append(f"{model:20} {1000 * ours:11.1f} {1000 * theirs:13.1f} {ours / theirs:7.3f} {ratios:>34}")
    keep("step", f"A training step at {EDGE}^3 (2D: 16 slices of {EDGE}^2), processor time, one thread, no augmentation", lines)


if __name__ == "__main__":
    main()
