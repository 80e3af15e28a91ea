"""Between set-up and the first step: compile the network if that saves time, in eager mode if
compiling fails, and check its low precision.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trials.data.batches.patches import PatchFeed, beside_model
from trials.data.batches.resident import ahead
from trials.inference.network import Network, memory_format, untouched
from trials.models.build import item_multiply_adds
from trials.models.registry import MODELS
from trials.records.spec import Recipe, TrialSpec
from trials.storage.spool import scratch
from trials.training.memory import is_out_of_memory
from trials.training.optimizer import moment_bytes
from trials.training.precision import Arithmetic, WrongArithmetic, check_arithmetic
from trials.training.tasks import Restoration, Segmentation

COMPILES = ("auto", "always", "never")
# Measured on an H200 in bfloat16 at batch 4 of 128^3, 1.9e12 multiply-adds forward: compiling took
# 41 to 45 s, and a compiled step was 36 ms (unet3d) to 70 ms (segresnet) shorter. The smaller
# saving is used, so "auto" compiles only if that certainly pays; on a slower GPU a step saves more
# and compiling takes no longer.
COMPILE_SECONDS = 45.0
SAVED_SECONDS = 0.036 / 1.9e12

_COMPILED: set[str] = set()

Loss = Callable[[Network, Tensor, Tensor], Tensor]


def should_compile(recipe: Recipe, network: Network, items: int) -> bool:
    """Whether a trial compiles its network: as its recipe says; with "auto", if the faster steps
    save more time than compiling takes.

    items is the number of volumes or slices in the whole training. Auto never compiles on a CPU.
    """
    if recipe.compile != "auto":
        return recipe.compile == "always"
    return network.device.type == "cuda" and is_worth_compiling(
        item_multiply_adds(network.module, network.dims, recipe, network.channels) * items
    )


def compiles_on_gpu(recipe: Recipe, multiply_adds: int) -> bool:
    """should_compile() for a GPU that is not there, in a training of that many forward
    multiply-adds.
    """
    is_worth = recipe.compile == "auto" and is_worth_compiling(multiply_adds)
    return recipe.compile == "always" or is_worth


def is_worth_compiling(multiply_adds: int) -> bool:
    """Whether compiling saves time in a training of that many forward multiply-adds over all
    items.
    """
    return multiply_adds * SAVED_SECONDS >= COMPILE_SECONDS


def try_compile(
    network: Network, loss: Loss, images: Tensor, labels: Tensor
) -> tuple[Network, str]:
    """The network with its module compiled, and ""; if that fails, the unchanged network and the
    reason.

    One step is run on the batch and undone, so that errors occur here. Code compiled earlier on
    this node is reused from its scratch folder. Raises the step's own error if memory runs out.
    """
    share_compile_cache()
    reset_compiler(network)
    result = replace(network, is_compiled=True)
    network.module.compile()
    try:
        with untouched(network):
            result.train()
            loss(result, images, labels).backward()
    except Exception as error:  # a compiler may raise anything
        network.module._compiled_call_impl = None
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return (
            network,
            "compiling failed, so the trial continued in eager mode: "
            f"{type(error).__name__}: {reason}",
        )
    return result, ""


def share_compile_cache() -> None:
    """Share compiled code between this node's processes, and make dropout draw as in eager mode."""
    import torch._inductor.config
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    folder = scratch() / "compiled"
    # Importing the compiler, which other torch modules do, sets this variable to the default folder
    # if it is unset.
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") in (None, default_cache_dir()):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    torch._inductor.config.fallback_random = True


def reset_compiler(network: Network) -> None:
    """Discard this process's compiled code of other networks: torch stops compiling after a few."""
    if {repr(network.module)} != _COMPILED:
        torch._dynamo.reset()
        _COMPILED.clear()
        _COMPILED.add(repr(network.module))


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
