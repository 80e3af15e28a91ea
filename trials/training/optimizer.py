"""The optimizer and the learning rate schedule that a recipe names."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LRScheduler, OneCycleLR

from trials.records.spec import Recipe

# The settings of each, besides the learning rate; those of "sgd" are nnU-Net's.
OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "sgd": (torch.optim.SGD, {"momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}),
}
# The numbers that each keeps of a trained parameter: two moments, or the momentum.
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}
SCHEDULES = ("fixed", "onecycle", "poly", "cosine")
POLY_POWER = 0.9
WARM_UP_SHARE = 0.05


def make_optimizer(
    module: nn.Module, lr: float, planned_steps: int, recipe: Recipe
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """The optimizer of a module's trainable parameters and its schedule, one step of which follows
    each step of the optimizer.

    lr is the (largest) learning rate. planned_steps is the length of the complete training: a
    trial that is pruned or interrupted follows the schedule of the whole. Raises ValueError for
    unknown names.
    """
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"recipe.optimizer must be one of {', '.join(OPTIMIZERS)}; got {recipe.optimizer!r}"
        )
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    function, settings = OPTIMIZERS[recipe.optimizer]
    given = {} if recipe.weight_decay is None else {"weight_decay": recipe.weight_decay}
    optimizer = function(trained, lr=lr, fused=True, **settings | given)
    return optimizer, make_schedule(optimizer, lr, planned_steps, recipe.schedule)


def moment_bytes(module: nn.Module, recipe: Recipe) -> int:
    """The bytes that the recipe's optimizer keeps of a module from its first step on."""
    trained = sum(one.numel() for one in module.parameters() if one.requires_grad)
    return 4 * MOMENTS[recipe.optimizer] * trained


def make_schedule(
    optimizer: torch.optim.Optimizer, lr: float, planned_steps: int, name: str
) -> LRScheduler:
    """The schedule of that name over the planned steps. Raises ValueError."""
    if name == "fixed":
        return ConstantLR(optimizer, factor=1.0)
    if name == "onecycle":
        return OneCycleLR(optimizer, lr, total_steps=planned_steps + 1)
    if name == "poly":
        return LambdaLR(optimizer, poly(planned_steps))
    if name == "cosine":
        return LambdaLR(optimizer, warm_up_and_cosine(planned_steps))
    raise ValueError(f"recipe.schedule must be one of {', '.join(SCHEDULES)}; got {name!r}")


def poly(planned_steps: int) -> Callable[[int], float]:
    """The share of the learning rate at each step: (1 - step / planned steps)^0.9. Chen et al.
    2018, section 4.1.
    """

    def share(step: int) -> float:
        return max(0.0, 1 - step / planned_steps) ** POLY_POWER

    return share


def warm_up_and_cosine(planned_steps: int) -> Callable[[int], float]:
    """The same, rising linearly over the first 5 % of the steps and falling to 0 along half a
    cosine. Loshchilov and Hutter 2017, equation 5.
    """
    rising = max(1, round(WARM_UP_SHARE * planned_steps))

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        done = min(1.0, (step - rising) / max(1, planned_steps - rising))
        return (1 + math.cos(math.pi * done)) / 2

    return share
