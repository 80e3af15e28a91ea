"""The two tasks that a network is trained on: segmentation, and before it, in pretraining, the
restoration of masked blocks of volumes, so that the encoder learns anatomy without labels.

Segmentation takes any loss over the outputs of a network at several resolutions (deep supervision:
Lee et al. 2015, weighted as in Isensee et al. 2021) and scores whole volumes after each epoch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trials.data.batches.loading import Batch, Feed, pinned
from trials.data.batches.resident import network_input
from trials.data.prepared.cache import Cache
from trials.inference.network import Network, cube_logits
from trials.inference.whole_cases import Slab, case_logits
from trials.records.job import Rung
from trials.records.result import headline
from trials.records.spec import Recipe
from trials.records.targets import Targets
from trials.scoring.decision import labels_of
from trials.scoring.overlap import device_counts, label_counts, mean_dice_by_label, read_counts
from trials.training.progress import Validation

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A Task. val and train_scored are the cases scored in each validation; patients names the
    patient of a case that is not a patient of its own.
    """

    cache: Cache
    targets: Targets
    feed: Feed
    loss_function: Loss
    recipe: Recipe
    lr: float
    epochs: int
    steps: int
    rungs: Sequence[Rung]
    val: Sequence[str]
    train_scored: Sequence[str]
    patients: Mapping[str, str] = field(default_factory=dict)

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """One epoch of batches, drawn as the cell's sampling says."""
        return self.feed.epoch(self.steps, generator)

    def loss(self, network: Network, images: Tensor, labels: Tensor) -> Tensor:
        """The cell's loss over all outputs of the network, in float32; the forward pass runs in the
        network's precision.
        """
        return supervised_loss(self.loss_function, network.outputs(images), labels)

    def validate(self, network: Network) -> Validation:
        """Mean Dice by label, or region, on the prepared grid of whole cases, over the patients of
        the validation cases and of a fixed few training cases.
        """
        val_counts, val_loss = self._score(network, self.val)
        train_counts, _ = self._score(network, self.train_scored)
        val_dice = self._mean_dice(val_counts, self.val)
        return Validation(
            score=headline(val_dice),
            val_loss=val_loss,
            train_dice=self._mean_dice(train_counts, self.train_scored),
            val_dice=val_dice,
        )

    def _mean_dice(
        self, counts: Sequence[np.ndarray], cases: Sequence[str]
    ) -> dict[int, float | None]:
        return mean_dice_by_label(counts, [self.patients.get(case, case) for case in cases])

    def _score(self, network: Network, cases: Sequence[str]) -> tuple[list[np.ndarray], float]:
        """Counts of each case and the mean of their losses; on a GPU both are computed there and
        read once at the end. Of a case that is predicted slab by slab, the loss is the mean over
        its planes of the loss of their slab.
        """
        counts, losses = [], []
        images = [self.cache.image(case) for case in cases]
        overlap = self.recipe.validation_overlap
        for case, slabs in zip(
            cases, case_logits(network, images, self.recipe.batch_size, overlap), strict=True
        ):
            labels = self.cache.labels(case)
            parts = [self._score_slab(network, slab, labels) for slab in slabs]
            counts.append(torch.stack([part for part, _ in parts]).sum(0))
            losses.append(torch.stack([loss for _, loss in parts]).sum() / len(labels))
        if not counts:
            return [], 0.0
        return list(read_counts(torch.stack(counts))), float(torch.stack(losses).mean())

    def _score_slab(
        self, network: Network, slab: Slab, labels: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """The counts of a slab, and its loss times its number of planes."""
        planes = np.array(labels[slab.first : slab.first + slab.logits.shape[1]])
        reference = pinned(torch.from_numpy(planes), network.device)
        reference = reference.to(network.device, non_blocking=True)
        logits = slab.logits.to(network.device)
        loss = self.loss_function(logits[None], reference[None])
        return counts_of(logits, reference, self.targets), loss * len(planes)


def counts_of(logits: Tensor, labels: Tensor, targets: Targets) -> Tensor:
    """Count each label's, or region's, voxels in one case, on the device of its logits: [K, D, H,
    W] and [D, H, W] to int64 [G, 3].
    """
    if logits.device.type == "cpu":
        pred = labels_of(logits, targets.order).numpy()
        counts = label_counts(pred, labels.numpy(), targets.num_labels, targets.regions)
        return torch.from_numpy(counts)
    return device_counts(logits[None], labels[None], targets.num_labels, targets.regions)[0]


def supervised_loss(loss: Loss, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The weighted sum of a loss over outputs [B, K, ...], the full resolution first.

    Each output is compared with labels [B, ...] of its own size. A network with one output is
    trained on that alone.
    """
    weighted = [
        weight * loss(logits, downsampled(labels, logits.shape[2:]))
        for weight, logits in zip(output_weights(len(outputs)), outputs, strict=True)
        if weight > 0
    ]
    return sum(weighted[1:], weighted[0])


def output_weights(count: int) -> list[float]:
    """The weight of each output: half that of the one before, 0 for the lowest resolution of
    several; they sum to 1.
    """
    weights = [0.5**number for number in range(max(1, count - 1))]
    return [weight / sum(weights) for weight in weights] + [0.0] * (count - len(weights))


def downsampled(labels: Tensor, edges: Sequence[int]) -> Tensor:
    """Labels [B, ...] at other edges: each voxel takes the label at its centre, torch's
    "nearest-exact".
    """
    for axis, edge in enumerate(edges, start=1):
        size = labels.shape[axis]
        if size != edge:
            places = (2 * torch.arange(edge, device=labels.device) + 1) * size // (2 * edge)
            labels = labels.index_select(axis, places)
    return labels


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
