"""Decides which networks torch compiles, and falls back to eager mode if compiling fails."""

import os
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from trials.inference.network import Network, untouched
from trials.models.build import item_multiply_adds
from trials.records.spec import Recipe
from trials.storage.spool import scratch
from trials.training.memory import is_out_of_memory

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
