"""Sparse volumes: their non-empty rows, since most of a mask is empty even if small components are
far apart; and the points of a lattice that have a point of another set within a distance, found by
table look-up of offsets.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows along W of a volume: values [M, W] uint8 or bool, the m-th at (d[m], h[m]), sorted; all
    other rows are empty.
    """

    d: np.ndarray
    h: np.ndarray
    values: np.ndarray


def shared_rows(true: np.ndarray, pred: np.ndarray) -> tuple[Rows, Rows]:
    """The rows of two volumes [D, H, W], uint8 or bool, that are non-empty in either."""
    held = (np.bitwise_or.reduce(true, axis=2) | np.bitwise_or.reduce(pred, axis=2)) != 0
    d, h = np.nonzero(held)
    return Rows(d=d, h=h, values=true[held]), Rows(d=d, h=h, values=pred[held])


def drop_empty_rows(rows: Rows) -> Rows:
    """The non-empty rows."""
    held = rows.values.any(axis=1)
    return Rows(d=rows.d[held], h=rows.h[held], values=rows.values[held])


def to_rows(mask: np.ndarray) -> Rows:
    """The non-empty rows of a volume [D, H, W]."""
    held = np.bitwise_or.reduce(mask, axis=2) != 0
    d, h = np.nonzero(held)
    return Rows(d=d, h=h, values=mask[held])


Spacing = tuple[float, float, float]
# Beyond this many offsets a search tree is faster.
MAX_OFFSETS = 1000


def offsets_within(spacing_mm: Spacing, limit_mm: float) -> np.ndarray | None:
    """Lattice offsets (D, H, W) of length at most limit_mm, nearest first, int64 [B, 3]; None if
    there are more than MAX_OFFSETS.
    """
    reach = [int(limit_mm / step) + 1 for step in spacing_mm]
    if np.prod([2.0 * steps + 1 for steps in reach]) > 8 * MAX_OFFSETS:
        return None
    steps = np.array(list(product(*(range(-steps, steps + 1) for steps in reach))))
    lengths = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    inside = order[lengths[order] <= limit_mm]
    return steps[inside] if len(inside) <= MAX_OFFSETS else None


def find_near(
    first: np.ndarray, second: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which points of first [N, 3], and which of second [M, 3], have a point of the other at one of
    the offsets: bool [N], [M].

    The offsets must include each one's opposite. Allocates one byte per lattice point of the box
    around both sets.
    """
    near = np.zeros(len(first), bool), np.zeros(len(second), bool)
    if not len(first) or not len(second) or not len(offsets):
        return near
    reach = np.abs(offsets).max(axis=0)
    start = np.maximum(first.min(axis=0), second.min(axis=0)) - reach
    stop = np.minimum(first.max(axis=0), second.max(axis=0)) + reach + 1
    if (stop <= start).any():
        return near
    # Pad the box by one reach, so that no offset leaves it or wraps around its edge.
    shape = tuple(stop - start + 2 * reach)
    inside = [
        np.flatnonzero(((points >= start) & (points < stop)).all(axis=1))
        for points in (first, second)
    ]
    keys = [
        np.ravel_multi_index(tuple((points[held] - start + reach).T), shape)
        for points, held in zip((first, second), inside, strict=True)
    ]
    steps = offsets @ np.array([shape[1] * shape[2], shape[2], 1])
    table = np.zeros(int(np.prod(shape)), bool)
    for side, other in ((0, 1), (1, 0)):
        table[keys[other]] = True
        left = np.arange(len(keys[side]))
        for step in steps:
            found = table[keys[side][left] + step]
            near[side][inside[side][left[found]]] = True
            left = left[~found]
        table[keys[other]] = False
    return near
