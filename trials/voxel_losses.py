"""The computation of the losses: softmax focal and Dice + cross-entropy over every voxel of a
batch, in float32 under any autocast.

logits [B, K, ...] of any float type, finite; labels [B, ...] of integers 0..K-1, preferably uint8;
float64 logits are computed in float64. Both gradients are explicit, and voxels are computed in
chunks that fit the CPU's cache: no probabilities are kept between forward and backward, and the
only tensor allocated at the size of the logits is their gradient.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Makes 0/0 equal 0 for a class that is neither present nor predicted; far below one voxel, so no
# other value changes.
SMOOTHING = 1e-12
# Replaces 1 - p if p is 1, so that its logarithm is finite; far below any other 1 - p in float32.
TINY = 1e-30
# Voxels computed at a time: on a CPU what fits its cache, on a GPU enough to keep it busy.
CPU_CHUNK_VOXELS, GPU_CHUNK_VOXELS = 2**15, 2**22


@dataclass(frozen=True, slots=True)
class Combined:
    """Half the Dice loss plus half the cross-entropy: 0.5 (1 - mean of Dice_c) + 0.5 mean of -log
    p.

    Dice_c = 2 sum(p_c t_c) / (sum p_c + sum t_c) is pooled over the batch's voxels and averaged
    over the classes from first_class on, by default all K including the background; a class absent
    from the batch has Dice 0 and no gradient from its Dice.
    """

    first_class: int = 0

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss as a scalar."""
        check_labels(logits, labels)
        with torch.autocast(logits.device.type, enabled=False):
            log_true, overlap, predicted, true = SoftmaxSums.apply(
                logits.flatten(2), labels.flatten(1)
            )
            dice = 2 * overlap / (predicted + true + SMOOTHING)
            return (
                0.5 * (1 - dice[self.first_class :].mean()) - 0.5 * log_true.sum() / labels.numel()
            )


@dataclass(frozen=True, slots=True)
class Focal:
    """Softmax focal loss: the mean over voxels of -w_y (1 - p_y)^gamma log p_y. Lin et al. 2017,
    equation 5.

    gamma >= 0; 0 gives the cross-entropy. weights holds w for each class, None for 1 everywhere.
    The mean divides by the number of voxels, not by the number of classes or the sum of weights.
    Raises ValueError for values out of range.
    """

    gamma: float
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < math.inf:
            raise ValueError(f"gamma must be at least 0; got {self.gamma}")
        if self.weights is not None and not all(0 <= weight < math.inf for weight in self.weights):
            raise ValueError(f"class weights must be finite and at least 0; got {self.weights}")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss as a scalar."""
        check_labels(logits, labels)
        weights = self.weights or (1.0,) * logits.shape[1]
        with torch.autocast(logits.device.type, enabled=False):
            table = weight_table(weights, compute_dtype(logits), logits.device)
            return (
                FocalSum.apply(logits.flatten(2), labels.flatten(1), self.gamma, table)
                / labels.numel()
            )


@dataclass(frozen=True, slots=True)
class OnAnnotated:
    """A loss of the annotated voxels alone, whatever the loss: those labelled num_labels or above
    are taken out of the batch before it sees them, so they have no gradient and no part in any sum
    or mean.

    loss is given the others as one row of voxels, logits [1, K, V] and labels [1, V]. Without any
    the loss is 0.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    num_labels: int

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss as a scalar."""
        is_annotated = labels < self.num_labels
        chosen = logits.movedim(1, -1)[is_annotated]
        if not len(chosen):
            return logits.sum() * 0
        return self.loss(chosen.T[None], labels[is_annotated][None])


@dataclass(frozen=True, slots=True)
class ByRegion:
    """Losses in their binary form: the mean over regions of a loss of each against the rest.

    losses holds one for each channel of the logits, groups the labels that its region is made of. A
    loss is given two classes, logits [B, 2, ...] that are 0 for the rest and the channel for the
    region, whose softmax is the channel's sigmoid, and labels [B, ...] that are 1 in the region.
    """

    losses: tuple[Callable[[Tensor, Tensor], Tensor], ...]
    groups: tuple[tuple[int, ...], ...]

    @property
    def weights(self) -> tuple[Any, ...] | None:
        """The class weights of each region's loss, (rest, region); None if they have none."""
        found = tuple(getattr(loss, "weights", None) for loss in self.losses)
        return found if all(found) else None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss as a scalar."""
        rest = torch.zeros_like(logits[:, :1])
        values = [
            loss(torch.cat([rest, channel], 1), is_in(labels, group).to(torch.uint8))
            for loss, group, channel in zip(
                self.losses, self.groups, logits.split(1, dim=1), strict=True
            )
        ]
        return torch.stack(values).mean()


def is_in(labels: Tensor, group: Sequence[int]) -> Tensor:
    """Where labels are of a group: bool, of their shape."""
    return functools.reduce(torch.logical_or, (labels == label for label in group))


class SoftmaxSums(torch.autograd.Function):
    """Four sums for each class [4, K]: of log p and of p where it is true, of p everywhere, and of
    true voxels.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        ctx.save_for_backward(logits, labels)
        classes, sums = class_column(logits), []
        for items, voxels in chunks(labels):
            log_probs = F.log_softmax(logits[items, :, voxels], 1, dtype=classes.dtype)
            is_true = one_hot(labels[items, voxels], classes)
            probs = log_probs.exp()
            sums += [
                summed.sum((0, 2))
                for summed in (log_probs.mul_(is_true), probs * is_true, probs, is_true)
            ]
        return torch.stack(sums).unflatten(0, (-1, 4)).sum(0, dtype=torch.float64).to(classes.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_sums: Tensor) -> tuple[Tensor, None]:
        """With t_k the gradients by a voxel's p_k and log p_k, each times its derivative: d / d
        logit_c = t_c - p_c sum of t.
        """
        logits, labels = ctx.saved_tensors
        by_log_true, by_overlap, by_predicted, _ = by_sums[..., None]
        classes, by_logits = class_column(logits), torch.empty_like(logits)
        for items, voxels in chunks(labels):
            probs = F.softmax(logits[items, :, voxels], 1, dtype=classes.dtype)
            is_true = one_hot(labels[items, voxels], classes)
            passed = (
                (is_true * by_overlap)
                .add_(by_predicted)
                .mul_(probs)
                .add_(is_true.mul_(by_log_true))
            )
            by_logits[items, :, voxels] = passed.addcmul_(
                probs, passed.sum(1, keepdim=True), value=-1
            )
        return by_logits, None


