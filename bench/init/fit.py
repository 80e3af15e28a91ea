"""Settings that fit a data set: how it is prepared, the size of a batch, and how many epochs a
budget of hours affords. Reads masks and headers; trains nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.execution.progress_bar import progress_bar
from bench.grids import FULL, STRONG, Cube, Recipe, Spacing, Tuning
from bench.plan.other_gpu import forward_work, step_seconds, steps_of
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import (
    DATASETS,
    Dataset,
    Split,
    default_dataset,
    default_scheme,
    detect_dataset,
    split_cases,
)
from trials.data.datasets.splits import class_voxels
from trials.data.spacing.plan import NativeGrid, fullres_mm, lowres_mm, median_size, native_grids
from trials.process.workers import run_on_cases

MODELS, SAMPLINGS, SEEDS = ("unet3d", "dynunet"), ("none",), (0, 1, 2)
TRIALS = 8
# A tuning trial has this share of the epochs of a final one, as in STRONG.
TUNED_SHARE = 0.3
GPU = "NVIDIA H200"
# The multiples that both models take, and the edges in which they learn.
STEP, SMALLEST, LARGEST = 16, 32, 128
# An epoch of few cases has this many steps: validations would take most of the time otherwise.
LEAST_STEPS, PATCH_STEPS = 50, 250
LEAST_EPOCHS, MOST_EPOCHS, VALIDATIONS = 10, FULL.recipes["3d"].epochs, 20
TRIAL_SECONDS = 10.0
# Of a case of patches: three along each axis.
WINDOWS = 27


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnData:
    """A data set with the voxels of every class in every case, its split, and its grids."""

    dataset: Dataset
    scheme: str
    split: Split
    grids: tuple[NativeGrid, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What is written into the grid: the recipe, the tuning, the losses; and the hours that the
    whole takes on so many GPUs, or cores if there are none.
    """

    recipe: Recipe
    tuning: Tuning
    losses: tuple[str, ...]
    hours: float
    budget: float
    gpus: int
    cores: int


def read_data(folder: Path, name: str | None, workers: int | None) -> OwnData:
    """Open a data set and count the voxels of its masks. Raises ValueError for a folder whose
    layout cannot be told.
    """
    dataset = open_dataset(name or told_dataset(folder), folder)
    with progress_bar("reading masks", len(dataset.cases)) as tick:
        voxels = run_on_cases(
            dataset.cases, partial(class_voxels, labels=dataset.labels), workers, tick, "read"
        )
    dataset = replace(dataset, class_voxels=voxels)
    scheme = default_scheme(dataset)
    return OwnData(
        dataset=dataset,
        scheme=scheme,
        split=split_cases(dataset, scheme, 0),
        grids=tuple(native_grids(dataset.cases, len(dataset.channels))),
    )


def told_dataset(folder: Path) -> str:
    """The data set that a folder is of, by its layout. Raises ValueError naming those known."""
    found = detect_dataset(folder)
    mask = DATASETS[found].mask_file
    if found == default_dataset() and not next(folder.glob(f"*/{mask}"), None):
        raise ValueError(
            f"{folder} must hold dataset.json (nnU-Net, the Decathlon) or CASE/{mask} (KiTS23); it "
            f"has neither; name what it is with --dataset: {', '.join(DATASETS)}"
        )
    return found


def fit(data: OwnData, gpus: int, cores: int, hours: float) -> Fit:
    """The settings for a data set: FULL's, with a cube where the cases are small and patches where
    they are not, and as many epochs as fit into so many hours on GPUs like the one on file, or on
    this machine's cores if gpus is 0.
    """
    recipe, losses = with_epochs(sized(data), MOST_EPOCHS), suitable_losses(data)
    step, channels = step_on_gpu if gpus else step_on_core(), len(data.dataset.channels)
    steps = {model: step(model, recipe, channels) for model in MODELS}
    choices = {
        epochs: wall_hours(data, with_epochs(recipe, epochs), len(losses), steps, gpus or cores)
        for epochs in range(LEAST_EPOCHS, MOST_EPOCHS + 1)
    }
    epochs = max((n for n, total in choices.items() if total <= hours), default=LEAST_EPOCHS)
    return Fit(
        recipe=with_epochs(recipe, epochs),
        tuning=Tuning(trials=TRIALS, epochs=tuned_epochs(epochs)),
        losses=losses,
        hours=choices[epochs],
        budget=hours,
        gpus=gpus,
        cores=cores,
    )


