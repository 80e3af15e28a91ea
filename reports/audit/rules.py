"""Rules that every table of overlap scores must satisfy, this run's or any other: scores that no
masks can have.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from reports.audit.floor import SLACK, Floor, at_floor, given_floor, kits23_floor
from reports.audit.printed_table import PrintedRow, PrintedTables, read_tables
from reports.formatting import listed, many

K = TypeVar("K")
Tables = Mapping[str, Sequence[PrintedRow]]
# The table, the class of its row (None: the whole table), and the text of the finding.
Message = tuple[str, str | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """One violation of a rule; row is the class of the row, None for the whole table."""

    table: str
    row: str | None
    rule: str
    message: str


def feasible(
    dice: float, iou: float, half_unit: float = 0.0, iou_half_unit: float | None = None
) -> bool:
    """Whether IoU <= Dice <= 2 IoU / (1 + IoU) can be true for values printed to +-half_unit.

    iou_half_unit is the rounding of the IoU if it has other decimals than the Dice. The rule is
    true for one pair of masks (Dice equals the upper bound), for pooled voxels, and for the means
    of both over the same items, because 2 x / (1 + x) is concave (Jensen). dice and iou lie in
    0..1.
    """
    lowest_dice, highest_dice = dice - half_unit - 1e-12, dice + half_unit + 1e-12
    iou_rounding = (half_unit if iou_half_unit is None else iou_half_unit) + 1e-12
    highest_iou = min(iou + iou_rounding, 1.0)
    return iou - iou_rounding <= highest_dice and lowest_dice <= 2 * highest_iou / (1 + highest_iou)


def duplicates(tables: Mapping[K, Sequence[object]]) -> dict[K, K]:
    """Each table whose rows repeat those of an earlier one, with that earlier table."""
    first: dict[tuple[object, ...], K] = {}
    return {
        name: first[tuple(rows)]
        for name, rows in tables.items()
        if first.setdefault(tuple(rows), name) != name
    }


def audit_file(
    file: Path, floor_dice: str | None = None, floor_iou: str | None = None, as_json: bool = False
) -> str:
    """Audit a CSV of published tables (printed_table.py); returns one line per finding and per row
    that cannot be read, and a count, or JSON.

    The floor of the background is KiTS23's, or the given one as printed. Raises ValueError for a
    table or floor that cannot be read.
    """
    floor = _select_floor(floor_dice, floor_iou)
    printed = read_tables(file)
    findings = audit(printed.tables, floor)
    if not as_json:
        return _text(printed, findings)
    unread = [asdict(row) for row in printed.unread]
    found = {"findings": [asdict(finding) for finding in findings], "unread": unread}
    return json.dumps(found | {"per_cent": list(printed.per_cent)}, indent=2)


def audit(tables: Tables, floor: Floor) -> list[AuditFinding]:
    """All findings of the rules, in the order of the tables."""
    found = [
        AuditFinding(table=table, row=row, rule=name, message=message)
        for name, rule in RULES.items()
        for table, row, message in rule(tables, floor)
    ]
    order = {table: place for place, table in enumerate(tables)}
    return sorted(found, key=lambda finding: order[finding.table])


def infeasible(tables: Tables, floor: Floor) -> Iterator[Message]:
    """Rows that no masks can have, and whether exchanging their Dice and IoU makes the table
    feasible.
    """
    for table, rows in tables.items():
        broken = [row for row in rows if not _holds(row)]
        exchanged = all(
            feasible(row.iou.value, row.dice.value, row.iou.half_unit, row.dice.half_unit)
            for row in broken
        )
        repair = (
            "; exchanging Dice and IoU in these rows makes the whole table feasible"
            if exchanged
            else ""
        )
        for row in broken:
            numbers = f"line {row.line}: IoU {row.iou.text} and Dice {row.dice.text}"
            yield (
                table,
                row.class_name,
                f"{numbers} break IoU <= Dice <= 2 IoU / (1 + IoU) by more than rounding{repair}",
            )


def equal_tables(tables: Tables, floor: Floor) -> Iterator[Message]:
    """Tables with the same numbers as an earlier one, in every row and in the same order."""
    numbers = {
        table: [(row.iou.value, row.dice.value) for row in rows] for table, rows in tables.items()
    }
    for table, first in duplicates(numbers).items():
        yield (
            table,
            None,
            f"same numbers as table {first} in all {many(len(tables[table]), 'row')}",
        )


def background_floor(tables: Tables, floor: Floor) -> Iterator[Message]:
    """Background rows with the score of predicting background everywhere."""
    for table, rows in tables.items():
        for row in rows:
            if (
                row.is_background
                and at_floor(row.iou, floor.iou)
                and at_floor(row.dice, floor.dice)
            ):
                numbers = f"line {row.line}: IoU {row.iou.text} and Dice {row.dice.text}"
                empty = (
                    f"equal to those of an empty prediction, {floor.iou.text} and "
                    f"{floor.dice.text} ({floor.source})"
                )
                near = f"within rounding and {SLACK:.0%} of the distance to 1"
                yield table, row.class_name, f"{numbers} are {empty}, {near}"


def _holds(row: PrintedRow) -> bool:
    return feasible(row.dice.value, row.iou.value, row.dice.half_unit, row.iou.half_unit)


def _select_floor(dice: str | None, iou: str | None) -> Floor:
    if dice is None and iou is None:
        return kits23_floor()
    if dice is None or iou is None:
        raise ValueError(
            "--floor-dice and --floor-iou must be given together; give both, or neither for "
            "KiTS23's floor"
        )
    floor = given_floor(dice, iou)
    if not feasible(floor.dice.value, floor.iou.value, floor.dice.half_unit, floor.iou.half_unit):
        raise ValueError(
            f"no prediction has Dice {dice} with IoU {iou}; check whether --floor-dice and "
            "--floor-iou are exchanged"
        )
    return floor


def _text(printed: PrintedTables, findings: Sequence[AuditFinding]) -> str:
    tables = printed.tables
    lines = [f"line {row.line} was not audited: {row.reason}" for row in printed.unread]
    if printed.per_cent:
        lines.append(f"read as per cent: {'; '.join(printed.per_cent)}")
    lines += [
        f"table {finding.table}, {finding.row or 'all rows'}: {finding.rule}: {finding.message}"
        for finding in findings
    ]
    kinds = [f"{num} {rule}" for rule, num in Counter(finding.rule for finding in findings).items()]
    count = f"{many(len(findings), 'finding')} ({listed(kinds)})" if findings else "no findings"
    checked = (
        f"{many(sum(map(len, tables.values())), 'row')} of {many(len(tables), 'table')} checked"
    )
    return "\n".join([*lines, f"{count}; {checked}"])


RULES: dict[str, Callable[[Tables, Floor], Iterator[Message]]] = {
    "infeasible": infeasible,
    "equal tables": equal_tables,
    "background at the floor": background_floor,
}
