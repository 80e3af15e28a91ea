"""One command for one's own data: a built-in grid on another data set or fold, without a file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from bench.grid.own_data import PatientNumbers, inherited, on_data, patient_numbers, run_name
from bench.grid.validate import check_grid
from bench.grids import DEMO, FULL


def test_another_data_set_takes_its_own_split_and_no_settings_of_other_classes():
    grid = on_data(DEMO, "nnunet", [2])

    assert (grid.dataset, grid.splits, grid.folds, grid.generate) == ("nnunet", None, (2,), {})
    assert (grid.hyper["*"]["lr"], "alpha" in grid.hyper["*"]) == (0.01, False)
    assert on_data(FULL, "nnunet", None).cells == FULL.cells
    assert on_data(FULL, None, None) is FULL
    assert on_data(FULL, "kits23", None) is FULL
    on_regions = on_data(DEMO, None, None, "regions")
    assert (on_regions.targets, "alpha" in on_regions.hyper["*"]) == ("regions", False)
    assert on_data(DEMO, None, None, "labels") is DEMO
    with pytest.raises(ValueError, match="did you mean 'nnunet'"):
        on_data(FULL, "nnunt", None)


def test_settings_of_the_demo_on_other_data_are_named_as_inherited():
    lines = inherited(on_data(DEMO, "nnunet", [0]))

    assert inherited(DEMO) == inherited(FULL) == []
    models = ("vnet", "segresnet", "unet2d_resnet18", "dynunet", "unet3d")
    assert [line.partition(":")[0] for line in lines] == [
        *(f"recipe of {model}" for model in models),
        "hyper",
        "spaces",
    ]
    assert "epochs=36" in lines[0]
    assert "Cube(edge=32" in lines[0]
    own = replace(FULL, dataset="nnunet", splits=None)
    assert inherited(own) == []


def test_a_generated_grid_knows_its_test_patients_before_it_runs():
    num = DEMO.generate["num_cases"]
    assert patient_numbers(DEMO, None) == PatientNumbers(tested=16, everyone=num)
    assert patient_numbers(FULL, None) == PatientNumbers()
    folds = replace(DEMO, splits="seeded", folds=(0, 1, 2, 3, 4))
    assert patient_numbers(folds, None) == PatientNumbers(tested=num, everyone=num)


def test_what_only_generated_data_need_may_stay_in_a_grid_on_other_data():
    check_grid(replace(DEMO, dataset="nnunet"))


@pytest.mark.parametrize(
    ("dataset", "folds", "data", "name"),
    [
        (None, None, Path("x/kits"), "full"),
        (None, [1], None, "full-fold1"),
        (None, [0, 1, 2], None, "full-fold0-1-2"),
        ("nnunet", None, Path("x/Leber (2)"), "full-Leber-2"),
        ("nnunet", [0], Path("x/Dataset007"), "full-Dataset007-fold0"),
    ],
)
def test_the_run_folder_is_named_by_what_was_asked(dataset, folds, data, name):
    assert run_name(FULL, dataset, folds, data) == name


def test_one_command_lists_the_trials_and_names_the_plan(tmp_path, capsys):
    for name in ("imagesTr/a_0000.nii", "labelsTr/a.nii"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    facts = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}}
    facts |= {"file_ending": ".nii"}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    asked = ["--grid", "paper", "--dataset", "nnunet", "--data", str(tmp_path), "--fold", "1", "3"]

    assert main(["run", *asked, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert f"segbench plan --grid paper --dataset nnunet --fold 1 3 --data {tmp_path}" in told
    assert "networks predict labels, with a softmax" in told
    # Each fold has every trial of its own, one fold after the other.
    assert f"{2 * (1 + 11)} trials: 2 pretrain, 22 final" in told
    folds = [line.split()[4] for line in told.splitlines() if line.startswith("final")]
    assert folds == ["1"] * 11 + ["3"] * 11

    assert main(["run", *asked, "--targets", "regions", "--dry-run"]) == 2
    assert f"needs regions, and nnunet in {tmp_path} has none" in capsys.readouterr().err
    facts |= {"labels": {"background": 0, "all": [1, 2], "a": 2}, "regions_class_order": [1, 2]}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))

    assert main(["run", *asked, "--targets", "regions", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "networks predict regions all (1+2), a (2), each with a sigmoid" in told
    assert f"--fold 1 3 --targets regions --data {tmp_path}" in told


def test_a_folder_of_another_data_set_names_the_flag(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").touch()
    asked = ["--grid", "full", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]

    assert main(["run", *asked]) == 2

    assert "it is a folder of nnunet: give --dataset nnunet" in capsys.readouterr().err
