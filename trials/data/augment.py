"""Random flips, shifts and intensity changes of a batch, on whatever device it lies."""

import numpy as np
import torch
from torch import Tensor

SHIFT_SHARE = 0.06
SCALE_DEVIATION, OFFSET_DEVIATION = 0.08, 0.08


def augment(images: Tensor, labels: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Flip the last axis of half the items, shift each by up to 6 % of an edge, scale and offset its intensities.

    images [B, 1, ...] float32, labels [B, ...] uint8; both move together. Shifts wrap around, which for CT means that
    air meets air. All draws come from the generator, so an epoch is repeatable.
    """
    moved_images, moved_labels = torch.empty_like(images), torch.empty_like(labels)
    for item in range(len(images)):
        image, label = images[item], labels[item]
        if generator.random() < 0.5:
            image, label = image.flip(-1), label.flip(-1)
        reach = [int(edge * SHIFT_SHARE) for edge in label.shape]
        shift = [int(generator.integers(-far, far + 1)) for far in reach]
        axes = list(range(-len(shift), 0))
        scale = 1 + SCALE_DEVIATION * generator.standard_normal()
        moved_images[item] = image.roll(shift, axes) * scale + OFFSET_DEVIATION * generator.standard_normal()
        moved_labels[item] = label.roll(shift, axes)
    return moved_images, moved_labels
