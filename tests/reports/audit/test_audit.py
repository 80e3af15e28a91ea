"""Anybody's printed tables: what each rule finds, what it leaves alone, and what a damaged file is
told.
"""

import csv
import json
from pathlib import Path

import pytest

from bench.cli import main
from reports.audit.floor import SLACK, given_floor, kits23_floor
from reports.audit.printed_number import decimals, read_number
from reports.audit.printed_table import read_tables
from reports.audit.rules import RULES, audit, feasible
from reports.sections import paper as paper_section

HEADER = "table,class_name,iou,dice"
SHIPPED = Path(paper_section.__file__).parents[1] / "paper_tables.csv"
PAPER_FINDINGS = [
    *(("1", name, "infeasible") for name in ("kidney", "tumor", "cyst")),
    *(("2", name, "infeasible") for name in ("kidney", "tumor")),
    *(("3", name, "infeasible") for name in ("kidney", "tumor", "cyst")),
    ("4", "cyst", "infeasible"),
    ("6", None, "equal tables"),
    ("11", "background", "background at the floor"),
]


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "tables.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def findings(file: Path, floor=None) -> list[tuple[str, str | None, str]]:
    found = audit(read_tables(file).tables, floor or kits23_floor())
    return [(finding.table, finding.row, finding.rule) for finding in found]


def messages(file: Path) -> list[str]:
    return [finding.message for finding in audit(read_tables(file).tables, kits23_floor())]


@pytest.mark.parametrize("place", ["fixture", "shipped"])
def test_the_paper_breaks_the_rules_in_eleven_places_and_in_no_other(place, request):
    file = (
        SHIPPED
        if place == "shipped"
        else request.getfixturevalue("fixtures") / "paper" / "tables.csv"
    )

    assert findings(file) == PAPER_FINDINGS


def test_exchanged_columns_repair_table_three_of_the_paper_alone():
    found = audit(read_tables(SHIPPED).tables, kits23_floor())

    assert {finding.table for finding in found if "exchanging Dice and IoU" in finding.message} == {
        "3"
    }


def test_no_background_of_the_paper_is_near_the_edge_of_the_floors_slack():
    floor = kits23_floor().dice.value
    tables = read_tables(SHIPPED).tables

    gains = {
        name: (rows[0].dice.value - floor) / (1 - floor)
        for name, rows in tables.items()
        if rows[0].is_background
    }

    assert len(gains) == 11
    assert gains.pop("11") < 0.4 * SLACK
    assert min(gains.values()) > 6 * SLACK


@pytest.mark.parametrize(
    ("iou", "dice", "holds"),
    [
        ("0.5000", "0.6667", True),
        ("0.5000", "0.6668", False),
        ("0.5000", "0.4999", True),
        ("0.5000", "0.4998", False),
        ("0.5", "0.70", True),
        ("0.50", "0.70", False),
        ("0.0001", "0.000", True),
        ("0.0001", "0.0000", True),
        ("0.0002", "0.0000", False),
        ("0.0002", "0.000", True),
        ("1e-4", "0.0004", False),
        ("1.0000", "1.0000", True),
    ],
)
def test_a_figure_is_rounded_to_the_decimals_it_shows(iou, dice, holds, tmp_path):
    file = written(tmp_path, f"1,kidney,{iou},{dice}")

    assert findings(file) == ([] if holds else [("1", "kidney", "infeasible")])


@pytest.mark.parametrize(
    ("iou", "dice", "holds"),
    [("0", "0.0001", True), ("0", "0.0002", False), ("0", "0", True), ("1", "0.9999", True)],
)
def test_a_bare_whole_number_is_rounded_like_the_finest_figure_of_its_table(
    iou, dice, holds, tmp_path
):
    file = written(tmp_path, "1,kidney,0.4412,0.6100", f"1,cyst,{iou},{dice}", "2,kidney,0.4,0.6")

    assert findings(file) == ([] if holds else [("1", "cyst", "infeasible")])


def test_dice_and_iou_may_be_printed_to_different_decimals():
    assert feasible(0.7, 0.5, half_unit=0.05, iou_half_unit=0.0)
    assert not feasible(0.7, 0.5, half_unit=0.0, iou_half_unit=0.005)
    assert feasible(0.7, 0.5, half_unit=0.0, iou_half_unit=0.05)


def test_exchanged_columns_are_named_only_where_they_repair_every_broken_row(tmp_path):
    repaired, both_ways_wrong = "1,kidney,0.3179,0.2175", "1,tumor,0.4079,0.2324"

    assert "exchanging" in messages(written(tmp_path, repaired))[0]
    assert not any(
        "exchanging" in text for text in messages(written(tmp_path, repaired, both_ways_wrong))
    )
    assert not any(
        "exchanging" in text for text in messages(written(tmp_path, "1,kidney,0.3000,0.9000"))
    )


def test_equal_tables_point_to_the_first_and_one_other_digit_makes_them_differ(tmp_path):
    rows = (
        "A,kidney,0.40,0.55",
        "A,cyst,0,0.001",
        "B,kidney,0.40,0.55",
        "B,cyst,0.00,0.001",
        "C,kidney,0.40,0.55",
    )
    file = written(tmp_path, *rows, "C,cyst,0,0.000")

    (finding,) = audit(read_tables(file).tables, kits23_floor())

    assert (finding.table, finding.row, finding.rule) == ("B", None, "equal tables")
    assert "table A" in finding.message


