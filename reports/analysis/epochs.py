"""Trials as series over epochs: one value per epoch and seed, and the values at the best epoch."""

import math
from collections.abc import Callable, Sequence

from trials.records.result import EpochScore, TrialResult

Value = Callable[[EpochScore], float | None]
# A training still improves if the last tenth of its epochs added more Dice than this.
RISING = 0.005


def train_dice(epoch: EpochScore) -> float | None:
    """Mean training Dice over the labels that have one."""
    return _mean(list(epoch.train_dice.values()))


def val_dice(epoch: EpochScore) -> float | None:
    """Mean validation Dice over the labels that have one."""
    return _mean(list(epoch.val_dice.values()))


def train_loss(epoch: EpochScore) -> float | None:
    """The training criterion on the training items."""
    return epoch.train_loss


def val_loss(epoch: EpochScore) -> float | None:
    """The training criterion on the validation items."""
    return epoch.val_loss


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def by_epoch(trials: Sequence[TrialResult], value: Value) -> dict[int, list[float]]:
    """Each epoch's values over the seeds that reached it, in order of epochs."""
    epochs: dict[int, list[float]] = {}
    for trial in trials:
        for epoch in trial.curve:
            if (known := value(epoch)) is not None:
                epochs.setdefault(epoch.epoch, []).append(known)
    return dict(sorted(epochs.items()))


def at_best(trials: Sequence[TrialResult], value: Value) -> float:
    """Mean over the seeds of a value at each seed's best epoch; NaN if none has it."""
    mean = _mean(
        [
            value(epoch)
            for trial in trials
            for epoch in trial.curve
            if epoch.epoch == trial.best_epoch
        ]
    )
    return math.nan if mean is None else mean


def is_rising(trials: Sequence[TrialResult]) -> bool:
    """Whether the last tenth of the epochs raised the best validation Dice by more than RISING."""
    means = [sum(values) / len(values) for values in by_epoch(trials, val_dice).values()]
    last = max(1, len(means) // 10)
    return len(means) > last and max(means[-last:]) > max(means[:-last]) + RISING
