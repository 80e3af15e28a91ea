"""Intensities of the foreground, and how a network's input is made of stored ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# nnU-Net's: Isensee et al. 2021, supplementary note 2.
PERCENTILES = (0.5, 99.5)
LOWEST, NUM_VALUES = -(2**15), 2**16
# A volume's own z-score is stored in thousandths.
STORED_PER_DEVIATION = 1000.0


@dataclass(slots=True)
class Histogram:
    """How often each int16 occurs: counts int64 [65536], that of -32768 first."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(NUM_VALUES, np.int64))

    def add(self, values: np.ndarray) -> None:
        """Count int16 values of any shape."""
        self.counts += np.bincount(values.ravel().astype(np.int64) - LOWEST, minlength=NUM_VALUES)

    def pairs(self) -> np.ndarray:
        """The values that occur and how often, int32 [n, 2]."""
        held = np.flatnonzero(self.counts)
        return np.stack([held + LOWEST, self.counts[held]], 1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Scaling:
    """A network's input from stored intensities: cut to low..high, less mean, over sd. pad is the
    stored number beyond a volume's border.
    """

    low: float
    high: float
    mean: float
    sd: float
    pad: int


# Stored numbers are thousandths of a deviation of their volume, whose mean goes on beyond its
# border.
BY_VOLUME = Scaling(float(LOWEST), -float(LOWEST), 0.0, STORED_PER_DEVIATION, 0)


def pads_of(scalings: Sequence[Scaling]) -> np.ndarray:
    """What lies beyond the border of an image [C, D, H, W], as int16 [C, 1, 1, 1]."""
    return np.array([scaling.pad for scaling in scalings], np.int16)[:, None, None, None]


def train_scaling(foregrounds: Sequence[np.ndarray]) -> Scaling:
    """The scaling by the foreground of the training cases, each int32 [n, 2] of values and counts:
    cut at the 0.5 and 99.5 percentiles, then mean and deviation of all of it, before the cut.

    Every case weighs the same, however large its foreground; cases without any do not count.
    Beyond the border it is as dark as the darkest. Raises ValueError for foreground of one value.
    """
    weights = np.zeros(NUM_VALUES)
    for pairs in foregrounds:
        if len(pairs):
            weights[pairs[:, 0] - LOWEST] += pairs[:, 1] / pairs[:, 1].sum()
    if np.count_nonzero(weights) < 2:
        raise ValueError(
            "a CT channel is normalised by the foreground of the training cases, whose intensity "
            "must vary; it does not; choose another split, or name the channel otherwise"
        )
    weights /= weights.sum()
    values = np.arange(NUM_VALUES) + LOWEST
    low, high = np.searchsorted(np.cumsum(weights), np.array(PERCENTILES) / 100) + LOWEST
    mean = float(weights @ values)
    sd = float(np.sqrt(weights @ np.square(values - mean)))
    return Scaling(float(low), float(high), float(f"{mean:.6g}"), float(f"{sd:.6g}"), int(low))
