"""The table of surfaces: its columns, its means by hand, and what refuses it."""

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest
from made_up import MadeUp, all_results, holds, write_run

from reports.analysis.summary import MEAN
from reports.analysis.surfaces import (
    gather_surfaces,
    metric_summaries,
    refuse_unsound_surfaces,
    surface_columns,
    surfaces_table,
)
from reports.build import build_report
from reports.load.run_folder import read_run
from reports.table import write_table
from trials.records.result import surface_dice

KEYS = ["trial", "split", "case", "region"]


def table_of(tmp_path, made=None, results=None):
    return surfaces_table(read_run(write_run(tmp_path, made or MadeUp(tunings=1), results)))


def test_there_is_a_row_for_every_final_trial_test_case_and_region(tmp_path):
    table = table_of(tmp_path)

    assert list(table.columns) == surface_columns()
    assert len(table) == 4 * 2 * 8 * 5
    assert set(table["phase"]) == {"final"}
    pd.testing.assert_frame_equal(table, table.sort_values(KEYS, kind="stable"))
    for row in table.head(20).itertuples():
        ours = surface_dice(row.true_mm2, row.pred_mm2, row.true_within_mm2, row.pred_within_mm2)
        assert row.surface_dice == ours or math.isnan(row.surface_dice) == math.isnan(ours)


def test_the_same_run_leaves_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        run = read_run(write_run(tmp_path / name, MadeUp()))
        write_table(run.out, "surfaces", surfaces_table(run))

    for file in ("surfaces.parquet", "surfaces.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert len(pd.read_csv(tmp_path / "a" / "surfaces.csv")) == len(
        pd.read_parquet(tmp_path / "a" / "surfaces.parquet")
    )


def test_a_label_is_averaged_over_the_patients_who_hold_it(tmp_path):
    made = MadeUp()
    run = read_run(write_run(tmp_path, made))

    found = metric_summaries(gather_surfaces(run, surfaces_table(run)), run.classes)["surface_dice"]

    means = {}
    for label in (1, 2, 3):
        held = [case for case in made.splits["test"] if holds(case, label)]
        means[label] = np.mean([made.quality(made.cells[0], 0, case, label) for case in held])
        assert found[0, label].value == pytest.approx(means[label])
        assert found[0, label].n == len(held)
        assert found[0, label].low < found[0, label].value < found[0, label].high
    assert found[0, MEAN].value == pytest.approx(np.mean(list(means.values())))
    assert found[0, MEAN].n == 8


def test_a_run_from_before_there_were_surfaces_has_a_page_without_them(tmp_path):
    made = MadeUp()
    old = [dataclasses.replace(result, surfaces=()) for result in all_results(made)]

    page = build_report(write_run(tmp_path, made, old)).read_text()

    assert "Surface Dice" not in page.split('<section id="provenance"')[0]
    assert pd.read_parquet(tmp_path / "surfaces.parquet").empty


def test_the_leaderboard_has_surface_dice_with_its_interval_and_names_the_tolerance(tmp_path):
    page = build_report(write_run(tmp_path, MadeUp())).read_text()

    context = page.split('<table id="leaderboard-table"')[1].split("</table>")[0]
    assert "Surface Dice" in context
    assert "kidney 1.00 mm, tumor 1.00 mm and cyst 1.00 mm" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance_mm": 2.0}, "tolerance_mm 1.0 in one trial and 2.0 in another"),
        ({"true_voxels": 7}, "true_voxels 7 in one trial and 1000 in another"),
        ({"true_within_mm2": 101.0}, "agreeing part of .* is larger than its surface"),
        (None, "twice"),
    ],
)
def test_surfaces_that_cannot_stand_beside_each_other_are_refused(tmp_path, change, message):
    first, *others = all_results(MadeUp())
    row = first.surfaces[0]
    changed = (row, row) if change is None else (dataclasses.replace(row, **change),)
    results = [dataclasses.replace(first, surfaces=(*changed, *first.surfaces[1:])), *others]

    with pytest.raises(ValueError, match=message):
        refuse_unsound_surfaces(table_of(tmp_path, MadeUp(), results))


def test_a_damaged_surface_is_an_error_that_names_its_place(tmp_path):
    out = write_run(tmp_path, MadeUp())
    path = next(out.glob("trials/*/result.json"))
    path.write_text(re.sub(r'"lesions": \d+', '"lesions": 1.5', path.read_text(), count=1))

    with pytest.raises(ValueError, match=r"surfaces\[0\]\.lesions must be int; got 1\.5\)"):
        read_run(out)
