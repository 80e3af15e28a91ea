"""Tables that cannot be audited: what is told of them, in one line."""

import pytest
from test_audit import written

from bench.cli import main


def refusal(capsys, *arguments: object) -> str:
    assert main(["audit", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "n/a",
        "nan",
        "inf",
        "-0.1",
        "1.01",
        "87.5",
        "0.5%",
        "0_1",
        "0x1",
        "\u0660.\u0665",
        "1e-9999",
        "0.5 0.6",
        "=1/2",
        ".",
    ],
)
@pytest.mark.parametrize("column", ["iou", "dice"])
def test_what_is_no_number_between_0_and_1_is_named_by_file_line_and_column(
    cell, column, tmp_path, capsys
):
    iou, dice = (cell, "0.5") if column == "iou" else ("0.5", cell)

    error = refusal(capsys, written(tmp_path, "1,kidney,0.4,0.5", f"1,tumor,{iou},{dice}"))

    assert f"tables.csv line 3, column {column}: {cell!r} is not a number in 0..1" in error


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (",kidney,0.5,0.6", "line 2, column table: ''"),
        ('1,"kid\x1b[31mney",0.5,0.6', "line 2, column class_name: 'kid\\x1b[31mney'"),
        ("1,,0.5,0.6", "line 2, column class_name: ''"),
        ("1,kidney,0.5", "line 2: 3 cells, but 4 columns"),
        ("1,kidney,0,5,0,6", "line 2: 6 cells, but 4 columns"),
        ('1,"kidney"x,0.5,0.6', "line 2 is not valid CSV"),
        ('1,"kidney,0.5,0.6', "is not valid CSV"),
        ("", "has no rows"),
    ],
)
def test_a_hostile_row_is_refused_in_one_line(row, line, tmp_path, capsys):
    assert line in refusal(capsys, written(tmp_path, row))


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("table,class_name,iou", "line 1: no column dice among"),
        ("table,iou,dice", "no column class_name or class_index"),
        ("table;class_name;iou;dice", "no column table, iou, dice, class_name or class_index"),
        ("table,class_name,iou,dice,iou", "column iou appears twice"),
        ("", "no column table"),
    ],
)
def test_a_header_that_lacks_a_column_is_refused(header, line, tmp_path, capsys):
    assert line in refusal(capsys, written(tmp_path, "1,kidney,0.5,0.6", header=header))


@pytest.mark.parametrize("index", ["-1", "one", "0.0", "9" * 5000])
def test_a_class_index_is_a_whole_number(index, tmp_path, capsys):
    file = written(tmp_path, f"1,{index},0.5,0.6", header="table,class_index,iou,dice")

    assert "line 2, column class_index" in refusal(capsys, file)


def test_what_is_no_text_file_is_refused(tmp_path, capsys):
    (tmp_path / "tables.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")

    assert "cannot be read" in refusal(capsys, tmp_path / "tables.xlsx")
    assert "cannot be read" in refusal(capsys, tmp_path)
    assert "cannot be read" in refusal(capsys, tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--floor-dice", "0.9"], "give both"),
        (["--floor-dice", "0.9", "--floor-iou", "nan"], "'nan' is not a number"),
        (["--floor-dice", "0.80", "--floor-iou", "0.90"], "exchanged"),
    ],
)
def test_an_impossible_floor_is_refused(flags, line, tmp_path, capsys):
    assert line in refusal(capsys, written(tmp_path, "1,kidney,0.5,0.6"), *flags)
