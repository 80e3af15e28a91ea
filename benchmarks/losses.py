"""Losses, forward and backward, against MONAI's on the same logits: time, memory, and how far the
numbers lie apart.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from monai.losses import DiceCELoss, FocalLoss

from benchmarks.compare import compare, keep, table
from trials.process.environment import reset_peak
from trials.voxel_losses import Combined, Focal

EDGE, CLASSES = 128, 4


def backward(
    loss, logits: torch.Tensor, labels: torch.Tensor, scale: float = 1.0
) -> tuple[float, torch.Tensor]:
    """The loss and its gradient; scale brings a library's own normalisation to ours."""
    logits = logits.detach().requires_grad_()
    value = scale * loss(logits, labels)
    value.backward()
    return float(value.detach()), logits.grad


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, CLASSES, EDGE, EDGE, EDGE, generator=generator)
    labels = torch.randint(
        0, CLASSES, (1, EDGE, EDGE, EDGE), generator=generator, dtype=torch.uint8
    )
    channel = labels[:, None]
    options = {"to_onehot_y": True}
    dice_ce = DiceCELoss(
        softmax=True,
        batch=True,
        smooth_nr=0,
        smooth_dr=1e-12,
        lambda_dice=0.5,
        lambda_ce=0.5,
        **options,
    )
    focal = FocalLoss(use_softmax=True, gamma=2.0, **options)
    # MONAI averages its focal loss over the classes too, which makes it 1 / CLASSES of the formula.
    ways = {
        "combined": partial(backward, Combined(), logits, labels),
        "MONAI DiceCELoss": partial(backward, dice_ce, logits, channel),
        "focal": partial(backward, Focal(gamma=2.0), logits, labels),
        "MONAI FocalLoss": partial(backward, focal, logits, channel, CLASSES),
    }
    lines = ["The C library as it is installed", "", *compared(ways)]
    reset_peak()
    lines += ["As a trial runs, keeping freed memory; the peers too", "", *compared(ways)]
    keep("losses", f"Losses forward and backward on 1 x {CLASSES} x {EDGE}^3, one thread", lines)


def compared(ways: Mapping[str, Callable[[], tuple[float, torch.Tensor]]]) -> list[str]:
    """A table for each loss, and how far values and gradients lie apart."""
    lines = []
    for ours, theirs in (("combined", "MONAI DiceCELoss"), ("focal", "MONAI FocalLoss")):
        (a, by_a), (b, by_b) = ways[ours](), ways[theirs]()
        gap = float((by_a - by_b).abs().max() / by_b.abs().max())
        lines += [*table(compare({name: ways[name] for name in (ours, theirs)}), ours)]
        lines += [f"values {a:.9f} and {b:.9f}; gradients differ by {gap:.1e} of the largest", ""]
    return lines


if __name__ == "__main__":
    main()