class FocalSum(torch.autograd.Function):
    """The sum over voxels of -w (1 - p)^gamma log p, with p and the weight w of each voxel's true
    class.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, gamma: float, weights: Tensor) -> Tensor:
        classes, sums = class_column(logits), []
        slopes = torch.empty(labels.shape, dtype=classes.dtype, device=logits.device)
        for items, voxels in chunks(labels):
            log_probs = F.log_softmax(logits[items, :, voxels], 1, dtype=classes.dtype)
            is_true = one_hot(labels[items, voxels], classes)
            log_true = log_probs.mul_(is_true).sum(1)
            missed = torch.expm1(log_true).neg_().clamp_min_(TINY)  # 1 - p
            power = missed.log().mul_(gamma).exp_().mul_(weights @ is_true)
            # d/d log p = (1 - p)^gamma (gamma p log p / (1 - p) - 1), which stays finite for p = 1
            # and gamma < 1.
            slope = torch.sub(1, missed).mul_(log_true).div_(missed).mul_(gamma).sub_(1).mul_(power)
            slopes[items, voxels] = slope
            sums.append(power.mul_(log_true).sum())
        ctx.save_for_backward(logits, labels, slopes)
        return -torch.stack(sums).sum(dtype=torch.float64).to(classes.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor) -> tuple[Tensor, None, None, None]:
        """d log p_y / d logit_c = [y = c] - p_c."""
        logits, labels, slopes = ctx.saved_tensors
        classes, by_logits = class_column(logits), torch.empty_like(logits)
        for items, voxels in chunks(labels):
            probs = F.softmax(logits[items, :, voxels], 1, dtype=classes.dtype)
            is_true = one_hot(labels[items, voxels], classes)
            by_logits[items, :, voxels] = is_true.sub_(probs).mul_(
                (by_total * slopes[items, voxels])[:, None]
            )
        return by_logits, None, None, None


def chunks(labels: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield the items of labels [B, V] and their voxels that are computed at a time: part of a
    volume, or several slices.
    """
    most = CPU_CHUNK_VOXELS if labels.device.type == "cpu" else GPU_CHUNK_VOXELS
    items = max(1, most // labels.shape[1])
    for first in range(0, labels.shape[0], items):
        for start in range(0, labels.shape[1], most):
            yield slice(first, first + items), slice(start, start + most)


def class_column(logits: Tensor) -> Tensor:
    """The class indices 0..K-1 as a column [K, 1], in the compute dtype."""
    return torch.arange(logits.shape[1], dtype=compute_dtype(logits), device=logits.device)[:, None]


def one_hot(labels: Tensor, classes: Tensor) -> Tensor:
    """One-hot labels: labels [b, n] and classes [K, 1] to [b, K, n], in the dtype of classes."""
    # Comparing floats into floats is the variant that the CPU vectorises.
    at_voxels = labels[:, None].to(classes.dtype)
    return torch.eq(
        at_voxels, classes, out=classes.new_empty(len(labels), len(classes), labels.shape[1])
    )


def compute_dtype(logits: Tensor) -> torch.dtype:
    """The dtype to compute in, float32 for half precision: a sum over 128^3 voxels overflows
    float16.
    """
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


@functools.cache
def weight_table(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The weights as a tensor, cached: copying them to a GPU at every step would block the CPU."""
    return torch.tensor(weights, dtype=dtype, device=device)


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raise ValueError if labels do not fit the logits in shape, or hold a value outside 0..K-1.

    Values are checked on the CPU only: on a GPU the check would synchronise at every step, and
    labels were checked when the cache was written.
    """
    if labels.shape != logits.shape[:1] + logits.shape[2:] or labels.is_floating_point():
        raise ValueError(
            f"labels must be integers of shape {list(logits.shape[:1] + logits.shape[2:])} for "
            f"logits {list(logits.shape)}; "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if labels.device.type == "cpu":
        low, high = (int(extreme) for extreme in labels.aminmax())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"labels must lie in 0..{logits.shape[1] - 1}; got {low if low < 0 else high}"
            )
