"""Divergence: errors for a training whose loss, score or output is not finite."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Diverged(FloatingPointError):
    """A loss, score or output is no longer finite. best_weights are those of best_epoch, empty if
    no epoch was scored before.
    """

    def __init__(self, text: str, best_epoch: int, best_weights: Mapping[str, Tensor]):
        super().__init__(text)
        self.best_epoch, self.best_weights = best_epoch, best_weights


def divergence_error(losses: Sequence[Tensor], steps: int, lr: float) -> FloatingPointError:
    """The error for an epoch's losses so far; it names the first that is not finite.

    steps is the number of steps in the epoch; lr the (largest) learning rate.
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
    """Raise FloatingPointError if a validation's score or loss is not finite."""
    for name, value in (("score", score), ("loss", loss)):
        if value is not None and not math.isfinite(value):
            raise FloatingPointError(f"the validation {name} became {value}")
