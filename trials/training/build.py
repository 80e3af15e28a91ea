"""What a trial needs before its first step: the network with its initial weights, and the task with
its items, sampling weights and loss.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trials.data.batches.loading import Feed, ItemFeed, Items, slice_items, volume_items
from trials.data.batches.occurrence import count_classes
from trials.data.batches.patch_draws import crop, draw_facts, draws_of
from trials.data.batches.patches import THREADS, PatchFeed, patch_cases, patch_reader
from trials.data.batches.resident import source_on
from trials.data.prepared.cache import Cache, open_cache
from trials.data.sampling import SAMPLINGS, UNITS, sampling_facts
from trials.data.spacing.intensities import pads_of
from trials.inference.network import Network, on_best_device, pick_device
from trials.losses import build_target_loss
from trials.models.build import (
    bias_from_frequencies,
    bias_from_shares,
    build,
    build_with,
    form_of,
    heads_of,
    item_edges,
)
from trials.models.freezing import freeze, stages_of
from trials.models.initialise import Convolution
from trials.models.registry import MODELS
from trials.models.weights import check_digest
from trials.records.job import Job
from trials.records.registry import pick
from trials.records.spec import PRETRAIN, Hyper
from trials.records.targets import Targets, targets_text
from trials.storage.atomic import to_path
from trials.training.checkpoint import save_weights
from trials.training.tasks import Restoration, Segmentation
from trials.voxel_losses import OnAnnotated

# Patches of the first epoch whose classes are counted for the result.
COUNTED = 128


def make_network(job: Job, cache: Cache) -> Network:
    """Build the model with the trial's seed, initial weights and frozen stages, on the training
    device.

    Raises ValueError if a weights file does not fit, or if stages are to be frozen without given
    weights.
    """
    torch.manual_seed(job.spec.seed)
    module = first_weights(job, cache)
    return replace(
        on_best_device(module, job.spec, cache.channels),
        frozen=frozen_stages(job, module),
        accumulation_steps=job.accumulation_steps,
        patch=job.spec.recipe.patch,
        scalings=cache.scalings(job.train),
    )


def first_weights(job: Job, cache: Cache) -> nn.Module:
    """The model with its initial weights: those of job.weights, otherwise random; for pretraining,
    as many output channels as the images have.
    """
    spec, recipe = job.spec, job.spec.recipe
    form = form_of(spec.cell.model, recipe, cache.channels)
    if spec.phase == PRETRAIN:
        return build(spec.cell.model, cache.channels, **form)
    has_new_head, targets = True, targets_of(job, cache)
    if job.weights is None:
        module = build(spec.cell.model, targets.channels, **form)
    else:
        path = to_path(job.weights)
        if job.weights_sha256:
            check_digest(path, job.weights_sha256)
        module, loaded = build_with(spec.cell.model, path, targets.channels, **form)
        has_new_head = loaded.num_fitting < loaded.num_tensors
    if recipe.log_frequency_bias and has_new_head:
        set_bias(heads_of(spec.cell.model, module), job, cache)
    return module


def set_bias(heads: Sequence[Convolution], job: Job, cache: Cache) -> None:
    """Let training start from how often each class, or each region, occurs."""
    voxels = np.array(count_classes(cache, job.train).voxels, float)
    shares = voxels / voxels.sum()
    if not job.spec.regions:
        bias_from_frequencies(heads, shares.tolist())
        return
    of_regions = [float(shares[list(region.labels)].sum()) for region in job.spec.regions]
    bias_from_shares(heads, of_regions)


def targets_of(job: Job, cache: Cache) -> Targets:
    """What a trial's network predicts."""
    return Targets(len(cache.classes), job.spec.regions)


def frozen_stages(job: Job, module: nn.Module) -> list[nn.Module]:
    """Freeze the number of stages that the hyperparameters give, and return them."""
    count = int(scalar(job.spec.hyper, "frozen_stages", 0.0))
    if not count or job.spec.phase == PRETRAIN:
        return []
    if job.weights is None:
        raise ValueError(
            f"{job.spec.cell.model}: frozen_stages={count} needs weights; a frozen random encoder "
            "learns nothing"
        )
    return freeze(stages_of(job.spec.cell.model, module), count)


def make_segmentation(job: Job, cache: Cache) -> tuple[Segmentation, dict[str, object]]:
    """The task of a tuning or final trial, and its facts: class weights, sampling, dropped
    items.
    """
    spec, recipe = job.spec, job.spec.recipe
    targets = targets_of(job, cache)
    counts = count_classes(cache, job.train, recipe.class_unit, targets.regions)
    loss = build_target_loss(spec.cell.loss, counts, spec.hyper, targets)
    feed, steps, drawn = make_feed(job, cache, spec.cell.sampling)
    task = Segmentation(
        cache=cache,
        feed=feed,
        targets=targets,
        loss_function=OnAnnotated(loss, targets.num_labels) if cache.dataset.has_ignore else loss,
        recipe=recipe,
        lr=scalar(spec.hyper, "lr"),
        epochs=recipe.epochs,
        steps=steps,
        rungs=job.rungs,
        val=validation_cases(cache, job.val, recipe.validation_cases),
        train_scored=job.train[: recipe.train_cases_scored],
        patients=job.patients,
    )
    facts: dict[str, object] = drawn | {
        "class_counts": {unit: list(getattr(counts, unit)) for unit in UNITS},
        "class_weights": list(getattr(loss, "weights", None) or []),
        "targets": targets_text(targets.regions),
    }
    return task, facts


