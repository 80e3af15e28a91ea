"""Published tables of Dice and IoU: a CSV file, as spreadsheets and authors write it. A row that
cannot be read is named, and the others are read.

This module only reads; the rules are in rules.py, the numbers in printed_number.py.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from reports.audit.printed_number import (
    PrintedCell,
    PrintedNumber,
    as_share,
    cell_decimals,
    is_per_cent,
    read_cell,
)
from trials.storage.foreign_text import read_foreign_text

NEEDED, NAMES = ("table", "iou", "dice"), ("class_name", "class_index")
SCORES = ("iou", "dice")
DELIMITERS = ",;\t|"
INDEX = re.compile(r"\d{1,9}", re.ASCII)
BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedRow:
    """One printed row: overlap of one class. line is its last line in the file, counted from 1."""

    line: int
    class_name: str
    is_background: bool
    dice: PrintedNumber
    iou: PrintedNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadRow:
    """A row that was not audited, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedTables:
    """The rows of each table in the file's order, the rows that cannot be read, and the columns
    that were read as per cent, such as "Table 2, dice".
    """

    tables: Mapping[str, tuple[PrintedRow, ...]]
    unread: tuple[UnreadRow, ...] = ()
    per_cent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row whose cells were read, before the columns of its table are known."""

    line: int
    table: str
    class_name: str
    is_background: bool
    cells: Mapping[str, PrintedCell]


def read_tables(file: Path) -> PrintedTables:
    """The tables of a CSV file.

    Columns: table, iou, dice, and class_name or class_index (0 is the background), in capitals or
    not; other columns are ignored. Cells are separated by commas, semicolons, tabs or bars. A
    number is a share or per cent, by its sign or by the other numbers of its column; a deviation
    behind it is ignored. It is rounded to the decimals it shows, a bare 0 or 1 to the most decimals
    in its table. Raises ValueError for a file without these columns or without a row to read.
    """
    rows: dict[str, list[_Row]] = {}
    unread = []
    for line, record in _records(file):
        try:
            row = _read_row(line, record)
            rows.setdefault(row.table, []).append(row)
        except ValueError as error:
            unread.append(UnreadRow(line=line, reason=str(error)))
    if not rows:
        first = f"; line {unread[0].line}: {unread[0].reason}" if unread else ""
        raise ValueError(
            f"{file} has no rows that can be read{first}; give one line for each class of each "
            "table"
        )
    tables: dict[str, tuple[PrintedRow, ...]] = {}
    per_cent: list[str] = []
    for name, members in rows.items():
        found, wrong, columns = _finish(members)
        tables |= {name: found} if found else {}
        unread += wrong
        per_cent += [f"{name}, {column}" for column in columns]
    unread.sort(key=lambda row: row.line)
    return PrintedTables(tables=tables, unread=tuple(unread), per_cent=tuple(per_cent))


def _records(file: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        # Spreadsheets of Western Europe write cp1252.
        text = read_foreign_text(file, fallback="cp1252")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); give a CSV file in UTF-8") from error
    if "\0" in text or text.startswith("PK"):
        raise ValueError(f"{file} cannot be read (it is no text); give a CSV file in UTF-8")
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    lines = csv.reader(StringIO(text), strict=True, delimiter=delimiter)
    try:
        header = _header(file, next(lines, []))
        for cells in lines:
            if any(cell.strip() for cell in cells):
                yield lines.line_num, _named(header, cells)
    except csv.Error as error:
        raise ValueError(
            f"{file} line {lines.line_num} is not valid CSV ({error}); correct its quotes"
        ) from error


def _header(file: Path, cells: Sequence[str]) -> list[str]:
    header = [re.sub(r"[ -]+", "_", name.strip().casefold()) for name in cells]
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
    return header


def _named(header: Sequence[str], cells: Sequence[str]) -> Mapping[str, str]:
    """The cells of a row by column; empty for a row of another length, which says so itself."""
    if len(cells) != len(header):
        return {"wrong": f"{len(cells)} cells, but {len(header)} columns; give one cell per column"}
    return dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _read_row(line: int, record: Mapping[str, str]) -> _Row:
    if "wrong" in record and "table" not in record:
        raise ValueError(record["wrong"])
    index = record.get("class_index", "")
    if index and not INDEX.fullmatch(index):
        raise ValueError(
            f"column class_index: {index[:40]!r} is not a class index; number the classes from 0"
        )
    named = record.get("class_name") or not index
    column = "class_name" if "class_name" in record else "class_index"
    name = _word(record, column) if named else f"class {int(index)}"
    cells = {}
    for score in SCORES:
        try:
            cells[score] = read_cell(record[score])
        except ValueError as error:
            raise ValueError(f"column {score}: {error}") from None
    return _Row(
        line=line,
        table=_word(record, "table"),
        class_name=name,
        is_background=int(index) == 0 if index else name.casefold() == BACKGROUND,
        cells=cells,
    )


def _finish(
    rows: Sequence[_Row],
) -> tuple[tuple[PrintedRow, ...], list[UnreadRow], list[str]]:
    """The rows of one table, those that do not fit their columns, and the columns in per cent."""
    in_per_cent = {score: is_per_cent([row.cells[score] for row in rows]) for score in SCORES}
    scales = {
        (row.line, score): row.cells[score].has_sign or in_per_cent[score]
        for row in rows
        for score in SCORES
    }
    finest = max(
        cell_decimals(row.cells[score], scales[row.line, score]) for row in rows for score in SCORES
    )
    found, unread = [], []
    for row in rows:
        numbers = {}
        try:
            for score in SCORES:
                numbers[score] = as_share(row.cells[score], scales[row.line, score], finest)
        except ValueError as error:
            unread.append(UnreadRow(line=row.line, reason=f"column {score}: {error}"))
            continue
        found.append(
            PrintedRow(
                line=row.line,
                class_name=row.class_name,
                is_background=row.is_background,
                dice=numbers["dice"],
                iou=numbers["iou"],
            )
        )
    return tuple(found), unread, [score for score in SCORES if in_per_cent[score]]


def _word(record: Mapping[str, str], column: str) -> str:
    word = " ".join(record[column].split())
    if not word or not word.isprintable():
        raise ValueError(f"column {column}: {word[:40]!r} is not a name; write a printable name")
    return word
