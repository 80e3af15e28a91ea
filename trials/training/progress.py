"""The progress of a training: the scores of its epochs, the best epoch, and the checkpoint that
stores them.
"""

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from trials.records.codec import rebuild
from trials.records.job import Rung
from trials.records.result import EpochScore
from trials.records.spec import Recipe
from trials.training.checkpoint import Checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """An epoch's validation. score selects the best epoch, higher is better; -inf without a
    validation.
    """

    score: float = -math.inf
    val_loss: float | None = None
    train_dice: Mapping[int, float | None] = field(default_factory=dict)
    val_dice: Mapping[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over an epoch's batches: mean loss, seconds in all, and seconds of forward, backward
    and optimizer.
    """

    loss: float
    seconds: float
    model_seconds: float


@dataclass(slots=True, kw_only=True)
class Progress:
    """The progress of a run. The checkpoint stores everything but passes, which are timings of this
    process.
    """

    curve: list[EpochScore] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    passes: list[Pass] = field(default_factory=list)

    def share_beside_model(self) -> float:
        """The share of training time outside forward, backward and optimizer, spent on loading and
        augmenting; 0..1.
        """
        seconds = sum(passed.seconds for passed in self.passes)
        return 1 - sum(passed.model_seconds for passed in self.passes) / seconds if seconds else 0.0

    def is_out_of_patience(self, recipe: Recipe) -> bool:
        """Whether the last recipe.patience epochs up to the last validation brought no better
        score.
        """
        validated = len(self.curve) - len(self.curve) % recipe.validate_every
        return recipe.patience is not None and validated - 1 - self.best_epoch >= recipe.patience

    def is_pruned(self, rungs: Sequence[Rung]) -> bool:
        """Whether a rung is due now and no epoch so far has reached its score."""
        return any(
            len(self.curve) == rung.epochs and self.best_score < rung.least for rung in rungs
        )


def epoch_score(
    epoch: int, lr: float, train_loss: float, reached: Validation, started: float
) -> EpochScore:
    """The record of one epoch."""
    return EpochScore(
        epoch=epoch,
        lr=lr,
        train_loss=train_loss,
        val_loss=reached.val_loss,
        train_dice=reached.train_dice,
        val_dice=reached.val_dice,
        seconds=round(time.perf_counter() - started, 3),
    )


def checkpoint_state(
    progress: Progress, module: nn.Module, optimizer: Any, scheduler: Any
) -> dict[str, Any]:
    """Everything that a continuation needs, as tensors and plain values."""
    return {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "curve": json.dumps([dataclasses.asdict(score) for score in progress.curve]),
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "best_weights": progress.best_weights,
    }


def resume(kept: Checkpoints, module: nn.Module, optimizer: Any, scheduler: Any) -> Progress:
    """Restore model, optimizer and schedule from the newest checkpoint; without one, start from
    zero.
    """
    state = kept.load()
    if state is None:
        return Progress()
    module.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    curve = rebuild(tuple[EpochScore, ...], json.loads(state["curve"]), "curve")
    best = {name: state[name] for name in ("best_epoch", "best_score", "best_weights")}
    return Progress(curve=list(curve), **best)
