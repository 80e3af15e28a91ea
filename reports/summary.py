"""Every configuration's mean scores with their intervals: the numbers that tables, maps and the paper's rows show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reports.counts import Counts, Ratio
from reports.stats.intervals import case_weights, interval, nan_mean, point, resample, seed_weights
from reports.table import dice_of, iou_of

MEAN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One configuration's scores for one label (or MEAN, over the foreground labels that some patient holds).

    dice, iou (0..1) are means over the n patients that hold the label, then over the seeds; low and high bound their 95 %
    intervals. Of the label_free patients, fp_share have a false positive; fp_voxels are predicted there on average.
    NaN where there is nothing, intervals also where n is below 2.
    """

    dice: float
    dice_low: float
    dice_high: float
    iou: float
    iou_low: float
    iou_high: float
    n: int
    seeds: int
    label_free: int
    fp_share: float
    fp_voxels: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """One ratio of one split and space: estimates [C] and draws [B, C] by label, MEAN included."""

    estimates: Mapping[int, np.ndarray]
    draws: Mapping[int, np.ndarray]


def resample_ratio(counts: Counts, ratio: Ratio = dice_of) -> Resampled:
    """Estimate and resample one ratio for every label and for their mean; the draws depend on the patients alone."""
    cases, seeds = case_weights(max(len(counts.cases), 1)), seed_weights(counts.available)
    num_labels = counts.true.shape[1]
    estimates, draws = {}, {}
    for label in range(num_labels):
        values = counts.ratio(label, ratio) if counts.cases else np.full((*counts.available.shape, 1), np.nan)
        estimates[label], draws[label] = point(values), resample(values, cases, seeds)
    held = [label for label in range(1, num_labels) if counts.num_holding(label)]
    nothing = np.full(len(counts.available), np.nan)
    estimates[MEAN] = np.mean([estimates[label] for label in held], axis=0) if held else nothing
    draws[MEAN] = np.mean([draws[label] for label in held], axis=0) if held else np.tile(nothing, (len(cases), 1))
    return Resampled(estimates=estimates, draws=draws)


def summarise(counts: Counts) -> dict[tuple[int, int], Standing]:
    """The standing of every (configuration, label), MEAN included, in one split and space."""
    dice, iou = resample_ratio(counts), resample_ratio(counts, iou_of)
    standings = {}
    for label in dice.draws:
        num = _num_patients(counts, label)
        scores = [*_with_interval(dice, label, num), *_with_interval(iou, label, num)]
        false = _false_positives(counts, label)
        for i in range(len(counts.available)):
            names = ("dice", "dice_low", "dice_high", "iou", "iou_low", "iou_high")
            standings[i, label] = Standing(
                **{name: float(column[i]) for name, column in zip(names, scores, strict=True)},
                n=num,
                seeds=int(counts.available[i].sum()),
                label_free=false.shape[2],
                fp_share=float(nan_mean(np.where(np.isnan(false[i]), np.nan, false[i] > 0).ravel(), 0)),
                fp_voxels=float(nan_mean(false[i].ravel(), 0)),
            )
    return standings


def _num_patients(counts: Counts, label: int) -> int:
    return int((counts.true[:, 1:] > 0).any(axis=1).sum()) if label == MEAN else counts.num_holding(label)


def _with_interval(resampled: Resampled, label: int, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = interval(resampled.draws[label])
    if num < 2:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return resampled.estimates[label], low, high


def _false_positives(counts: Counts, label: int) -> np.ndarray:
    return np.full((*counts.available.shape, 0), np.nan) if label == MEAN else counts.false_positives(label)
