"""Which networks torch compiles, by one rule, and what becomes of a trial whose network cannot be
compiled.
"""

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
# saving, so that "auto" compiles where it surely pays; on a slower GPU a step saves more, and
# compiling takes no longer.
COMPILE_SECONDS = 45.0
SAVED_SECONDS = 0.036 / 1.9e12

_COMPILED: set[str] = set()

Loss = Callable[[Network, Tensor, Tensor], Tensor]


def wants_compiling(recipe: Recipe, network: Network, items: int) -> bool:
    """Whether a trial compiles its network: as its recipe says, and under "auto" where the steps
    earn back what it costs.

    items is how many volumes or slices the whole trial is trained on. Auto never compiles on a CPU.
    """
    if recipe.compile != "auto":
        return recipe.compile == "always"
    return network.device.type == "cuda" and earns_back(
        item_multiply_adds(network.module, network.dims, recipe) * items
    )


def earns_back(multiply_adds: int) -> bool:
    """Whether compiling pays for a training with that many multiply-adds forward, over all its
    items.
    """
    return multiply_adds * SAVED_SECONDS >= COMPILE_SECONDS


def compiled(network: Network, loss: Loss, images: Tensor, labels: Tensor) -> tuple[Network, str]:
    """The network with its module compiled, and ""; where that fails, the network as it was, and
    why.

    A step is taken on the batch and taken back, so that whatever fails fails here. What was
    compiled on a node before is found in its scratch folder. Raises what the step itself raises
    when memory runs out.
    """
    use_one_cache()
    forget_other_networks(network)
    result = replace(network, is_compiled=True)
    network.module.compile()
    try:
        with untouched(network):
            result.train()
            loss(result, images, labels).backward()
    except Exception as error:  # a compiler raises nearly anything
        network.module._compiled_call_impl = None
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return (
            network,
            f"compiling failed, so the trial went on eagerly: {type(error).__name__}: {reason}",
        )
    return result, ""


def use_one_cache() -> None:
    """Let all processes of this node share what was compiled, and let dropout draw as it does in
    eager mode.
    """
    import torch._inductor.config
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    folder = scratch() / "compiled"
    # Importing the compiler, which much else of torch does, has named its default folder where none
    # was named.
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") in (None, default_cache_dir()):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    torch._inductor.config.fallback_random = True


def forget_other_networks(network: Network) -> None:
    """Drop what this process compiled of other networks, of which torch keeps few before it gives
    up compiling.
    """
    if {repr(network.module)} != _COMPILED:
        torch._dynamo.reset()
        _COMPILED.clear()
        _COMPILED.add(repr(network.module))
