"""The mean Dice under different rules for empty classes, as pure functions of voxel counts, and the
rules that rank by it.

Counts are arrays [..., N, K]: true, predicted and overlapping voxels of N cases and K foreground
labels. A NaN score does not count. patients [N] names the patient of each case, whose scores are
averaged first; it is empty if each case is a patient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from reports.load.by_patient import by_patient
from reports.stats.intervals import nan_mean
from reports.table import dice_of

ByCase = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Mean = Callable[..., np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """A rule for empty classes. by_case gives the Dice of each case and label; None if the rule has
    no score of a single case.

    by_label averages to [..., K], over_all to [...]: what its library reports per class and
    overall. rule is the explanation for the reader.
    """

    title: str
    rule: str
    by_case: ByCase | None
    by_label: Mean
    over_all: Mean


def positives_only(true: np.ndarray, pred: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Dice where the reference has the label; other cases do not count, nor do false positives in
    them.
    """
    return np.where(true > 0, dice_of(true, pred, overlap), np.nan)


def one_if_both_empty(true: np.ndarray, pred: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Dice of every case: 1 where both are empty, 0 where one is (KiTS23's evaluation code, version
    0.1.4).
    """
    return np.where(true + pred > 0, dice_of(true, pred, overlap), 1.0)


def skipped_if_both_empty(true: np.ndarray, pred: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Dice where either mask has the label: 0 where only one does (nnU-Net's compute_metrics)."""
    return dice_of(true, pred, overlap)


def pooled(
    true: np.ndarray, pred: np.ndarray, overlap: np.ndarray, patients: tuple[str, ...] = ()
) -> np.ndarray:
    """Dice of the voxels of all cases together, [..., K]: large patients and large lesions have the
    largest weight.
    """
    return dice_of(true.sum(axis=-2), pred.sum(axis=-2), overlap.sum(axis=-2))


def over_cases(by_case: ByCase) -> Mean:
    """The mean over the cases that count, by patient first, [..., K]."""
    return lambda true, pred, overlap, patients=(): nan_mean(
        by_patient(by_case(true, pred, overlap), patients, -2), -2
    )


def over_labels(by_label: Mean) -> Mean:
    """The mean of the labels' means, [...]; a label without a mean does not count."""
    return lambda true, pred, overlap, patients=(): nan_mean(
        by_label(true, pred, overlap, patients), -1
    )


def labels_first(by_case: ByCase) -> Mean:
    """The mean over cases, by patient first, of each case's mean over the labels that count in it,
    [...].
    """
    return lambda true, pred, overlap, patients=(): nan_mean(
        by_patient(nan_mean(by_case(true, pred, overlap), -1), patients), -1
    )


def _by_case(title: str, rule: str, by_case: ByCase, over_all: Mean | None = None) -> Convention:
    by_label = over_cases(by_case)
    return Convention(
        title=title,
        rule=rule,
        by_case=by_case,
        by_label=by_label,
        over_all=over_all or over_labels(by_label),
    )


CONVENTIONS: Mapping[str, Convention] = {
    "positives": _by_case(
        "positives only",
        "a class is averaged over the patients whose reference has it; false positives in the "
        "others are reported separately",
        positives_only,
    ),
    "kits": _by_case(
        "right if both are empty",
        "a patient without the class scores 1 if nothing was predicted and 0 otherwise",
        one_if_both_empty,
    ),
    "nnunet": _by_case(
        "nnU-Net",
        "a patient without the class scores 0 if anything was predicted and does not count "
        "otherwise, so models are averaged over different patients",
        skipped_if_both_empty,
    ),
    "monai": _by_case(
        "MONAI",
        "a patient without the class does not count, and false positives have no effect; the "
        "overall mean is taken within each patient first",
        positives_only,
        labels_first(positives_only),
    ),
    "pooled": Convention(
        title="pooled voxels",
        rule=(
            "the voxels of all patients are counted as one volume, so large lesions have the "
            "largest weight"
        ),
        by_case=None,
        by_label=pooled,
        over_all=over_labels(pooled),
    ),
}


def mean_then_rank(means: np.ndarray) -> np.ndarray:
    """Rank of each of C mean scores, 1 for the highest; ties share the better rank, NaN has
    none.
    """
    ranks = np.full(len(means), np.nan)
    held = ~np.isnan(means)
    ranks[held] = rankdata(-means[held], method="min")
    return ranks


def rank_then_mean(by_case: np.ndarray) -> np.ndarray:
    """Rank within every case and label of [C, N, K], average the ranks over cases, then labels, and
    rank the averages.

    Ties share their mean rank. A NaN score has no rank in its case; a row without any rank has no
    final rank.
    """
    order = by_case.transpose(1, 2, 0).reshape(-1, len(by_case))
    ranks = rankdata(-order, axis=1, nan_policy="omit") if order.size else order
    by_label = nan_mean(ranks.reshape(*by_case.shape[1:], len(by_case)), 0)
    return mean_then_rank(-nan_mean(by_label, 0))


def kits_rank(dice: np.ndarray, surface_dice: np.ndarray, tumor_dice: np.ndarray) -> np.ndarray:
    """The challenge's rank of each of C sets of predictions, 1 for the best.

    dice and surface_dice are means over the three nested regions and all cases; each is ranked
    (ties 'min'), the two ranks are averaged, and ties are broken by the tumor's mean Dice. NaN has
    no rank.
    """
    average = (mean_then_rank(dice) + mean_then_rank(surface_dice)) / 2
    ranks = np.full(len(dice), np.nan)
    held = np.flatnonzero(~np.isnan(average))
    for i in held:
        ahead = (average[held] < average[i]) | (
            (average[held] == average[i]) & (tumor_dice[held] > tumor_dice[i])
        )
        ranks[i] = 1 + ahead.sum()
    return ranks
