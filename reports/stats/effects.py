"""The effect of one factor, paired over the others: only blocks with every level count."""

from collections.abc import Sequence

import numpy as np

from trials.records.questions import FACTORS
from trials.records.spec import Cell


def complete_blocks(
    cells: Sequence[Cell], factor: str, levels: Sequence[str], scored: np.ndarray
) -> list[list[int]]:
    """Blocks of a factor: for every setting of the other two, the indices of its cells in the order
    of levels.

    scored [C] says which cells have a score; a block without a score for some level is left out.
    """
    others = [name for name in FACTORS if name != factor]
    place = {cell: i for i, cell in enumerate(cells) if scored[i]}
    blocks: dict[tuple[str, ...], dict[str, int]] = {}
    for cell, i in place.items():
        blocks.setdefault(tuple(getattr(cell, name) for name in others), {})[
            getattr(cell, factor)
        ] = i
    return [
        [block[level] for level in levels] for block in blocks.values() if set(levels) <= set(block)
    ]


def level_weights(blocks: Sequence[Sequence[int]], num_cells: int) -> np.ndarray:
    """Weights [L, C] that turn the cells' means into the levels' marginal means; every block has
    the same weight.
    """
    weights = np.zeros((len(blocks[0]), num_cells))
    for block in blocks:
        for level, i in enumerate(block):
            weights[level, i] += 1 / len(blocks)
    return weights


def contrast(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted sums of cells, [..., C] to [..., L]; cells of weight 0 may be NaN."""
    used = weights.any(axis=0)
    return values[..., used] @ weights[:, used].T
