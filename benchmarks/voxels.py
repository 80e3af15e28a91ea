"""What is computed over all voxels, against the libraries that do the same: augmentation, counts of
classes, labels on the case's own grid, losses.

    python -m benchmarks.voxels [augmentation | counts | native | losses]
"""

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from monai.losses import DiceCELoss, FocalLoss
from monai.metrics import DiceMetric, MeanIoU
from monai.networks.utils import one_hot
from monai.transforms import Compose, RandAffined, RandRotated, RandZoomd
from torch.nn.functional import interpolate

from benchmarks.compare import compare, keep, table
from trials.data.batches.augment import TURN_DEGREES, ZOOM, turned
from trials.inference.predict import on_native_grid
from trials.process.environment import reset_peak
from trials.scoring.decision import labels_of
from trials.scoring.overlap import label_counts
from trials.voxel_losses import Combined, Focal

CLASSES, EDGE, NATIVE = 4, 128, (178, 512, 512)
# A subject, and the lines of its table.
Measured = tuple[str, list[str]]


def random_batch(cases: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [B, K, D, H, W] and labels [B, D, H, W]."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(cases, CLASSES, EDGE, EDGE, EDGE, generator=generator)
    shape = (cases, EDGE, EDGE, EDGE)
    return logits, torch.randint(0, CLASSES, shape, generator=generator, dtype=torch.uint8)


def augmentation(edge: int = 96) -> Measured:
    """Turning and zooming an image with its labels."""
    image = torch.randn(1, 1, edge, edge, edge)
    labels = torch.randint(0, 4, (1, edge, edge, edge), dtype=torch.uint8)
    keys, angle = ["image", "labels"], float(np.radians(TURN_DEGREES))
    spread = {"prob": 1.0, "mode": ("bilinear", "nearest"), "padding_mode": "border"}
    ranges = dict.fromkeys(("range_x", "range_y", "range_z"), angle)
    rotate = RandRotated(keys, **ranges, **spread)
    zoom = RandZoomd(keys, prob=1.0, min_zoom=1 - ZOOM, max_zoom=1 + ZOOM)
    affine = RandAffined(keys, rotate_range=(angle,) * 3, scale_range=(ZOOM,) * 3, **spread)
    item = {"image": image[0], "labels": labels}
    ways = {
        "ours": partial(turned, image, labels, np.random.default_rng(0), 1.0),
        "MONAI RandAffined": lambda: affine(dict(item)),
        "MONAI RandRotated": lambda: rotate(dict(item)),
        "MONAI RandRotated + RandZoomd": lambda: Compose([rotate, zoom])(dict(item)),
    }
    return f"Turn and zoom of one image and its labels at {edge}^3", table(compare(ways), "ours")


def count(logits: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """True, predicted and overlapping voxels of every cube and class."""
    pairs = zip(logits, labels, strict=True)
    return np.stack([label_counts(labels_of(one).numpy(), true, CLASSES) for one, true in pairs])


def monai_scores(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Dice and IoU of every cube and class."""
    pred = one_hot(logits.argmax(1, keepdim=True), CLASSES)
    true = one_hot(labels[:, None], CLASSES)
    return DiceMetric()(pred, true), MeanIoU()(pred, true)


def counts(cubes: int = 2) -> Measured:
    """Counts of every class, and how far the ratios made of them lie from MONAI's."""
    logits, labels = random_batch(cubes)
    true, pred, overlap = np.moveaxis(count(logits, labels.numpy()), -1, 0)
    dice, iou = (found.numpy() for found in monai_scores(logits, labels))
    gaps = 2 * overlap / (true + pred) - dice, overlap / (true + pred - overlap) - iou
    ways: dict[str, Callable[[], object]] = {
        "ours": partial(count, logits, labels.numpy()),
        "MONAI DiceMetric + MeanIoU": partial(monai_scores, logits, labels),
    }
    lines = table(compare(ways), "ours")
    lines += [f"Dice and IoU differ by at most {np.abs(gaps).max():.1e}"]
    return f"Counts of every class from logits {cubes} x {CLASSES} x {EDGE}^3", lines


def soft_kidneys() -> torch.Tensor:
    """Probabilities of two kidneys with a tumour and a cyst, soft at their borders."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, EDGE)] * 3, indexing="ij")
    balls = [
        (0.0, 0.1, -0.4, 0.22, 1),
        (0.05, 0.1, 0.4, 0.2, 1),
        (0.1, 0.2, 0.4, 0.1, 2),
        (-0.1, 0.1, -0.45, 0.06, 3),
    ]
    logits = torch.zeros(CLASSES, EDGE, EDGE, EDGE)
    for *centre, radius, label in balls:
        distance = sum((axis - at).square() for axis, at in zip(axes, centre, strict=True)).sqrt()
        logits[label] = torch.maximum(logits[label], 40 * (radius - distance).clamp(-0.1, 0.1) + 4)
    logits[0] = 4
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    return torch.softmax(logits + 0.05 * noise, 0)


def interpolated(probs: torch.Tensor) -> np.ndarray:
    """All classes at full size by torch, then the argmax."""
    full = interpolate(probs[None], NATIVE, mode="trilinear", align_corners=False)[0]
    return full.argmax(0).to(torch.uint8).numpy()


def native() -> Measured:
    """A prediction on the cube to labels on the case's own grid."""
    probs = soft_kidneys()
    ways = {
        "ours": partial(on_native_grid, probs, NATIVE),
        "torch interpolate + argmax": partial(interpolated, probs),
    }
    lines = table(compare(ways, 3), "ours")
    ours, theirs = on_native_grid(probs, NATIVE), interpolated(probs)
    lines += [
        f"{int((ours != theirs).sum())} of {ours.size} voxels differ; "
        f"{int((theirs > 0).sum())} are foreground"
    ]
    return f"Probabilities {CLASSES} x {EDGE}^3 to labels on {NATIVE}", lines


def backward(loss, logits, labels, scale: float = 1.0) -> tuple[float, torch.Tensor]:
    """The loss and its gradient; scale brings a library's own normalisation to ours."""
    logits = logits.detach().requires_grad_()
    value = scale * loss(logits, labels)
    value.backward()
    return float(value.detach()), logits.grad


def losses() -> Measured:
    """Forward and backward, and how far values and gradients lie apart."""
    logits, labels = random_batch(1)
    smooth = {"batch": True, "smooth_nr": 0, "smooth_dr": 1e-12}
    halves = {"lambda_dice": 0.5, "lambda_ce": 0.5}
    dice_ce = DiceCELoss(softmax=True, to_onehot_y=True, **smooth, **halves)
    focal = FocalLoss(use_softmax=True, gamma=2.0, to_onehot_y=True)
    channel = labels[:, None]
    pairs = {
        ("combined", "MONAI DiceCELoss"): (
            partial(backward, Combined(), logits, labels),
            partial(backward, dice_ce, logits, channel),
        ),
        # MONAI averages its focal loss over the classes too: 1 / CLASSES of the formula.
        ("focal", "MONAI FocalLoss"): (
            partial(backward, Focal(gamma=2.0), logits, labels),
            partial(backward, focal, logits, channel, CLASSES),
        ),
    }
    lines = ["The C library as it is installed", ""]
    for memory in ("", "As a trial runs, keeping freed memory; the peers too"):
        if memory:
            reset_peak()
            lines += [memory, ""]
        for names, ways in pairs.items():
            (a, by_a), (b, by_b) = (way() for way in ways)
            gap = float((by_a - by_b).abs().max() / by_b.abs().max())
            lines += table(compare(dict(zip(names, ways, strict=True))), names[0])
            lines += [f"values {a:.9f} and {b:.9f}; gradients differ by {gap:.1e}", ""]
    return f"Losses forward and backward on 1 x {CLASSES} x {EDGE}^3", lines


# Losses last: from then on this process keeps freed memory.
SUBJECTS = {one.__name__: one for one in (augmentation, counts, native, losses)}


def main() -> None:
    """Print and keep the subjects that are named, all of them otherwise."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or SUBJECTS:
        about, lines = SUBJECTS[name]()
        keep(name, f"{about}, one thread", lines)


if __name__ == "__main__":
    main()
