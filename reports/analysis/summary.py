"""The mean scores of every configuration with their intervals, as shown in tables, maps and
figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reports.load.counts import Counts, Ratio
from reports.stats.effects import contrast
from reports.stats.intervals import (
    DRAWS,
    case_weights,
    class_shares,
    nan_mean,
    point,
    resample,
    student_interval,
)
from reports.stats.trainings import (
    draw_trainings,
    fold_excess,
    training_effects,
    training_variance,
)
from reports.table import dice_of, iou_of

MEAN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSummary:
    """One configuration's scores for one label (or MEAN, over the foreground labels that some
    patient has).

    dice, iou (0..1) are means over the n patients that have the label, then over the seeds; low and
    high bound their 95 % intervals. Of the label_free patients, fp_share have a false positive;
    fp_voxels are predicted there on average. NaN if there is nothing to average, intervals also if
    n is below 2. A patient's cases are averaged first.
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
    """One ratio of one split and space, by label, MEAN included: estimates [C], draws [B, C], and
    seed_effect [B, C], the part of the draws that is due to trainings. df are the degrees of
    freedom of the patients and of the trainings; excess is fold_excess.
    """

    estimates: Mapping[int, np.ndarray]
    draws: Mapping[int, np.ndarray]
    seed_effect: Mapping[int, np.ndarray]
    df: Mapping[int, tuple[int, int]]
    excess: Mapping[int, np.ndarray | None]

    def interval(
        self, label: int, bounds: tuple[float, float] = (0.0, 1.0)
    ) -> tuple[np.ndarray, np.ndarray]:
        """The 95 % interval of every configuration's mean, within the bounds."""
        low, high = student_interval(
            self.estimates[label], self.draws[label], self.seed_effect[label], self.df[label]
        )
        return np.clip(low, *bounds), np.clip(high, *bounds)

    def lead_interval(self, label: int, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The 95 % interval of configuration i's mean minus each configuration's; both share the
        patients, but not the seeds.
        """
        estimates, draws, seed_effect = (
            of[label] for of in (self.estimates, self.draws, self.seed_effect)
        )
        excess = self.excess[label]
        return student_interval(
            estimates[i] - estimates,
            draws[:, [i]] - draws,
            seed_effect[:, [i]] - seed_effect,
            self.df[label],
            of_folds=None if excess is None else excess[i] + excess,
        )

    def contrast_interval(
        self, label: int, weights: np.ndarray, level: float = 0.95
    ) -> tuple[np.ndarray, np.ndarray]:
        """The interval of weighted sums of configurations, weights [L, C]; a configuration of
        weight 0 may have no score.
        """
        estimates, draws, seed_effect = (
            contrast(weights, of[label]) for of in (self.estimates, self.draws, self.seed_effect)
        )
        excess = self.excess[label]
        of_folds = None if excess is None else contrast(weights**2, excess)
        return student_interval(estimates, draws, seed_effect, self.df[label], level, of_folds)


def resample_ratio(counts: Counts, ratio: Ratio = dice_of, num_draws: int = DRAWS) -> Resampled:
    """Estimate and resample one ratio for every label and for their mean; the draws depend on the
    patients only.
    """
    unscored = np.full((*counts.available.shape, 1), np.nan)
    labels = range(counts.true.shape[1])
    values = {label: counts.ratio(label, ratio) if counts.cases else unscored for label in labels}
    return resample_values(values, counts.available, num_draws, counts.patient_folds)


def resample_values(
    values: Mapping[int, np.ndarray],
    available: np.ndarray,
    num_draws: int = DRAWS,
    folds: tuple[int, ...] = (),
) -> Resampled:
    """Estimate and resample scores by label, each [C, S, N] with NaN if a patient does not count or
    a seed is missing.

    available [C, S] says which seeds exist; folds [N] names the fold of each patient, empty for one
    split. MEAN is over the labels above 0 that some patient has.
    """
    num_cases = next(iter(values.values())).shape[2]
    cases = case_weights(num_cases, num_draws)
    drawn = draw_trainings(available, folds, num_draws)
    estimates, draws, seed_effect, df, excess = {}, {}, {}, {}, {}
    for label, of in values.items():
        # A training that predicts nothing of a class has a Dice in it, but no HD95.
        has_value = (~np.isnan(of)).any(axis=2)
        all_have = bool((has_value == available).all())
        picks = drawn if all_have else draw_trainings(has_value, folds, num_draws)
        estimates[label], seed_effect[label] = point(of), training_effects(of, picks, folds)
        draws[label] = resample(of, cases) + seed_effect[label]
        num_counted = int((~np.isnan(of)).any(axis=(0, 1)).sum())
        df[label] = (num_counted - 1, training_variance(of, folds)[1])
        excess[label] = fold_excess(of, folds)
    held = [label for label in values if label > 0 and df[label][0] >= 0]
    nothing = np.full(len(available), np.nan)
    estimates[MEAN] = np.mean([estimates[label] for label in held], axis=0) if held else nothing
    for part in (draws, seed_effect):
        part[MEAN] = (
            np.mean([part[label] for label in held], axis=0)
            if held
            else np.tile(nothing, (num_draws, 1))
        )
    # The rarest class has the fewest patients, and its degrees of freedom also limit the mean.
    df[MEAN] = (min(df[label][0] for label in held), df[held[0]][1]) if held else (0, 0)
    excess[MEAN] = fold_excess(class_shares([values[of] for of in held]), folds) if held else None
    return Resampled(
        estimates=estimates, draws=draws, seed_effect=seed_effect, df=df, excess=excess
    )


def summarise(counts: Counts, dice: Resampled) -> dict[tuple[int, int], ScoreSummary]:
    """The summary of every (configuration, label), MEAN included, in one split and space; dice is
    its resample_ratio.
    """
    iou = resample_ratio(counts, iou_of)
    summaries = {}
    for label in dice.draws:
        num = _num_patients(counts, label)
        scores = [*_with_interval(dice, label, num), *_with_interval(iou, label, num)]
        false = _false_positives(counts, label)
        for i in range(len(counts.available)):
            names = ("dice", "dice_low", "dice_high", "iou", "iou_low", "iou_high")
            summaries[i, label] = ScoreSummary(
                **{name: float(column[i]) for name, column in zip(names, scores, strict=True)},
                n=num,
                seeds=int(counts.available[i].sum()),
                label_free=false.shape[2],
                fp_share=float(
                    nan_mean(np.where(np.isnan(false[i]), np.nan, false[i] > 0).ravel(), 0)
                ),
                fp_voxels=float(nan_mean(false[i].ravel(), 0)),
            )
    return summaries


def _num_patients(counts: Counts, label: int) -> int:
    labels = range(1, counts.true.shape[1]) if label == MEAN else (label,)
    return int(np.any([counts.holding(of) for of in labels], axis=0).sum())


def _with_interval(
    resampled: Resampled, label: int, num: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = resampled.interval(label)
    if num < 2:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return resampled.estimates[label], low, high


def _false_positives(counts: Counts, label: int) -> np.ndarray:
    return (
        np.full((*counts.available.shape, 0), np.nan)
        if label == MEAN
        else counts.false_positives(label)
    )
