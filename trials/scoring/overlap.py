"""Voxel counts of a prediction against a reference: the integers from which all Dice and IoU are
derived.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from torch import Tensor, arange, logical_or, stack, uint8

from trials.records.result import CaseScore, dice
from trials.records.targets import TargetRegion, Targets, membership
from trials.scoring.decision import NOT_FINITE, device_labels

# Replaces every count of an item whose logits are not finite; a sum over up to 4096 items stays
# negative.
NO_COUNT = -(2**50)


def label_counts(
    pred: np.ndarray, true: np.ndarray, num_classes: int, regions: Sequence[TargetRegion] = ()
) -> np.ndarray:
    """Count true, predicted and overlapping voxels of each label: uint8 [D, H, W] twice to int64
    [K, 3]; of the background and each region instead, where there are some. Voxels that are K in
    true are ignored in both.

    Works slice by slice along the first axis, so its memory does not grow with the number of
    slices.
    """
    assert pred.shape == true.shape, f"{pred.shape} predicted, {true.shape} true"
    joint = np.zeros((num_classes + 1) * num_classes, np.int64)
    for pred_plane, true_plane in zip(pred, true, strict=True):
        pairs = true_plane.astype(np.intp).ravel() * num_classes + pred_plane.ravel()
        joint += np.bincount(pairs, minlength=len(joint))
    confusion = joint.reshape(num_classes + 1, num_classes)[:num_classes]
    if not regions:
        return np.stack([confusion.sum(1), confusion.sum(0), confusion.diagonal()], axis=1)
    groups = Targets(num_classes, tuple(regions)).groups
    members = np.array(membership(groups, num_classes), np.int64)
    overlap = ((members @ confusion) * members).sum(1)
    return np.stack([members @ confusion.sum(1), members @ confusion.sum(0), overlap], axis=1)


def device_counts(
    logits: Tensor, labels: Tensor, num_classes: int, regions: Sequence[TargetRegion] = ()
) -> Tensor:
    """Count true, predicted and overlapping voxels on the batch's device, without synchronising a
    GPU: int64 [B, K, 3]; of the background and each region instead, where there are some.

    float32 logits [B, K, ...] of the labels or regions, and labels [B, ...] of integers up to
    num_classes, which marks voxels that are ignored. The same counts as label_counts of labels_of,
    which is several times faster but CPU only. Counts may be summed over items; read them with
    read_counts, since those of an item whose logits are not finite are negative.
    """
    targets = Targets(num_classes, tuple(regions))
    pred, is_finite = device_labels(logits, targets.order)
    is_pred, is_true = (_masks(voxels, targets) for voxels in (pred, labels))
    # Not < num_classes: 256 is no uint8.
    is_pred.logical_and_(labels.flatten(1)[:, None] <= num_classes - 1)
    # Sums of bool are exact, in int64.
    true_voxels, pred_voxels = is_true.sum(2), is_pred.sum(2)
    counts = stack([true_voxels, pred_voxels, is_pred.logical_and_(is_true).sum(2)], 2)
    return counts.masked_fill_(~is_finite[:, None, None], NO_COUNT)


def _masks(labels: Tensor, targets: Targets) -> Tensor:
    """The masks of everything that is counted: labels [B, ...] to bool [B, G, V]."""
    classes = arange(targets.num_labels, dtype=uint8, device=labels.device)[:, None]
    of_labels = labels.flatten(1)[:, None] == classes
    if not targets.regions:
        return of_labels
    return stack(
        [reduce(logical_or, (of_labels[:, one] for one in group)) for group in targets.groups], 1
    )


def read_counts(counts: Tensor) -> np.ndarray:
    """Copy counts of device_counts, or sums of them, to the CPU as int64; synchronises the GPU.

    Raises FloatingPointError if the logits of any item in them were not finite.
    """
    on_cpu = counts.cpu().numpy()
    if (on_cpu < 0).any():
        raise FloatingPointError(NOT_FINITE)
    return on_cpu


def case_scores(counts: np.ndarray, case: str, split: str, space: str) -> list[CaseScore]:
    """One record per label, or region, from the counts of label_counts."""
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


def mean_dice_by_label(
    counts: Sequence[np.ndarray], patients: Sequence[str]
) -> dict[int, float | None]:
    """Mean Dice of each foreground label, or region, over the patients whose reference contains it;
    None if none does. patients [N] names the patient of each case; a patient's Dice is the mean
    over its cases that contain the label.
    """
    means: dict[int, float | None] = {}
    for label in range(1, len(counts[0]) if counts else 1):
        by_patient: dict[str, list[float]] = {}
        for patient, case in zip(patients, counts, strict=True):
            if case[label, 0] > 0:
                by_patient.setdefault(patient, []).append(dice(*map(int, case[label])))
        present = [sum(of_cases) / len(of_cases) for of_cases in by_patient.values()]
        means[label] = sum(present) / len(present) if present else None
    return means
