"""Published tables of Dice and IoU: a CSV file read strictly, each number with its own rounding.

This module only reads; the rules are in rules.py.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

NEEDED, NAMES = ("table", "iou", "dice"), ("class_name", "class_index")
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)
INDEX = re.compile(r"\d{1,9}", re.ASCII)
BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedNumber:
    """A number in 0..1 as it was printed; the exact value lies within half_unit of value."""

    text: str
    value: float
    half_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedRow:
    """One printed row: overlap of one class. line is its last line in the file, counted from 1."""

    line: int
    class_name: str
    is_background: bool
    dice: PrintedNumber
    iou: PrintedNumber


def read_tables(file: Path) -> dict[str, tuple[PrintedRow, ...]]:
    """The rows of each table in a CSV file, in the file's order.

    Columns: table, iou, dice, and class_name or class_index (0 is the background); other columns
    are ignored. A number is rounded to the decimals it shows, a bare 0 or 1 to the most decimals in
    its table. Raises ValueError with file, line and column for what is missing or is not a number
    in 0..1.
    """
    try:
        lines = csv.reader(StringIO(file.read_text(encoding="utf-8-sig")), strict=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read ({error}); give a CSV file in UTF-8") from error
    try:
        records = list(_records(file, lines))
    except csv.Error as error:
        raise ValueError(
            f"{file} line {lines.line_num} is not valid CSV ({error}); correct its quotes"
        ) from error
    if not records:
        raise ValueError(f"{file} has no rows; give one line for each class of each table")
    tables: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
    for line, record in records:
        tables.setdefault(_word(file, line, record, "table"), []).append((line, record))
    return {name: _rows(file, members) for name, members in tables.items()}


def read_number(text: str, whole_decimals: int = 0) -> PrintedNumber:
    """Read a printed number; one without decimals is rounded to whole_decimals. Raises ValueError
    outside 0..1.
    """
    if not NUMBER.fullmatch(text) or not 0 <= float(text) <= 1:
        raise ValueError(
            f"{text[:40]!r} is not a number in 0..1; write shares with a decimal point, not per "
            "cent"
        )
    return PrintedNumber(
        text=text, value=float(text), half_unit=0.5 * 10.0 ** -(decimals(text) or whole_decimals)
    )


def decimals(text: str) -> int:
    """The number of decimals of a printed number: 3 for 0.050 and for 5.0e-2."""
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int), "read as a finite number before"
    return max(0, -exponent)


def _records(file: Path, lines: Any) -> Iterator[tuple[int, Mapping[str, str]]]:
    header = [name.strip() for name in next(lines, [])]
    missing = [name for name in NEEDED if name not in header]
    if not set(NAMES) & set(header):
        missing.append(" or ".join(NAMES))
    if missing:
        raise ValueError(
            f"{file} line 1: no column {', '.join(missing)} among {header!r:.200}; use these "
            "column names"
        )
    if twice := [name for name in (*NEEDED, *NAMES) if header.count(name) > 1]:
        raise ValueError(f"{file} line 1: column {twice[0]} appears twice; keep one")
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise ValueError(
                f"{file} line {lines.line_num}: {len(cells)} cells, but {len(header)} columns; "
                "give one cell per column"
            )
        yield lines.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _rows(file: Path, lines: list[tuple[int, Mapping[str, str]]]) -> tuple[PrintedRow, ...]:
    for line, record in lines:
        for column in ("iou", "dice"):
            try:
                read_number(record[column])
            except ValueError as error:
                raise ValueError(f"{file} line {line}, column {column}: {error}") from error
    finest = max(decimals(record[column]) for _, record in lines for column in ("iou", "dice"))
    return tuple(_row(file, line, record, finest) for line, record in lines)


def _row(file: Path, line: int, record: Mapping[str, str], finest: int) -> PrintedRow:
    index = record.get("class_index", "")
    if index and not INDEX.fullmatch(index):
        raise ValueError(
            f"{file} line {line}, column class_index: {index[:40]!r} is not a class index; number "
            "the classes from 0"
        )
    named = record.get("class_name") or not index
    column = "class_name" if "class_name" in record else "class_index"
    name = _word(file, line, record, column) if named else f"class {int(index)}"
    return PrintedRow(
        line=line,
        class_name=name,
        is_background=int(index) == 0 if index else name.casefold() == BACKGROUND,
        dice=read_number(record["dice"], finest),
        iou=read_number(record["iou"], finest),
    )


def _word(file: Path, line: int, record: Mapping[str, str], column: str) -> str:
    word = " ".join(record[column].split())
    if not word or not word.isprintable():
        raise ValueError(
            f"{file} line {line}, column {column}: {word[:40]!r} is not a name; write a printable "
            "name"
        )
    return word
