"""The published tables beside a run: an audit by rule, and five verdicts."""

import os
from pathlib import Path

import pandas as pd
import pytest
from made_up import MadeUp, write_run

from reports.analysis.context import build_context
from reports.analysis.summary import ScoreSummary
from reports.load.run_folder import read_run
from reports.sections.paper import paper, published, repeated_tables, verdict
from reports.table import scores_table, trials_table
from trials.records.spec import Cell

PAPER = {
    "models": ("vnet", "unet3d"),
    "losses": ("combined", "focal"),
    "samplings": ("oversample",),
    "dataset": "kits23",
}


def board_of(folder, made: MadeUp):
    run = read_run(write_run(folder, made))
    return build_context(run, scores_table(run), trials_table(run), "none")


def summary(low: float, high: float) -> ScoreSummary:
    middle = (low + high) / 2
    counts = {"n": 8, "seeds": 3, "label_free": 0, "fp_share": 0.0, "fp_voxels": 0.0}
    return ScoreSummary(
        dice=middle, dice_low=low, dice_high=high, iou=middle, iou_low=low, iou_high=high, **counts
    )


def test_there_are_eleven_tables_of_four_classes():
    rows = published()

    assert [(row.table, row.label) for row in rows] == [
        (table, label) for table in range(1, 12) for label in range(4)
    ]
    assert rows[17].cell == Cell(model="vnet", loss="combined", sampling="oversample")
    assert rows[17].dice == 0.5395


def test_the_shipped_facts_are_the_papers():
    folder = os.environ.get("SEGBENCH_FIXTURES")
    if not folder or not (Path(folder) / "paper" / "tables.csv").is_file():
        pytest.skip("SEGBENCH_FIXTURES names no folder with paper/tables.csv")
    theirs = pd.read_csv(Path(folder) / "paper" / "tables.csv")

    assert [(row.iou, row.dice) for row in published()] == list(
        zip(theirs["iou"], theirs["dice"], strict=True)
    )
    assert [row.cell.loss for row in published()] == theirs["loss"].tolist()


def test_the_rule_finds_the_nine_infeasible_rows_and_the_one_repeated_table():
    rows = published()
    copies = repeated_tables(rows)

    infeasible = [
        (row.table, row.class_name)
        for row in rows
        if verdict(row, copies, None) == "paper number infeasible"
    ]

    assert infeasible == [
        *((1, name) for name in ("kidney", "tumor", "cyst")),
        *((2, name) for name in ("kidney", "tumor")),
        *((3, name) for name in ("kidney", "tumor", "cyst")),
        (4, "cyst"),
    ]
    assert copies == {6: 5}


def test_a_value_inside_our_interval_is_inside_and_one_outside_differs():
    row = published()[17]

    assert verdict(row, {}, summary(0.50, 0.58)) == "inside our interval"
    assert verdict(row, {}, summary(0.55, 0.65)) == "differs"
    assert verdict(row, {}, None) == "not run"
    assert verdict(row, {5: 4}, None) == "duplicate of table 4"


def test_our_values_are_on_the_cube_and_the_rest_was_not_run(tmp_path):
    context = board_of(
        tmp_path, MadeUp(**PAPER, quality=lambda cell, seed, case, label: 0.6 if label else 0.99)
    )

    (table,) = [block for block in paper(context).blocks if block.kind == "table"]

    verdicts = {(int(row[0].text), row[2].text): row[-1].text for row in table.rows}
    assert verdicts[5, "kidney"] == "differs"
    assert verdicts[7, "kidney"] == "not run"
    assert verdicts[6, "kidney"] == "duplicate of table 5"
    assert table.rows[17][5].text == "0.600"
    assert table.rows[17][6].text == "+0.060"


def test_a_run_on_other_data_has_no_paper_section(tmp_path):
    assert paper(board_of(tmp_path, MadeUp())) is None
