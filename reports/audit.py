"""Rules that any table of overlap scores obeys, ours or anybody's: what no set of masks could have given."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

K = TypeVar("K")


def feasible(dice: float, iou: float, half_unit: float = 0.0) -> bool:
    """Say whether IoU <= Dice <= 2 IoU / (1 + IoU) can hold for values printed to +-half_unit.

    True of one pair of masks (where Dice equals the upper bound), of pooled voxels, and of the means of both over the
    same items, as 2 x / (1 + x) is concave (Jensen). dice and iou lie in 0..1.
    """
    rounding = half_unit + 1e-12
    highest = min(iou + rounding, 1.0)
    return iou - rounding <= dice + rounding and dice - rounding <= 2 * highest / (1 + highest)


def duplicates(tables: Mapping[K, Sequence[object]]) -> dict[K, K]:
    """Map each table whose rows repeat an earlier one, value for value, to that earlier table."""
    first: dict[tuple[object, ...], K] = {}
    return {name: first[tuple(rows)] for name, rows in tables.items() if first.setdefault(tuple(rows), name) != name}
