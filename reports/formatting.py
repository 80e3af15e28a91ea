"""Text of numbers and names on the page, in one place so that it is the same everywhere."""

import html
import math
from collections.abc import Iterable, Sequence

from trials.records.spec import Cell, TrialSpec

# How the page calls the parts of a split.
SPLITS = {"train": "training", "val": "validation", "test": "test"}
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def cell_name(cell: Cell) -> str:
    """A configuration in one line."""
    return f"{cell.model} / {cell.loss} / {cell.sampling}"


def training_name(spec: TrialSpec, folds: Sequence[int]) -> str:
    """A final trial in words: its configuration and seed, and its fold if the run has several."""
    fold = f", fold {spec.fold}" if len(folds) > 1 else ""
    return f"{cell_name(spec.cell)}, seed {spec.seed}{fold}"


def number(value: float, digits: int = 3) -> str:
    """A rounded number, n/a for NaN; with a true minus sign if it is negative after rounding.

    Sums in another order differ in their last bits, and are rounded alike.
    """
    if math.isnan(value):
        return "n/a"
    text = f"{round(value, 9):.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign."""
    text = number(value, digits)
    return text if text == "n/a" or text.startswith(MINUS) or float(text) == 0 else f"+{text}"


def ranged(value: float, low: float, high: float) -> str:
    """A mean with its interval; only the mean if there is no interval."""
    return f"{number(value)} {interval(low, high)}".strip()


def interval(low: float, high: float, digits: int = 3) -> str:
    """Two bounds in brackets; "" if they are unknown."""
    return "" if math.isnan(low) else f"[{number(low, digits)}, {number(high, digits)}]"


def span(values: Sequence[float], digits: int = 3) -> str:
    """'0.10 to 0.20', or one number if both are equal after rounding."""
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} to {high}"


def signed_range(value: float, low: float, high: float) -> str:
    """A difference with its interval."""
    return f"{signed(value)} {signed_interval(low, high)}".strip()


def signed_interval(low: float, high: float) -> str:
    """The bounds of a difference in brackets; "" if they are unknown."""
    return "" if math.isnan(low) else f"[{signed(low)}, {signed(high)}]"


def percent(share: float) -> str:
    """A share in whole per cent; 'below 1 %' and 'above 99 %' instead of a rounded 0 or 100."""
    if math.isnan(share):
        return "n/a"
    if 0 < share < 0.01:
        return "below 1 %"
    return "above 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def quantity(value: float) -> str:
    """A large count with its prefix: 1.2 M, 45 G."""
    for limit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {name}"
    return f"{value:.0f}"


def many(count: int, noun: str, plural: str = "") -> str:
    """'1 case', '3 cases'."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def many_patients(patients: int, scans: int, kind: str = "") -> str:
    """'12 test patients', with the number of scans if some patients have several: '12 test
    patients, 20 scans'.
    """
    words = many(patients, f"{kind} patient".strip())
    return words if scans == patients else f"{words}, {many(scans, 'scan')}"


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def plain(name: str) -> str:
    """A user's string for a plotly figure, with its markup escaped."""
    return html.escape(name, quote=False)


def distinct(names: Iterable[str]) -> list[str]:
    """The distinct names in the order of their first appearance."""
    return list(dict.fromkeys(names))
