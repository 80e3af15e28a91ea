"""Ranks of the configurations in every bootstrap sample, and their agreement with the observed
ranking.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """Ranks over the bootstrap samples. share [C, C] is how often configuration c has rank r + 1;
    low, high [C] bound 95 % of its ranks.

    tau is the mean of Kendall's tau-b between the observed ranking and the ranking of each sample,
    tau_low and tau_high its 95 % range.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    tau: float
    tau_low: float
    tau_high: float


def stability(estimates: np.ndarray, draws: np.ndarray) -> Stability | None:
    """Compare the ranking of estimates [C] with that of every draw [B, C]; None for fewer than two
    configurations or without a draw.

    Only draws without any patient may be NaN; they are ignored. Tied configurations share their
    ranks.
    """
    kept = draws[~np.isnan(draws).any(axis=1)]
    num = len(estimates)
    if num < 2 or len(kept) == 0:
        return None
    best, worst = (
        stats.rankdata(-np.round(kept, 12), axis=1, method=way).astype(np.int64)
        for way in ("min", "max")
    )
    low, high = np.quantile(best, [0.025, 0.975], axis=0, method="inverted_cdf")
    taus = kendall(estimates, kept)
    tau_low, tau_high = np.quantile(taus, [0.025, 0.975])
    return Stability(
        share=_shares(best, worst),
        low=low,
        high=high,
        tau=float(taus.mean()),
        tau_low=float(tau_low),
        tau_high=float(tau_high),
    )


def _shares(best: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """How often each configuration has each rank, [C, C]; a draw in which it is tied counts in
    equal parts for its ranks from best to worst, [B, C] each.
    """
    num, weight = best.shape[1], 1 / (worst - best + 1)
    steps = [
        np.bincount(best[:, c], weight[:, c], num + 2)
        - np.bincount(worst[:, c] + 1, weight[:, c], num + 2)
        for c in range(num)
    ]
    return np.cumsum(steps, axis=1)[:, 1 : num + 1] / len(best)


def kendall(estimates: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Kendall's tau-b (1945) between [C] and every row of [B, C]; 0 if all values of either are
    tied.
    """
    first, second = np.triu_indices(len(estimates), 1)
    ours = np.sign(np.round(estimates[first] - estimates[second], 12)).astype(np.float32)
    taus = []
    for start in range(0, len(draws), 1000):
        block = draws[start : start + 1000]
        theirs = np.sign(np.round(block[:, first] - block[:, second], 12)).astype(np.float32)
        untied = np.sqrt((ours != 0).sum() * (theirs != 0).sum(axis=1))
        taus.append(np.divide(theirs @ ours, untied, out=np.zeros(len(block)), where=untied > 0))
    return np.concatenate(taus)


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half of [N]; if N is not a multiple of 4, the cases at its edges count in
    part. NaN without a case.
    """
    num = len(values)
    if num == 0:
        return float("nan")
    edges = np.clip(np.arange(1, num + 1) / num, 0.25, 0.75) - np.clip(
        np.arange(num) / num, 0.25, 0.75
    )
    return float((np.sort(values) * edges).sum() / 0.5)
