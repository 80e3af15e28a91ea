"""What a trial needs before its first step: the network with its initial weights, and the task with
its items, sampling weights and loss.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from trials.data.batches.loading import Items, slice_items, volume_items
from trials.data.batches.occurrence import count_classes
from trials.data.batches.resident import source_on
from trials.data.prepared.cache import Cache
from trials.data.sampling import SAMPLINGS, UNITS, sampling_facts
from trials.inference.network import Network, on_best_device, pick_device
from trials.losses import build_loss
from trials.models.build import bias_from_frequencies, build, build_with, form_of, heads_of
from trials.models.freezing import freeze, stages_of
from trials.models.registry import MODELS
from trials.models.weights import check_digest
from trials.records.job import Job
from trials.records.registry import pick
from trials.records.spec import PRETRAIN, Hyper
from trials.storage.atomic import to_path
from trials.training.pretraining import Restoration
from trials.training.segmentation import Segmentation
from trials.voxel_losses import OnAnnotated


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
    )


def first_weights(job: Job, cache: Cache) -> nn.Module:
    """The model with its initial weights: those of job.weights, otherwise random; for pretraining,
    as many output channels as the images have.
    """
    spec, recipe = job.spec, job.spec.recipe
    form = form_of(spec.cell.model, recipe, cache.channels)
    if spec.phase == PRETRAIN:
        return build(spec.cell.model, cache.channels, **form)
    has_new_head = True
    if job.weights is None:
        module = build(spec.cell.model, len(cache.classes), **form)
    else:
        path = to_path(job.weights)
        if job.weights_sha256:
            check_digest(path, job.weights_sha256)
        module, loaded = build_with(spec.cell.model, path, len(cache.classes), **form)
        has_new_head = loaded.num_fitting < loaded.num_tensors
    if recipe.log_frequency_bias and has_new_head:
        voxels = np.array(count_classes(cache, job.train).voxels, float)
        bias_from_frequencies(heads_of(spec.cell.model, module), (voxels / voxels.sum()).tolist())
    return module


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
    items = training_items(job, cache)
    counts = count_classes(cache, job.train, recipe.class_unit)
    weights = pick(SAMPLINGS, "sampling", spec.cell.sampling).load()(items.class_voxels, recipe)
    loss = build_loss(spec.cell.loss, counts, spec.hyper)
    kept = int((weights > 0).sum())
    task = Segmentation(
        cache=cache,
        source=source_on(items, pick_device()),
        weights=weights,
        loss_function=OnAnnotated(loss) if cache.dataset.has_ignore else loss,
        recipe=recipe,
        lr=scalar(spec.hyper, "lr"),
        epochs=recipe.epochs,
        steps=recipe.steps_per_epoch or -(-kept // recipe.batch_size),
        rungs=job.rungs,
        val=job.val,
        train_scored=job.train[: recipe.train_cases_scored],
    )
    facts: dict[str, object] = {
        "num_items": len(weights),
        "dropped_items": len(weights) - kept,
        "draws": sampling_facts(spec.cell.sampling, weights, items.class_voxels, recipe),
        "class_counts": {unit: list(getattr(counts, unit)) for unit in UNITS},
        "class_weights": list(getattr(loss, "weights", None) or []),
    }
    return task, facts


def make_restoration(job: Job, cache: Cache) -> tuple[Restoration, dict[str, object]]:
    """The task of a pretraining, with training cases only."""
    recipe = job.spec.recipe
    items = training_items(job, cache)
    task = Restoration(
        cache=cache,
        source=source_on(items, pick_device()),
        num_items=len(items.index),
        recipe=recipe,
        lr=scalar(job.spec.hyper, "lr"),
        epochs=recipe.pretrain_epochs,
        steps=recipe.steps_per_epoch or -(-len(items.index) // recipe.batch_size),
        seed=job.spec.seed,
        scored=job.train[: max(1, recipe.train_cases_scored)],
    )
    return task, {"num_items": len(items.index)}


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
