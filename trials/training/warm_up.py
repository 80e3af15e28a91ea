"""Between set-up and the first step: compile the network if that saves time, and check its low
precision.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trials.data.batches.patches import PatchFeed, beside_model
from trials.data.batches.resident import ahead
from trials.inference.network import Network, memory_format, untouched
from trials.models.registry import MODELS
from trials.records.spec import TrialSpec
from trials.training.compiling import should_compile, try_compile
from trials.training.optimizer import moment_bytes
from trials.training.precision import Arithmetic, WrongArithmetic, check_arithmetic
from trials.training.pretraining import Restoration
from trials.training.segmentation import Segmentation

Facts = dict[str, object]


def warm_up(
    network: Network, task: Segmentation | Restoration, spec: TrialSpec
) -> tuple[Network, Facts]:
    """The network as it will train, and the facts for the result: compiled, arithmetic, and notes
    on changes.

    A float32 trial that does not compile runs no step here. Raises WrongArithmetic if the recipe
    names a low precision that is wrong on this device.
    """
    facts: Facts = {"compiled": False}
    if should_compile(spec.recipe, network, task.epochs * task.steps * spec.recipe.batch_size):
        images, labels = first_batch(network, task, spec)
        network, failure = try_compile(network, task.loss, images, labels)
        facts = {"compiled": network.is_compiled} | ({"compile_note": failure} if failure else {})
    if network.device.type == "cuda" and not network.is_compiled:
        network.module.to(
            memory_format=memory_format(MODELS[spec.cell.model].eager_gpu_layout, network.dims)
        )
    if network.autocast is None:
        return network, facts
    images, labels = first_batch(network, task, spec)
    found = check_arithmetic(network, task.loss, images, labels, spec)
    facts |= arithmetic_facts(found)
    if found.is_right:
        return network, facts
    if spec.recipe.precision != "auto":
        raise WrongArithmetic(
            f"recipe.precision {spec.recipe.precision!r} gives wrong results for "
            f"{spec.cell.model} on this device: {found.text()}; "
            "set precision='float32', or 'auto'"
        )
    return replace(network, autocast=None), facts | {
        "precision_note": fallback_text(spec.cell.model, found)
    }


def beside_network(
    network: Network, task: Segmentation | Restoration, spec: TrialSpec
) -> Segmentation | Restoration:
    """The task with its patches' volumes on the GPU, where they fit beside what a step of the
    network takes there, measured; otherwise unchanged.
    """
    feed = task.feed
    if network.device.type != "cuda" or not isinstance(feed, PatchFeed):
        return task
    images, labels = first_batch(network, task, spec)
    with untouched(network):
        network.train()
        task.loss(network, images, labels).backward()
        peak = torch.cuda.max_memory_allocated(network.device)
    kept = moment_bytes(network.module, spec.recipe)
    return replace(task, feed=beside_model(feed, peak + kept))


def first_batch(
    network: Network, task: Segmentation | Restoration, spec: TrialSpec
) -> tuple[Tensor, Tensor]:
    """One accumulation part of a batch of the task, on the network's device, from a generator
    separate from the trial's.
    """
    batches = task.batches(np.random.default_rng(spec.seed))
    images, labels = next(ahead(batches, network.device, network.scalings))
    piece = -(-len(images) // network.accumulation_steps)
    return images[:piece], labels[:piece]


def arithmetic_facts(found: Arithmetic) -> Facts:
    """The facts about the check: its result in words, and the seconds it took."""
    return {
        "arithmetic": found.text(),
        "arithmetic_right": found.is_right,
        "arithmetic_seconds": found.seconds,
    }


def precision_text(network: Network, facts: Facts) -> str:
    """The network's training precision and the result of the check in one sentence, from what
    warm_up returned.
    """
    if "precision_note" in facts:
        return str(facts["precision_note"])
    precision = str(network.autocast or "float32").removeprefix("torch.")
    checked = (
        f", compared with float32 in {facts['arithmetic_seconds']} s: {facts['arithmetic']}"
        if "arithmetic" in facts
        else ""
    )
    return precision + checked + (", compiled" if network.is_compiled else "")


def fallback_text(model: str, found: Arithmetic) -> str:
    """The note of a trial that trains in float32 because low precision is wrong on this device."""
    return (
        f"{model} trained in float32, since bfloat16 gives wrong results on this device: "
        f"{found.text()}"
    )
