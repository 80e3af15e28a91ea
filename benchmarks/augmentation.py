"""Turning and zooming an image with its labels, against MONAI's transforms for it."""

from functools import partial

import numpy as np
import torch
from monai.transforms import Compose, RandAffined, RandRotated, RandZoomd

from benchmarks.compare import compare, keep, table
from trials.data.batches.augment import TURN_DEGREES, ZOOM, turned

EDGE = 96


def apply(transform, image: torch.Tensor, labels: torch.Tensor) -> None:
    """One item through MONAI."""
    transform({"image": image[0], "labels": labels})


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    image = torch.randn(1, 1, EDGE, EDGE, EDGE)
    labels = torch.randint(0, 4, (1, EDGE, EDGE, EDGE), dtype=torch.uint8)
    keys, modes = ["image", "labels"], ("bilinear", "nearest")
    angle = float(np.radians(TURN_DEGREES))
    spread = {"prob": 1.0, "mode": modes, "padding_mode": "border"}
    ranges = dict.fromkeys(("range_x", "range_y", "range_z"), angle)
    two_steps = [
        RandRotated(keys, **ranges, **spread),
        RandZoomd(keys, prob=1.0, min_zoom=1 - ZOOM, max_zoom=1 + ZOOM),
    ]
    affine = RandAffined(keys, rotate_range=(angle,) * 3, scale_range=(ZOOM,) * 3, **spread)
    ways = {
        "ours": partial(turned, image, labels, np.random.default_rng(0), 1.0),
        "MONAI RandAffined": partial(apply, affine, image, labels),
        "MONAI RandRotated": partial(apply, two_steps[0], image, labels),
        "MONAI RandRotated + RandZoomd": partial(apply, Compose(two_steps), image, labels),
    }
    keep(
        "augmentation",
        f"Turn and zoom of one image and its labels at {EDGE}^3, one thread",
        table(compare(ways), "ours"),
    )


if __name__ == "__main__":
    main()
