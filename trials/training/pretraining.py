"""Pretraining as a training task: restore masked blocks of volumes, so the encoder learns anatomy
without labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trials.data.batches.loading import Batch, Feed
from trials.data.batches.resident import network_input
from trials.inference.network import Network, cube_logits
from trials.records.job import Rung
from trials.records.spec import Recipe
from trials.training.progress import Validation

MASKED_SHARE = 0.5
BLOCKS_PER_EDGE = 8


def block_mask(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A random half of the blocks of an 8 x 8 x 8 grid, at voxel resolution, for images of a shape
    [B, C, D, H, W]: [B, 1, D, H, W] float, 1 where masked.
    """
    batch, edges = shape[0], shape[2:]
    coarse = (
        generator.random((batch, 1, *[min(BLOCKS_PER_EDGE, edge) for edge in edges])) < MASKED_SHARE
    )
    return interpolate(torch.from_numpy(coarse).float(), size=tuple(edges), mode="nearest")


def restoration_loss(restored: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the masked voxels of every channel; images are z-scored, so
    predicting the mean costs about 1.
    """
    masked = mask.sum() * images.shape[1]
    return ((restored - images).square() * mask).sum() / masked.clamp_min(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """A Task with training cases only. Its score is minus the restoration loss of a fixed few
    images [C, D, H, W] of them, scored, as they are stored, with a fixed mask.
    """

    feed: Feed
    recipe: Recipe
    lr: float
    epochs: int
    steps: int
    seed: int
    scored: Sequence[np.ndarray]
    rungs: Sequence[Rung] = ()

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """One epoch of volumes or patches; instead of labels it yields the mask of the voxels to
        restore.
        """
        for images, _ in self.feed.epoch(self.steps, generator):
            yield images, block_mask(images.shape, generator)[:, 0]

    def loss(self, network: Network, images: Tensor, labels: Tensor) -> Tensor:
        """labels [B, D, H, W] is 1 where the image was hidden from the network."""
        mask = labels[:, None]
        return restoration_loss(network.forward(images * (1 - mask)), images, mask)

    def validate(self, network: Network) -> Validation:
        """Minus the mean loss of the fixed cases with their fixed masks."""
        generator = np.random.default_rng([self.seed, len(self.scored)])
        images = [
            network_input(torch.from_numpy(np.array(image))[None], network.scalings)[0].numpy()
            for image in self.scored
        ]
        masks = [block_mask((1, *image.shape), generator)[0] for image in images]
        hidden = [image * (1 - mask.numpy()) for image, mask in zip(images, masks, strict=True)]
        losses = [
            float(restoration_loss(restored.cpu(), torch.from_numpy(image), mask))
            for restored, image, mask in zip(
                cube_logits(network, hidden, self.recipe.batch_size), images, masks, strict=True
            )
        ]
        return Validation(score=-sum(losses) / len(losses))
