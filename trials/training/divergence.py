"""A training that has left the finite numbers: where that was seen, and what is left of it."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Diverged(FloatingPointError):
    """A loss, score or output is no longer finite. best_weights are those of best_epoch, empty
    where none was scored before.
    """

    def __init__(self, text: str, best_epoch: int, best_weights: Mapping[str, Tensor]):
        super().__init__(text)
        self.best_epoch, self.best_weights = best_epoch, best_weights


def not_finite(losses: Sequence[Tensor], steps: int, lr: float) -> FloatingPointError:
    """What is raised of an epoch's losses so far: it names the first that is not finite.

    steps is how many the epoch has; lr the (largest) learning rate.
    """
    values = torch.stack(list(losses)).tolist()
    step = next(
        (step for step, loss in enumerate(values) if not math.isfinite(loss)), len(values) - 1
    )
    return FloatingPointError(
        f"step {step + 1} of {steps}: the training loss became {values[step]} at learning rate "
        f"{lr:g}"
    )


def check_validation(score: float, loss: float | None) -> None:
    """Raise FloatingPointError where what a validation reached, or its loss, is not finite."""
    for name, value in (("score", score), ("loss", loss)):
        if value is not None and not math.isfinite(value):
            raise FloatingPointError(f"the validation {name} became {value}")
