"""Segmentation as a training task: batches of a split's items, a loss, and whole-volume Dice after each epoch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trials.data.cache import Cache
from trials.data.loading import Source, epoch_batches
from trials.job import Rung
from trials.network import Network, cube_logits
from trials.progress import Validation
from trials.result import headline
from trials.scoring.metrics import argmax_labels, label_counts, mean_dice_by_label
from trials.spec import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A Task. weights [N] say how often each item of source is drawn; val and train_scored are the cases scored each epoch."""

    cache: Cache
    source: Source
    weights: np.ndarray
    loss_function: Loss
    recipe: Recipe
    lr: float
    epochs: int
    steps: int
    rungs: Sequence[Rung]
    val: Sequence[str]
    train_scored: Sequence[str]

    def batches(self, generator: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch, drawn by the weights."""
        return epoch_batches(self.source, self.weights, self.recipe.batch_size, self.steps, generator)

    def loss(self, network: Network, images: Tensor, labels: Tensor) -> Tensor:
        """The cell's loss; the forward pass in low precision where the network says so, the loss in float32."""
        with network.low_precision():
            logits = network.module(images)
        return self.loss_function(logits.float(), labels)

    def validate(self, network: Network) -> Validation:
        """Mean Dice by label on the cube, over the validation cases and over a fixed few training cases."""
        val_counts, val_loss = self._score(network, self.val)
        train_counts, _ = self._score(network, self.train_scored)
        val_dice = mean_dice_by_label(val_counts)
        return Validation(
            score=headline(val_dice), val_loss=val_loss, train_dice=mean_dice_by_label(train_counts), val_dice=val_dice
        )

    def _score(self, network: Network, cases: Sequence[str]) -> tuple[list[np.ndarray], float]:
        """Counts of each case and the mean of their losses."""
        counts, total = [], 0.0
        images = [self.cache.image(case) for case in cases]
        for case, logits in zip(cases, cube_logits(network, images, self.recipe.batch_size), strict=True):
            reference = self.cache.labels(case)
            predicted = argmax_labels(logits).numpy()
            counts.append(label_counts(predicted, reference, len(self.cache.classes)))
            total += float(self.loss_function(logits[None], torch.from_numpy(np.array(reference))[None]))
        return counts, total / max(1, len(cases))
