"""A run folder and another grid: what decides a trial must be as it was, what may grow may grow."""

import pytest

from bench.run_folder.continuing import refuse_other_grid
from trials.records.run_record import write_run_record

GROUPING = {"rule": "patients.csv", "state": "known", "patients": {}}
RECORD = {
    "grid": "mine",
    "dataset": "phantoms",
    "seeds": [0],
    "cells": [{"model": "unet3d", "loss": "focal", "sampling": "none"}],
    "tuning": {"trials": 2, "epochs": 1},
    "recipes": {"unet3d": {"epochs": 8, "preparation": {"kind": "cube", "edge": 32}}},
    "hyper": {"*": {"lr": 0.01, "alpha": [1.0, 2.0]}},
    "folds": [0],
    "data": {
        "data_digest": "abc",
        "split_hash": {"0": "def"},
        "root": "/somewhere",
        "grouping": GROUPING,
    },
    "commit": "1234",
    "versions": {"torch": "2.14"},
}


@pytest.fixture
def out(tmp_path):
    """A folder of that run with one finished trial."""
    write_run_record(tmp_path, RECORD)
    (tmp_path / "trials" / "t").mkdir(parents=True)
    (tmp_path / "trials" / "t" / "result.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"grid": "other"}, "grid mine -> other"),
        (
            {"recipes": {"unet3d": {"epochs": 9, "preparation": {"kind": "cube", "edge": 32}}}},
            "recipes.unet3d.epochs 8 -> 9",
        ),
        (
            {"recipes": {"unet3d": {"epochs": 8, "preparation": {"kind": "cube", "edge": 64}}}},
            "recipes.unet3d.preparation.edge 32 -> 64",
        ),
        ({"hyper": {"*": {"lr": 0.02, "alpha": [1.0, 2.0]}}}, r"hyper\.\*\.lr 0.01 -> 0.02"),
        ({"tuning": None}, "tuning.trials 2 -> 0"),
        ({"data": RECORD["data"] | {"data_digest": "xyz"}}, "data.data_digest abc -> xyz"),
        (
            {
                "data": RECORD["data"]
                | {"grouping": GROUPING | {"patients": {"c1": "p", "c2": "p"}}}
            },
            "data.patients 44136fa355b3678a -> [0-9a-f]{16}",
        ),
        (
            {"folds": [0, 1], "data": RECORD["data"] | {"split_hash": {"0": "odd", "1": "xyz"}}},
            "data.split_hash.0 def -> odd",
        ),
    ],
)
def test_f82_a_folder_of_another_grid_is_refused_with_the_difference(out, change, difference):
    with pytest.raises(
        ValueError, match=f"holds trials of another grid: {difference}; choose another --out"
    ):
        refuse_other_grid(out, RECORD | change)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"seeds": [0, 1, 2], "cells": []},
        # The prepared data of another fold may be others.
        {
            "folds": [0, 1],
            "data": {"data_digest": "abc xyz", "split_hash": {"0": "def", "1": "ghi"}},
        },
        {"commit": "5678", "versions": {"torch": "3.0"}},
        {"data": {**RECORD["data"], "root": "/elsewhere"}},
        {"data": RECORD["data"] | {"grouping": GROUPING | {"rule": "in other words"}}},
        {"hyper": {"*": {"lr": 0.01, "alpha": (1.0, 2.0)}}},
        {"recipes": {**RECORD["recipes"], "vnet": {"epochs": 1}}},
    ],
)
def test_seeds_folds_cells_places_and_versions_may_change(out, change):
    refuse_other_grid(out, RECORD | change)


def test_a_folder_without_a_finished_trial_takes_any_grid(out):
    (out / "trials" / "t" / "result.json").unlink()

    refuse_other_grid(out, RECORD | {"grid": "other"})