@pytest.mark.parametrize(
    ("iou", "dice", "at_the_floor"),
    [
        ("0.9883", "0.9941", True),
        ("0.9882", "0.9940", True),
        ("0.9888", "0.9943", True),
        ("0.9889", "0.9944", False),
        ("0.9882", "0.9930", False),
        ("0.9870", "0.9935", False),
        ("0.99", "0.99", True),
        ("1.00", "1.00", False),
    ],
)
def test_a_background_row_is_at_the_floor_when_both_figures_are(iou, dice, at_the_floor, tmp_path):
    file = written(tmp_path, f"1,background,{iou},{dice}", f"1,kidney,{iou},{dice}")

    assert findings(file) == (
        [("1", "background", "background at the floor")] if at_the_floor else []
    )


def test_the_floor_may_be_given_for_other_data(tmp_path):
    file = written(
        tmp_path, "1,Background,0.60,0.75", "1,organ,0.60,0.75", "2,background,0.9883,0.9941"
    )

    assert findings(file, given_floor("0.7500", "0.6000")) == [
        ("1", "Background", "background at the floor")
    ]
    assert findings(file, given_floor("1", "1")) == []


def test_the_background_is_class_zero_where_classes_are_numbered(tmp_path):
    rows = "1,0,0.9883,0.9941", "1,1,0.9883,0.9941"

    assert findings(written(tmp_path, *rows, header="table,class_index,iou,dice")) == [
        ("1", "class 0", "background at the floor")
    ]


def test_the_floor_is_counted_on_the_published_test_split(fixtures):
    with (fixtures / "data" / "kits23_cases.csv").open() as file:
        facts = [row for row in csv.DictReader(file) if 507 <= int(row["case"][5:]) <= 587]
    classes = [
        [int(row[f"{name}_voxels"]) for name in ("background", "kidney", "tumor", "cyst")]
        for row in facts
    ]
    shares = [counts[0] / sum(counts) for counts in classes]

    floor = kits23_floor()

    assert len(facts) == 81
    assert floor.iou.value == pytest.approx(sum(shares) / 81, abs=1e-15)
    assert floor.dice.value == pytest.approx(
        sum(2 * share / (1 + share) for share in shares) / 81, abs=1e-15
    )


def test_the_floor_prints_as_it_was_published():
    floor = kits23_floor()

    assert (floor.iou.text, floor.dice.text) == ("0.9882", "0.9940")
    assert feasible(floor.dice.value, floor.iou.value)


@pytest.mark.parametrize(
    ("text", "num"),
    [("0", 0), ("1.", 0), ("0.000", 3), (".5", 1), ("5.0e-2", 3), ("1e-05", 5), ("0E3", 0)],
)
def test_decimals_are_those_shown(text, num):
    assert decimals(text) == num
    assert read_number(text, whole_decimals=4).half_unit == pytest.approx(0.5 * 10 ** -(num or 4))


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    file = tmp_path / "tables.csv"
    file.write_bytes(
        '\ufefftable, class_name ,note,iou,dice\r\n1," left\nkidney ","a, '
        'b",0.9000,0.2\r\n,,,,\r\n'.encode()
    )

    assert findings(file) == [("1", "left kidney", "infeasible")]


def test_findings_and_none_both_end_with_0_and_a_count(tmp_path, capsys):
    assert main(["audit", str(SHIPPED)]) == 0
    *lines, count = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        f"table {table}" for table, _, _ in PAPER_FINDINGS
    ]
    assert count.startswith(
        "11 findings (9 infeasible, 1 equal tables and 1 background at the floor); 44 rows of 11 "
        "tables"
    )

    assert main(["audit", str(written(tmp_path, "1,kidney,0.5,0.6"))]) == 0
    assert capsys.readouterr().out == "no findings; 1 row of 1 table checked\n"


def test_json_holds_the_findings_and_what_was_not_read(tmp_path, capsys):
    file = written(tmp_path, "1,riñón,0.9000,0.2000", "2,riñón,0.9000,0.2000")

    assert main(["audit", str(file), "--json"]) == 0

    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert list(found) == ["findings", "unread", "per_cent"]
    assert [list(finding) for finding in found["findings"]] == [
        ["table", "row", "rule", "message"]
    ] * 3
    assert [
        (finding["table"], finding["row"], finding["rule"]) for finding in found["findings"]
    ] == [
        ("1", "riñón", "infeasible"),
        ("2", "riñón", "infeasible"),
        ("2", None, "equal tables"),
    ]


def test_json_of_a_sound_table_is_an_empty_list(tmp_path, capsys):
    assert main(["audit", str(written(tmp_path, "1,kidney,0.5,0.6")), "--json"]) == 0

    found = {"findings": [], "unread": [], "per_cent": []}
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize("name", RULES)
def test_every_rule_finds_nothing_in_a_sound_table(name, tmp_path):
    file = written(
        tmp_path, "1,background,0.9990,0.9995", "1,kidney,0.8000,0.8800", "2,kidney,0.8000,0.8801"
    )

    assert list(RULES[name](read_tables(file).tables, kits23_floor())) == []