def make_feed(job: Job, cache: Cache, sampling: str) -> tuple[Feed, int, dict[str, object]]:
    """What a trial trains on, drawn by a sampling: patches, cubes, or slices for a 2D model; with
    its steps per epoch and its facts.
    """
    if job.spec.recipe.patch is not None:
        return patch_feed(job, cache, sampling)
    recipe, items = job.spec.recipe, training_items(job, cache)
    weights = pick(SAMPLINGS, "sampling", sampling).load()(items.class_voxels, recipe)
    kept = int((weights > 0).sum())
    feed = ItemFeed(
        source=source_on(items, pick_device()), weights=weights, batch_size=recipe.batch_size
    )
    facts: dict[str, object] = {
        "num_items": len(weights),
        "dropped_items": len(weights) - kept,
        "draws": sampling_facts(sampling, weights, items.class_voxels, recipe),
    }
    return feed, recipe.steps_per_epoch or -(-kept // recipe.batch_size), facts


def patch_feed(job: Job, cache: Cache, sampling: str) -> tuple[PatchFeed, int, dict[str, object]]:
    """make_feed for patches: an epoch is by default a patch of each case."""
    recipe, device, scalings = job.spec.recipe, pick_device(), cache.scalings(job.train)
    assert recipe.patch is not None, "a recipe at a spacing names its patch"
    draws = draws_of(patch_cases(cache, job.train), sampling, recipe)
    feed = PatchFeed(
        source=patch_reader(cache, job.train, recipe.patch, pads_of(scalings)),
        draws=draws,
        device=device,
        threads=THREADS if device.type == "cuda" else 0,
    )
    steps = recipe.steps_per_epoch or -(-len(job.train) // recipe.batch_size)
    facts: dict[str, object] = {
        "num_items": len(job.train),
        "dropped_items": int((draws.weights == 0).sum()),
        "draws": draw_facts(draws, job.spec.seed, min(COUNTED, steps * recipe.batch_size)),
        "intensities": [asdict(scaling) for scaling in scalings],
    }
    return feed, steps, facts


def make_restoration(job: Job, cache: Cache) -> tuple[Restoration, dict[str, object]]:
    """The task of a pretraining, with training cases only."""
    recipe = job.spec.recipe
    feed, steps, facts = make_feed(job, cache, "none")
    scored = [cache.image(case) for case in job.train[: max(1, recipe.train_cases_scored)]]
    if recipe.patch is not None:
        pads = pads_of(cache.scalings(job.train))
        scored = [middle(image, recipe.patch, pads) for image in scored]
    task = Restoration(
        feed=feed,
        recipe=recipe,
        lr=scalar(job.spec.hyper, "lr"),
        epochs=recipe.pretrain_epochs,
        steps=steps,
        seed=job.spec.seed,
        scored=scored,
    )
    return task, {"num_items": facts["num_items"]}


def middle(image: np.ndarray, patch: tuple[int, int, int], pads: np.ndarray) -> np.ndarray:
    """The patch in the middle of an image [C, D, H, W], with pads beyond its border."""
    room = np.array(image.shape[1:]) - np.array(patch)
    return crop(image, np.where(room < 0, -(-room // 2), room // 2), patch, pads)


def validation_cases(cache: Cache, cases: Sequence[str], number: int | None) -> tuple[str, ...]:
    """The cases scored in every validation: all, or a fixed number of them, spread over the cases
    in the order of which classes they hold and how much foreground.
    """
    if number is None or number >= len(cases):
        return tuple(cases)

    def stratum(case: str) -> tuple[tuple[bool, ...], int, str]:
        _, *voxels = cache.cases[case].class_voxels
        return tuple(count > 0 for count in voxels), sum(voxels), case

    ordered = sorted(cases, key=stratum)
    return tuple(ordered[(2 * one + 1) * len(ordered) // (2 * number)] for one in range(number))


def training_items(job: Job, cache: Cache) -> Items:
    """Volumes for a 3D model, slices for a 2D one."""
    if pick(MODELS, "model", job.spec.cell.model).dims == 3:
        return volume_items(cache, job.train)
    return slice_items(cache, job.train, job.spec.recipe.slice_axis)


def scalar(hyper: Hyper, name: str, default: float | None = None) -> float:
    """A hyperparameter that is one number. Raises ValueError where it is missing or a vector."""
    value = hyper.get(name, default)
    if not isinstance(value, int | float):
        raise ValueError(f"hyperparameter {name} must be a number; got {value!r}")
    return float(value)


def with_first_weights(job: Job, folder: Path) -> Job:
    """The job with random weights in place of weights that are still to be pretrained or
    downloaded: frozen stages need some.
    """
    recipe = job.spec.recipe
    if job.weights is not None or job.spec.weights == "random":
        return job
    channels = open_cache(to_path(job.cache)).channels
    module = build(
        job.spec.cell.model,
        channels,
        in_channels=channels,
        width=recipe.width,
        options=recipe.model_options,
        edges=item_edges(MODELS[job.spec.cell.model].dims, recipe),
    )
    save_weights(folder / "first.pt", module.state_dict())
    return replace(job, weights=str(folder / "first.pt"))
