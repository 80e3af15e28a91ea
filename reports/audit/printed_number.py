"""A Dice or an IoU as papers print it: a share or per cent, with or without its deviation, each
with its own rounding.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

PLAIN = re.compile(r"(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_ONE = r"(?:\d+[.,]?\d*|[.,]\d+)(?:e[-+]?\d{1,3})?"
# What follows a mean: its deviation, or an interval in brackets.
_SPREAD = rf"(?:(?:±|\+/?-|\\pm)\s*{_ONE}|\([^()]*\)|\[[^\[\]]*\])"
CELL = re.compile(
    rf"(?P<mean>{_ONE})\s*(?P<sign>%?)\s*{_SPREAD}?\s*(?P<last>%?)", re.ASCII | re.IGNORECASE
)
MISSING = frozenset({"", "-", "\u2013", "\u2014", "/", "n/a", "na", "nan", "none", "n.a."})
# Signs of footnotes, of bold type and of LaTeX.
MARKS = "*\u2020\u2021$ \u00a0\u2009"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedNumber:
    """A number in 0..1 as it was printed; the exact value lies within half_unit of value."""

    text: str
    value: float
    half_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedCell:
    """What a cell prints: its text, its number with a decimal point, and whether a sign says per
    cent.
    """

    text: str
    number: str
    has_sign: bool

    def is_above_one(self) -> bool:
        """Whether the number is no share, so that only per cent can be meant."""
        return float(self.number) > 1


def read_number(text: str, whole_decimals: int = 0) -> PrintedNumber:
    """Read a printed share; one without decimals is rounded to whole_decimals. Raises ValueError
    outside 0..1.
    """
    if not PLAIN.fullmatch(text) or not 0 <= float(text) <= 1:
        raise ValueError(
            f"{text[:40]!r} is not a number in 0..1; write shares with a decimal point, not per "
            "cent"
        )
    return PrintedNumber(
        text=text, value=float(text), half_unit=0.5 * 10.0 ** -(decimals(text) or whole_decimals)
    )


def read_cell(text: str) -> PrintedCell:
    """The mean that a cell prints. Raises ValueError for a missing value, and for what is neither a
    share nor per cent.
    """
    bare = text.strip(MARKS)
    if bare.casefold() in MISSING:
        raise ValueError(f"{text[:40]!r} is missing")
    found = CELL.fullmatch(bare)
    number = found["mean"].replace(",", ".") if found else ""
    if found is None or not 0 <= float(number) <= 100:
        raise ValueError(f"{text[:40]!r} is not a number in 0..1 and not per cent")
    return PrintedCell(text=text, number=number, has_sign=bool(found["sign"] or found["last"]))


def is_per_cent(column: Sequence[PrintedCell]) -> bool:
    """Whether the numbers without a sign in a table's column are per cent: most of those that are
    not 0 are above 1.
    """
    counted = [cell for cell in column if not cell.has_sign and float(cell.number)]
    return sum(cell.is_above_one() for cell in counted) * 2 > len(counted)


def cell_decimals(cell: PrintedCell, per_cent: bool) -> int:
    """The decimals that a cell shows of its share: per cent show two more; 0 for a bare 0 or 1,
    which shows none.
    """
    if float(cell.number) in (0, 100 if per_cent else 1) and not decimals(cell.number):
        return 0
    return decimals(cell.number) + (2 if per_cent else 0)


def as_share(cell: PrintedCell, per_cent: bool, finest: int) -> PrintedNumber:
    """The share that a cell prints; one that shows no decimals has the finest of its table. Raises
    ValueError for a number that does not fit its column.
    """
    if not per_cent and cell.is_above_one():
        raise ValueError(
            f"{cell.text[:40]!r} is above 1 in a column of shares; write '%' behind it if it is "
            "per cent"
        )
    if per_cent and not cell.has_sign and 0 < float(cell.number) <= 1:
        raise ValueError(
            f"{cell.text[:40]!r} is a share in a column of per cent; write '%' behind it if it is "
            "per cent"
        )
    value = float(Decimal(cell.number).scaleb(-2)) if per_cent else float(cell.number)
    shown = cell_decimals(cell, per_cent) or finest
    return PrintedNumber(text=cell.text, value=value, half_unit=0.5 * 10.0**-shown)


def decimals(text: str) -> int:
    """The number of decimals of a printed number: 3 for 0.050 and for 5.0e-2."""
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int), "read as a finite number before"
    return max(0, -exponent)
