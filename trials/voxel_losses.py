"""The losses' arithmetic: softmax focal and Dice + cross-entropy over every voxel of a batch, in float32 under any autocast.

logits [B, K, ...] of any float type, labels [B, ...] of integers 0..K-1, uint8 best; float64 logits are computed in float64.
Both gradients are written out: they keep one copy of the probabilities where autograd would keep three.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Keeps 0/0 at 0 for a class that is neither there nor predicted; far below one voxel, so no value is moved.
SMOOTHING = 1e-12
# Stands for 1 - p where p is 1, far below every 1 - p that float32 can tell from 0, so that its logarithm is finite.
TINY = 1e-30
# Voxels that are added up at a time, so that their copies in float64 stay small.
PIECE = 2**18


@dataclass(frozen=True, slots=True)
class Combined:
    """Half the Dice loss plus half the cross-entropy: 0.5 (1 - mean of Dice_c) + 0.5 mean of -log p.

    Dice_c = 2 sum(p_c and t_c) / (sum p_c + sum t_c) is pooled over the batch's voxels and averaged over all K
    classes, background too; a class absent from the batch has Dice 0 and hence no gradient from its Dice.
    """

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss as a scalar."""
        check_labels(logits, labels)
        with torch.autocast(logits.device.type, enabled=False):
            log_true, overlap, predicted, true = SoftmaxSums.apply(exact(logits), labels)
            dice = 2 * overlap / (predicted + true + SMOOTHING)
            return 0.5 * (1 - dice.mean()) - 0.5 * log_true.mean()


@dataclass(frozen=True, slots=True)
class Focal:
    """Softmax focal loss: the mean over voxels of -w_y (1 - p_y)^gamma log p_y. Lin et al. 2017, equation 5.

    gamma >= 0; 0 gives the cross-entropy. weights holds w for each class, None for 1 everywhere. The mean divides by the
    number of voxels, neither by the number of classes nor by the sum of weights. Raises ValueError for illegal numbers.
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
        with torch.autocast(logits.device.type, enabled=False):
            losses = FocalTerms.apply(exact(logits), labels, self.gamma)
            if self.weights is not None:
                losses = losses * look_up(self.weights, labels, losses)
            return losses.mean()


class FocalTerms(torch.autograd.Function):
    """-(1 - p)^gamma log p of each voxel's true class [B, ...]."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
        index = labels.long().unsqueeze(1)
        log_probs = F.log_softmax(logits, dim=1)
        log_true = log_probs.gather(1, index)
        missed = torch.expm1(log_true).neg_().clamp_min_(TINY)  # 1 - p
        power = missed.log().mul_(gamma).exp_()
        # d/d log p = (1 - p)^gamma (gamma p log p / (1 - p) - 1), in which nothing blows up where p is 1 and gamma below 1.
        slope = torch.sub(1, missed).mul_(log_true).div_(missed).mul_(gamma).sub_(1).mul_(power)
        ctx.save_for_backward(log_probs.exp_(), index, slope)
        return power.mul_(log_true).neg_().squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_terms: Tensor) -> tuple[Tensor, None, None]:
        """d log p_y / d logit_c = [y = c] - p_c."""
        probs, index, slope = ctx.saved_tensors
        by_log_true = by_terms.unsqueeze(1) * slope
        return (probs * -by_log_true).scatter_add_(1, index, by_log_true), None, None


class SoftmaxSums(torch.autograd.Function):
    """log p of the true class [B, ...], and for each class [K] the sums of p where it is true, of p, and of true voxels."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        index = labels.long().unsqueeze(1)
        log_probs = F.log_softmax(logits, dim=1)
        log_true = log_probs.gather(1, index)
        probs, prob_true = log_probs.exp_(), log_true.exp()
        overlap, true = sums_by_class(labels, prob_true.squeeze(1), logits.shape[1])
        predicted = probs.sum([axis for axis in range(probs.dim()) if axis != 1])
        ctx.save_for_backward(probs, prob_true, index)
        ctx.mark_non_differentiable(true)
        return log_true.squeeze(1), overlap, predicted, true

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_log_true: Tensor, by_overlap: Tensor, by_predicted: Tensor, _: Tensor) -> tuple[Tensor, None]:
        """d p_k / d logit_c = p_k ([k = c] - p_c), summed over what depends on each p_k."""
        probs, prob_true, index = ctx.saved_tensors
        at_true = by_overlap.index_select(0, index.flatten()).view_as(prob_true)
        at_true.mul_(prob_true).add_(by_log_true.unsqueeze(1))
        shared = at_true + torch.einsum("bk...,k->b...", probs, by_predicted).unsqueeze(1)
        by_class = by_predicted.view(-1, *[1] * (probs.dim() - 2))
        by_logits = torch.sub(by_class, shared).mul_(probs)
        return by_logits.scatter_add_(1, index, at_true), None


def sums_by_class(labels: Tensor, values: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """For each class [K] the sum of values [B, ...] over its voxels, and how many they are, in the type of values.

    One pass on a processor. On a card bincount would make the processor wait for its largest label: there a pass a class.
    """
    if labels.device.type != "cpu":
        return sums_class_after_class(labels, values, num_classes)
    sums = torch.zeros(2, num_classes, dtype=torch.float64)
    for index, part in zip(labels.flatten().split(PIECE), values.flatten().split(PIECE), strict=True):
        # bincount adds one number after the other, which float32 would not bear.
        sums[0] += torch.bincount(index, weights=part.double(), minlength=num_classes)
        sums[1] += torch.bincount(index, minlength=num_classes)
    return sums[0].to(values.dtype), sums[1].to(values.dtype)


def sums_class_after_class(labels: Tensor, values: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """sums_by_class with nothing to wait for."""
    sums, counts = [], []
    for label in range(num_classes):
        is_label = (labels == label).to(values.dtype)
        sums.append((is_label * values).sum())
        counts.append(is_label.sum())
    return torch.stack(sums), torch.stack(counts)


def exact(logits: Tensor) -> Tensor:
    """Widen half precision to float32: a sum over 128^3 voxels overflows float16."""
    return logits if logits.dtype == torch.float64 else logits.float()


def look_up(weights: Sequence[float], labels: Tensor, like: Tensor) -> Tensor:
    """Give each voxel the weight of its label."""
    table = weight_table(tuple(weights), like.dtype, like.device)
    return table.index_select(0, labels.flatten().long()).view_as(labels)


@functools.cache
def weight_table(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The weights as a tensor, made once: to copy them to a card at every step would make the processor wait."""
    return torch.tensor(weights, dtype=dtype, device=device)


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raise ValueError if labels do not fit the logits in shape, or hold a value outside 0..K-1.

    Values are looked at on the CPU alone: on a GPU that would wait for the card at every step, and
    labels were checked when the cache was written.
    """
    if labels.shape != logits.shape[:1] + logits.shape[2:] or labels.is_floating_point():
        raise ValueError(
            f"labels must be integers of shape {list(logits.shape[:1] + logits.shape[2:])} for logits {list(logits.shape)}; "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if labels.device.type == "cpu":
        low, high = (int(extreme) for extreme in labels.aminmax())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(f"labels must lie in 0..{logits.shape[1] - 1}; got {low if low < 0 else high}")