def sized(data: OwnData) -> Recipe:
    """The recipe for the size of the cases: a cube that holds the median case at full resolution,
    if its edge is at most 128; else patches at nnU-Net's low resolution.
    """
    size = median_size(data.grids, fullres_mm(data.grids))
    if size.max() <= LARGEST:
        steps = max(LEAST_STEPS, -(-len(data.split.train) // FULL.recipes["3d"].batch_size))
        return replace(
            FULL.recipes["3d"],
            preparation=Cube(edge=rounded(size.max())),
            steps_per_epoch=steps,
            # Neither model is pretrained.
            pretrain_epochs=Recipe(epochs=1, batch_size=1).pretrain_epochs,
        )
    d, h, w = map(rounded, median_size(data.grids, lowres_mm(data.grids)))
    return replace(
        STRONG.recipes["segresnet_ds"],
        preparation=Spacing(mm="lowres"),
        patch=(d, h, w),
        steps_per_epoch=PATCH_STEPS,
    )


def rounded(edge: float) -> int:
    """The next edge that the models take, at most 128."""
    return min(LARGEST, max(SMALLEST, int(-(-edge // STEP)) * STEP))


def suitable_losses(data: OwnData) -> tuple[str, ...]:
    """Dice with cross-entropy, and the class-balanced loss; focal where a class has no training
    case, since its weight is undefined.
    """
    voxels = data.dataset.class_voxels or {}
    counts = np.sum([voxels[case] for case in data.split.train], axis=0)
    return ("combined", "class_balanced" if counts.all() else "focal")


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe at so many epochs, with about twenty validations."""
    return replace(recipe, epochs=epochs, validate_every=max(1, epochs // VALIDATIONS))


def tuned_epochs(epochs: int) -> int:
    """The epochs of a tuning trial."""
    return max(1, round(TUNED_SHARE * epochs))


def wall_hours(
    data: OwnData, recipe: Recipe, losses: int, step_seconds: Mapping[str, float], places: int
) -> float:
    """Hours that the whole grid takes on so many GPUs or cores: steps, validations at a third of a
    step an item, and a constant for each trial. The trials of a cell's study follow one another.
    """
    cells = losses * len(SAMPLINGS)
    tuning = cells * TRIALS * model_seconds(data, recipe, tuned_epochs(recipe.epochs), step_seconds)
    finals = cells * len(SEEDS) * model_seconds(data, recipe, recipe.epochs, step_seconds)
    at_once = cells * len(MODELS)
    seconds = tuning / min(places, at_once) + finals / min(places, at_once * len(SEEDS))
    return seconds / 3600


def model_seconds(
    data: OwnData, recipe: Recipe, epochs: int, step_seconds: Mapping[str, float]
) -> float:
    """Seconds of one trial of every model, of so many epochs."""
    scored = min(len(data.split.val), recipe.validation_cases or len(data.split.val))
    items = (scored + recipe.train_cases_scored) * (WINDOWS if recipe.patch else 1)
    seconds = TRIAL_SECONDS * len(step_seconds)
    for step in step_seconds.values():
        validation = step / 3 / recipe.batch_size * items / recipe.validate_every
        seconds += epochs * ((recipe.steps_per_epoch or 1) * step + validation)
    return seconds


def step_on_gpu(model: str, recipe: Recipe, channels: int) -> float:
    """Seconds of a training step on the GPU on file."""
    items = recipe.epochs * (recipe.steps_per_epoch or 1) * recipe.batch_size
    return step_seconds(model, recipe, steps_of(GPU), items, channels)[0]


def step_on_core() -> Callable[[str, Recipe, int], float]:
    """Seconds of a training step on a core of this machine, by the rate of one step of a small
    network, timed here.
    """
    import torch

    from trials.models.build import build, form_of

    torch.set_num_threads(1)
    recipe = Recipe(epochs=1, batch_size=2, preparation=Cube(edge=32), width=16)
    module = build("unet3d", 2, **form_of("unet3d", recipe, 1))
    images = torch.zeros(2, 1, 32, 32, 32)
    module(images).mean().backward()
    start = time.perf_counter()
    module(images).mean().backward()
    rate = 2 * forward_work("unet3d", recipe, 1, 2) / (time.perf_counter() - start)
    return lambda model, recipe, channels: (
        forward_work(model, recipe, channels) * recipe.batch_size / rate
    )
