"""The two tidy tables: columns, order, numbers, bytes."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
from made_up import VOXELS, MadeUp, all_results, failure, write_run

from reports.load.run_folder import read_run
from reports.table import SCORE_COLUMNS, dice_of, iou_of, scores_table, trials_table, write_tables
from trials.records.codec import record_hash
from trials.records.result import dice, iou

ORDER = [
    "trial",
    "phase",
    "dataset",
    "model",
    "loss",
    "sampling",
    "seed",
    "fold",
    "split",
    "case",
    "patient",
    "label",
    "class_name",
    "space",
]


def test_scores_have_exactly_their_columns_types_and_order(tmp_path):
    table = scores_table(read_run(write_run(tmp_path, MadeUp(tunings=1))))

    assert list(table.columns) == [
        *ORDER,
        "true_voxels",
        "pred_voxels",
        "overlap_voxels",
        "dice",
        "iou",
    ]
    assert tuple(table.columns) == SCORE_COLUMNS
    for name in ("seed", "fold", "label", "true_voxels", "pred_voxels", "overlap_voxels"):
        assert table[name].dtype == np.int64
    pd.testing.assert_frame_equal(table, table.sort_values(ORDER, kind="stable"))


def test_scores_count_one_row_a_trial_case_label_and_space(tmp_path):
    table = scores_table(read_run(write_run(tmp_path, MadeUp(tunings=1))))

    finals = 4 * 2 * (4 + 8) * 4 * 2
    tuned = 4 * 4 * 4 * 2
    assert len(table) == finals + tuned
    assert not table.duplicated(ORDER).any()
    assert set(table.loc[table["phase"] == "tune", "split"]) == {"val"}


def test_dice_of_half_the_voxels_right_is_one_half(tmp_path):
    table = scores_table(read_run(write_run(tmp_path, MadeUp(quality=lambda *place: 0.5))))

    held = table[table["true_voxels"] == VOXELS]
    assert set(held["dice"]) == {0.5}
    assert set(held["iou"]) == {1 / 3}


def test_dice_and_iou_equal_the_records_own_to_the_last_bit():
    rng = np.random.default_rng(3)
    true, pred = rng.integers(0, 5, 500), rng.integers(0, 5, 500)
    overlap = rng.integers(0, np.minimum(true, pred) + 1)
    places = list(zip(true.tolist(), pred.tolist(), overlap.tolist(), strict=True))

    np.testing.assert_array_equal(dice_of(true, pred, overlap), [dice(*place) for place in places])
    np.testing.assert_array_equal(iou_of(true, pred, overlap), [iou(*place) for place in places])
    assert math.isnan(dice_of(np.array([0]), np.array([0]), np.array([0]))[0])


def test_trials_have_one_row_each_with_settings_as_columns(tmp_path):
    made = MadeUp(models=("vnet",), losses=("class_balanced",), seeds=(0, 1))
    results = [
        *all_results(made)[:1],
        failure(made, made.cells[0], 1, "oom", "out of memory at batch 4"),
    ]

    table = trials_table(read_run(write_run(tmp_path, made, results))).set_index("seed")

    assert table.loc[0, ["lr", "gamma", "one_minus_beta"]].tolist() == [0.003, 2.0, 1e-4]
    assert math.isnan(table.loc[0, "frozen_stages"])
    assert json.loads(table.loc[0, "hyper"]) == {
        "gamma": 2.0,
        "lr": 0.003,
        "one_minus_beta": 0.0001,
    }
    assert json.loads(table.loc[0, "recipe"])["preparation"]["edge"] == 32
    assert table.loc[0, ["device", "threads", "host"]].tolist() == ["cpu", "1", "laptop"]
    assert table.loc[1, ["state", "reason", "error"]].tolist() == [
        "FAILED",
        "oom",
        "out of memory at batch 4",
    ]


def test_a_parameter_of_a_grids_own_has_a_column_and_a_vector_has_none(tmp_path):
    made = MadeUp(models=("vnet",), losses=("focal",), seeds=(0, 1))
    first, second = all_results(made)
    spec = replace(first.spec, hyper={"lr": 0.1, "missed": 0.7, "alpha": (1.0, 2.0)})
    own = replace(first, spec=spec, trial=record_hash(spec))

    table = trials_table(read_run(write_run(tmp_path, made, [own, second]))).set_index("seed")

    assert table.columns[-1] == "missed"
    assert table.loc[0, "missed"] == 0.7
    assert math.isnan(table.loc[1, "missed"])
    assert "alpha" not in table.columns
    assert json.loads(table.loc[0, "hyper"])["alpha"] == [1.0, 2.0]


def test_equal_input_gives_equal_bytes_whatever_the_clock_and_host(tmp_path):
    for name in ("a", "b"):
        write_tables(read_run(write_run(tmp_path / name, MadeUp(tunings=1))))

    for file in ("scores.csv", "scores.parquet", "trials.csv", "trials.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    scores = (tmp_path / "a" / "scores.csv").read_text()
    assert "laptop" not in scores
    assert "2026" not in scores


def test_csv_and_parquet_hold_the_same_numbers_to_the_last_bit(tmp_path):
    scores, trials = write_tables(read_run(write_run(tmp_path, MadeUp(tunings=1))))

    for name, table in (("scores", scores), ("trials", trials)):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), table)
        from_csv = pd.read_csv(tmp_path / f"{name}.csv")
        for column in table.select_dtypes("number").columns:
            np.testing.assert_array_equal(from_csv[column].to_numpy(), table[column].to_numpy())


def test_f85_a_spreadsheet_sees_no_formula_but_parquet_keeps_the_text(tmp_path):
    made = MadeUp(models=("=1+1",), losses=("focal",), seeds=(0,))
    evil = failure(made, made.cells[0], 0, "exception", "@SUM(A1)")

    write_tables(read_run(write_run(tmp_path, made, [evil])))

    (row,) = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert row["model"] == "'=1+1"
    assert row["error"] == "'@SUM(A1)"
    assert pd.read_parquet(tmp_path / "trials.parquet")["model"].tolist() == ["=1+1"]


def test_a_run_without_results_still_has_its_tables(tmp_path):
    scores, trials = write_tables(read_run(write_run(tmp_path, MadeUp(), [])))

    assert len(scores) == len(trials) == 0
    assert list(pd.read_parquet(tmp_path / "scores.parquet").columns) == list(SCORE_COLUMNS)
