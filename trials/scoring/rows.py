"""Volumes as the rows that hold something: most of a scan is empty, also where a few specks lie far
apart in it.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows along W of a volume: values [M, W] uint8 or bool, the m-th at (d[m], h[m]), sorted;
    every other row is empty.
    """

    d: np.ndarray
    h: np.ndarray
    values: np.ndarray


def shared_rows(true: np.ndarray, pred: np.ndarray) -> tuple[Rows, Rows]:
    """The rows of two volumes [D, H, W], of uint8 or bool, in which either of them
    holds something."""
    held = (np.bitwise_or.reduce(true, axis=2) | np.bitwise_or.reduce(pred, axis=2)) != 0
    d, h = np.nonzero(held)
    return Rows(d=d, h=h, values=true[held]), Rows(d=d, h=h, values=pred[held])


def held_rows(rows: Rows) -> Rows:
    """Those of the rows that hold something."""
    held = rows.values.any(axis=1)
    return Rows(d=rows.d[held], h=rows.h[held], values=rows.values[held])


def rows_of(mask: np.ndarray) -> Rows:
    """The rows of a volume [D, H, W] that hold something."""
    held = np.bitwise_or.reduce(mask, axis=2) != 0
    d, h = np.nonzero(held)
    return Rows(d=d, h=h, values=mask[held])
