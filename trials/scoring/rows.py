"""Sparse volumes: only the non-empty rows, since most of a mask is empty even if small components
are far apart.
"""

from dataclasses import dataclass

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
