"""Voxel counts of a prediction against a reference: the integers from which every Dice and IoU is derived."""

import numpy as np
from torch import Tensor, isfinite, maximum, uint8, zeros

from trials.result import CaseScore, dice


def argmax_labels(logits: Tensor) -> Tensor:
    """Give each voxel its likeliest class: [K, ...] scores to uint8 labels [...]; of equal scores the lowest label wins.

    Channel by channel, since torch.argmax over a leading axis is several times slower on a CPU.
    Raises FloatingPointError where a score is not finite: a diverged model must not pass for background.
    """
    if not bool(isfinite(logits.sum())):
        raise FloatingPointError("the model's output is not finite")
    best = logits[0].clone()
    labels = zeros(best.shape, dtype=uint8, device=logits.device)
    for label in range(1, len(logits)):
        labels.masked_fill_(logits[label] > best, label)
        best = maximum(best, logits[label])
    return labels


def label_counts(pred: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """Count true, predicted and overlapping voxels of each label: uint8 [D, H, W] twice to int64 [K, 3].

    Works slab by slab along the first axis, so its memory does not grow with the number of slices.
    """
    assert pred.shape == true.shape, f"{pred.shape} predicted, {true.shape} true"
    joint = np.zeros(num_classes * num_classes, np.int64)
    for pred_plane, true_plane in zip(pred, true, strict=True):
        pairs = true_plane.astype(np.intp).ravel() * num_classes + pred_plane.ravel()
        joint += np.bincount(pairs, minlength=len(joint))
    confusion = joint.reshape(num_classes, num_classes)
    return np.stack([confusion.sum(1), confusion.sum(0), confusion.diagonal()], axis=1)


def case_scores(counts: np.ndarray, case: str, split: str, space: str) -> list[CaseScore]:
    """One record a label from the counts of label_counts."""
    return [
        CaseScore(
            case=case,
            split=split,
            space=space,
            label=label,
            true_voxels=int(true_voxels),
            pred_voxels=int(pred_voxels),
            overlap_voxels=int(overlap_voxels),
        )
        for label, (true_voxels, pred_voxels, overlap_voxels) in enumerate(counts)
    ]


def mean_dice_by_label(counts: list[np.ndarray]) -> dict[int, float | None]:
    """Mean case Dice of each foreground label over the cases whose reference holds it; None where none does."""
    means: dict[int, float | None] = {}
    for label in range(1, len(counts[0]) if counts else 1):
        present = [dice(*map(int, case[label])) for case in counts if case[label, 0] > 0]
        means[label] = sum(present) / len(present) if present else None
    return means
