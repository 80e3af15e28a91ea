"""What is drawn at random for the augmentation of a batch: plain numbers, from (seed, step, item)
alone, so that an item's draws depend on no other item.

The ranges are those of nnU-Net v2's default trainer (Isensee et al. 2021, supplement 3.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from trials.data.batches.augment import turns
from trials.records.spec import Augmentation

TURN_DEGREES, ZOOM = 30.0, (0.7, 1.4)
NOISE_DEVIATION = 0.1
BLUR_SIGMA = (0.5, 1.0)
BRIGHTNESS = CONTRAST = (0.75, 1.25)
LOW_RESOLUTION = (0.5, 1.0)
GAMMA = (0.7, 1.5)
# Blur and low resolution change each channel of a drawn item with this probability.
CHANNEL_PROB = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The draws of B items of C channels and A axes.

    turned [n] lists the items that are resampled; maps [n, A, A] take an offset from the centre in
    voxels of the result to one in voxels of the source, axes as in the array. mirrored [B, A] says
    which axes are reversed. noise [B] is a deviation and noise_seeds [B] its generator's seed; blur
    [B, C, A] is a sigma in voxels; both are 0 for none. brightness, contrast, low_resolution,
    inverted_gamma and gamma [B, C] are factors, scales and exponents, 1 for none.
    """

    turned: np.ndarray
    maps: np.ndarray
    mirrored: np.ndarray
    noise: np.ndarray
    noise_seeds: np.ndarray
    blur: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    low_resolution: np.ndarray
    inverted_gamma: np.ndarray
    gamma: np.ndarray


def draw_batch(probs: Augmentation, seed: int, step: int, shape: Sequence[int]) -> Draws:
    """The draws for the images [B, C, ...] of a step; shape is that of the images."""
    items = [
        _draw_item(probs, np.random.default_rng([seed, step, item]), shape[1], len(shape) - 2)
        for item in range(shape[0])
    ]
    columns = {name: np.array([item[name] for item in items]) for name in items[0]}
    maps = columns.pop("maps")
    is_turned = (maps != np.eye(len(shape) - 2)).any((1, 2))
    return Draws(turned=np.flatnonzero(is_turned), maps=maps[is_turned], **columns)


def window_edges(patch: Sequence[int]) -> tuple[int, ...]:
    """The edges of the window that a turned item is sampled from, centred on its patch: 1.6 times
    the patch's, as nnU-Net reads.

    It holds the patch turned about one axis and zoomed out to 0.85. Where a map reaches further,
    the window's border goes on.
    """
    turn = math.radians(TURN_DEGREES)
    factor = (math.cos(turn) + math.sin(turn)) / 0.85
    # An even number more, so that both have the same centre.
    return tuple(edge + 2 * math.ceil((factor - 1) * edge / 2) for edge in patch)


def _draw_item(
    probs: Augmentation, generator: np.random.Generator, channels: int, axes: int
) -> dict[str, np.ndarray]:
    # Every number is drawn, used or not: a changed probability then changes no other draw.
    def happens(prob: float, *shape: int) -> np.ndarray:
        return generator.random(shape) < prob

    def factor(prob: float, low: float, high: float) -> np.ndarray:
        """Below 1 as often as above, one for each channel."""
        below, above = generator.uniform(low, 1, channels), generator.uniform(1, high, channels)
        value = np.where(happens(0.5, channels), below, above)
        return np.where(happens(prob), value, 1.0)

    by_channel = happens(CHANNEL_PROB, 2, channels)
    sigma = generator.uniform(*BLUR_SIGMA, (channels, axes))
    scale = generator.uniform(*LOW_RESOLUTION, channels)
    return {
        "maps": _draw_map(probs, generator, axes),
        "mirrored": happens(probs.mirror, axes),
        "noise": generator.uniform(0, NOISE_DEVIATION) * happens(probs.noise),
        "noise_seeds": np.array(generator.integers(2**63)),
        "blur": np.where((happens(probs.blur) & by_channel[0])[:, None], sigma, 0.0),
        "brightness": factor(probs.brightness, *BRIGHTNESS),
        "contrast": factor(probs.contrast, *CONTRAST),
        "low_resolution": np.where(happens(probs.low_resolution) & by_channel[1], scale, 1.0),
        "inverted_gamma": factor(probs.inverted_gamma, *GAMMA),
        "gamma": factor(probs.gamma, *GAMMA),
    }


def _draw_map(probs: Augmentation, generator: np.random.Generator, axes: int) -> np.ndarray:
    """A rotation about every axis times a zoom; above 1 it shows more, smaller."""
    limit = math.radians(TURN_DEGREES)
    planes = list(combinations(range(axes), 2))
    angles = generator.uniform(-limit, limit, len(planes)) * (generator.random() < probs.rotate)
    zoom = generator.uniform(*ZOOM)
    matrix = np.eye(axes) * (zoom if generator.random() < probs.zoom else 1.0)
    for plane, angle in zip(planes, angles, strict=True):
        matrix = matrix @ turns(axes, plane, np.array([angle]))[0]
    return matrix
