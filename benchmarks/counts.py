"""Counts of every class from logits against MONAI's DiceMetric and MeanIoU, on two cubes."""

from functools import partial

import numpy as np
import torch
from monai.metrics import DiceMetric, MeanIoU
from monai.networks.utils import one_hot

from benchmarks.compare import compare, keep, table
from trials.scoring.overlap import argmax_labels, label_counts

CUBES, CLASSES, EDGE = 2, 4, 128


def ours(logits: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """True, predicted and overlapping voxels of every cube and class."""
    return np.stack(
        [
            label_counts(argmax_labels(each).numpy(), true, CLASSES)
            for each, true in zip(logits, labels, strict=True)
        ]
    )


def monai(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Dice and IoU of every cube and class."""
    pred = one_hot(logits.argmax(1, keepdim=True), CLASSES)
    true = one_hot(labels[:, None], CLASSES)
    return DiceMetric()(pred, true), MeanIoU()(pred, true)


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(CUBES, CLASSES, EDGE, EDGE, EDGE, generator=generator)
    labels = torch.randint(
        0, CLASSES, (CUBES, EDGE, EDGE, EDGE), generator=generator, dtype=torch.uint8
    )
    true, pred, overlap = np.moveaxis(ours(logits, labels.numpy()), -1, 0)
    dice, iou = monai(logits, labels)
    gap = max(
        np.abs(2 * overlap / (true + pred) - dice.numpy()).max(),
        np.abs(overlap / (true + pred - overlap) - iou.numpy()).max(),
    )
    ways = {
        "ours": partial(ours, logits, labels.numpy()),
        "MONAI DiceMetric + MeanIoU": partial(monai, logits, labels),
    }
    lines = [*table(compare(ways), "ours"), f"Dice and IoU differ by at most {gap:.1e}"]
    keep(
        "counts",
        f"Counts of every class from logits {CUBES} x {CLASSES} x {EDGE}^3, one thread",
        lines,
    )


if __name__ == "__main__":
    main()
