"""Paired tests over patients and the correction for making many of them."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p of the signed-rank test of one paired difference a patient, [N], with zeros ranked (Pratt 1959).

    1 where no patient differs or there is none. Raises ValueError on NaN.
    """
    if np.isnan(differences).any():
        raise ValueError("a paired test needs a difference for every patient; got NaN; drop these patients from both sides")
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that the chance of any false claim in the family stays below the level (Holm 1979)."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
