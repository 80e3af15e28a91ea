"""Counts whose Dice is given, for tests of statistics that need no run folder."""

import numpy as np

from reports.load.counts import Counts


def counts_of(dice: np.ndarray) -> Counts:
    """Counts with these Dice values, [C, S, N, K] for the labels 1..K; a NaN patient does not hold
    the label.
    """
    num_cells, num_seeds, num_cases, num_labels = dice.shape
    true = np.zeros((num_cases, num_labels + 1), np.int64)
    true[:, 1:] = np.where(np.isnan(dice[0, 0]), 0, 10_000)
    overlap = np.zeros((num_cells, num_seeds, num_cases, num_labels + 1), np.int64)
    overlap[..., 1:] = np.rint(10_000 * np.nan_to_num(dice))
    pred = np.broadcast_to(true, overlap.shape).copy()
    names = tuple(f"case_{i}" for i in range(num_cases))
    return Counts(
        cases=names,
        true=true,
        pred=pred,
        overlap=overlap,
        available=np.ones((num_cells, num_seeds), bool),
    )
