"""Fine-tuning with the first encoder stages frozen: their weights and norm statistics do not
change.
"""

import importlib
from collections.abc import Sequence

from torch import nn

from trials.models.registry import MODELS
from trials.records.registry import pick


def stages_of(name: str, model: nn.Module) -> list[nn.Module]:
    """List a model's encoder stages in order. Raises ValueError for a model without stages to
    freeze.
    """
    part = pick(MODELS, "model", name)
    if not part.stages:
        known = ", ".join(sorted(other for other, entry in MODELS.items() if entry.stages))
        raise ValueError(f"{name} has no stages to freeze; models that have: {known}")
    module, _, function = part.stages.partition(":")
    return getattr(importlib.import_module(module), function)(model)


def freeze(stages: Sequence[nn.Module], count: int) -> list[nn.Module]:
    """Stop the first `count` stages from being trained and return them, for set_train. Raises
    ValueError.

    Their parameters get no gradient, so no optimizer changes them, not even by weight decay.
    """
    if not 0 <= count <= len(stages):
        raise ValueError(
            f"frozen_stages must be one of {', '.join(map(str, range(len(stages) + 1)))}; got "
            f"{count}"
        )
    frozen = list(stages[:count])
    for stage in frozen:
        stage.requires_grad_(False)
        stage.zero_grad(set_to_none=True)
    return frozen


def set_train(model: nn.Module, frozen: Sequence[nn.Module]) -> None:
    """Put the model into training mode and its frozen stages into evaluation mode.

    Call it instead of model.train(): in training mode batch norm updates its running statistics
    even without gradients.
    """
    model.train()
    for stage in frozen:
        stage.eval()
