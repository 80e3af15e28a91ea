"""segbench score: a folder of masks in, a row a case and the means out."""

import csv
import json
import math
import os

import nibabel
import numpy as np
import pytest

from bench.cli import main
from trials.records.run_record import write_run_record

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def save(path, **boxes):
    """A mask whose labels fill boxes along the first axis: save(path, kidney=(2, 6))."""
    labels = np.zeros((12, 8, 8), np.uint8)
    for name, (start, stop) in boxes.items():
        labels[start:stop, 2:6, 2:6] = ("background", "kidney", "tumor", "cyst").index(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), path)


@pytest.fixture
def two_cases(tmp_path):
    """A case that is right, and one whose kidney is half off and whose cyst is made up."""
    save(tmp_path / "reference" / "case_00001" / "segmentation.nii.gz", kidney=(2, 6), tumor=(6, 8))
    save(tmp_path / "reference" / "case_00002" / "segmentation.nii.gz", kidney=(2, 6), tumor=(6, 8))
    save(tmp_path / "prediction" / "case_00001.nii.gz", kidney=(2, 6), tumor=(6, 8))
    save(tmp_path / "prediction" / "case_00002.nii.gz", kidney=(4, 6), tumor=(6, 8), cyst=(8, 10))
    return tmp_path


def arguments(place, *more):
    return [
        "score",
        "--reference",
        str(place / "reference"),
        "--prediction",
        str(place / "prediction"),
        *more,
    ]


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_case_is_a_row_of_scores_in_full_precision(two_cases, capsys):
    assert (
        main(arguments(two_cases, "--csv", str(two_cases / "out" / "scores.csv"), "--workers", "1"))
        == 0
    )

    right, wrong = read(two_cases / "out" / "scores.csv")
    assert list(right)[:8] == [
        "case",
        *(f"dice_{name}" for name in ("kidney_and_mass", "mass", "tumor")),
        *(f"surface_dice_{name}" for name in ("kidney_and_mass", "mass", "tumor")),
        "dice_kidney",
    ]
    assert [right["case"], wrong["case"]] == ["case_00001", "case_00002"]
    assert {right[name] for name in right if "dice" in name and "cyst" not in name} == {"1.0"}
    # 6 and 6 slices, 4 of them shared; mass: 2 and 4, 2 shared; kidney: 4 and 2, 2 shared.
    assert [float(wrong[f"dice_{name}"]) for name in ("kidney_and_mass", "mass", "kidney")] == [
        2 / 3,
        2 / 3,
        2 / 3,
    ]
    assert (right["dice_cyst"], wrong["dice_cyst"], wrong["hd95_mm_cyst"]) == ("", "0.0", "inf")
    assert (wrong["volume_error_ml_cyst"], wrong["lesions_false_cyst"]) == ("0.064", "1")


def test_means_are_on_screen_with_intervals_and_numbers_of_cases(two_cases, capsys):
    main(arguments(two_cases, "--workers", "1"))

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["kidney_and_mass", "Dice,", "official", "0.833", "0.667", "to", "1.000", "2"] in lines
    assert ["kidney", "Dice", "0.833", "0.667", "to", "1.000", "2"] in lines
    assert ["cyst", "Dice", "-", "-", "0"] in lines
    assert [
        "tumor",
        "lesions",
        "found,",
        "2",
        "of",
        "2",
        "1.000",
        "1.000",
        "to",
        "1.000",
        "2",
    ] in lines


def test_two_processes_give_the_scores_of_one(two_cases):
    for workers in ("1", "2"):
        assert (
            main(
                arguments(
                    two_cases, "--csv", str(two_cases / f"{workers}.csv"), "--workers", workers
                )
            )
            == 0
        )

    assert (two_cases / "1.csv").read_bytes() == (two_cases / "2.csv").read_bytes()


@pytest.mark.parametrize("fault", ["missing", "extra", "moved", "unknown"])
def test_what_cannot_be_scored_is_told_exit_code_2_and_no_table(two_cases, fault, capsys):
    file = two_cases / "prediction" / "case_00002.nii.gz"
    more, line = [], "case_00002"
    if fault == "missing":
        file.unlink()
    elif fault == "extra":
        save(file.with_name("case_00003.nii.gz"))
        line = "case_00003"
    elif fault == "moved":
        nibabel.save(
            nibabel.Nifti1Image(np.zeros((12, 8, 8), np.uint8), np.diag([1.0, 1.0, 2.5, 1.0])), file
        )
    else:
        more, line = ["--dataset", "kits32"], "did you mean 'kits23'"

    assert (
        main(arguments(two_cases, "--csv", str(two_cases / "scores.csv"), "--workers", "1", *more))
        == 2
    )

    error = capsys.readouterr().err
    assert line in error
    # A fault of cases stands under the line that counts them.
    assert len(error.splitlines()) == (2 if fault == "moved" else 1)
    assert not (two_cases / "scores.csv").exists()


def test_ones_own_data_set_has_its_own_classes_and_no_official_scores(two_cases):
    (two_cases / "reference" / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "c": 3}})
    )

    assert main(arguments(two_cases, "--csv", str(two_cases / "scores.csv"), "--workers", "1")) == 0

    right, wrong = read(two_cases / "scores.csv")
    assert {name.rpartition("_")[2] for name in right if name != "case"} == {"a", "b", "c"}
    assert math.isclose(float(wrong["dice_a"]), 2 / 3)


def write_masks(folder, layout, **boxes):
    """A case `a` with a kidney and a tumour in one of the layouts that score finds out."""
    if layout == "values":
        save(folder / "a.nii.gz", **boxes)
    elif layout == "classes":
        for name in ("kidney", "tumor"):
            save(folder / "a" / f"{name}.nii.gz", **{name: boxes[name]})
    else:
        save(folder / "labelsTr" / "a.nii.gz", **boxes)
        names = {"background": 0, "kidney": 1, "tumor": 2}
        (folder / "dataset.json").write_text(json.dumps({"labels": names}))


@pytest.mark.parametrize(
    ("layout", "below", "classes", "told"),
    [
        ("values", "", {"label 1", "label 2"}, "masks read by their values: label 1, label 2"),
        ("classes", "", {"kidney", "tumor"}, "masks read of one file a class: kidney, tumor"),
        ("nnunet", "", {"kidney", "tumor"}, "masks read as nnunet: kidney, tumor"),
        ("nnunet", "labelsTr", {"kidney", "tumor"}, "masks read as nnunet: kidney, tumor"),
    ],
)
def test_the_layout_is_found_out_without_a_flag(tmp_path, layout, below, classes, told, capsys):
    write_masks(tmp_path / "reference", layout, kidney=(2, 6), tumor=(6, 8))
    of_classes = "classes" if layout == "classes" else "values"
    write_masks(tmp_path / "prediction", of_classes, kidney=(4, 6), tumor=(6, 8))
    if layout == "classes":
        save(tmp_path / "prediction" / "a" / "spleen.nii.gz")
    place = ["--reference", str(tmp_path / "reference" / below)]
    place += ["--prediction", str(tmp_path / "prediction")]

    assert main(["score", *place, "--csv", str(tmp_path / "scores.csv"), "--workers", "1"]) == 0

    (row,) = read(tmp_path / "scores.csv")
    assert {name.removeprefix("dice_") for name in row if name.startswith("dice_")} == classes
    # Four slices of a kidney, of which two are found; the tumour is right.
    assert [float(row[f"dice_{name}"]) for name in sorted(classes)] == [2 / 3, 1.0]
    said = capsys.readouterr()
    assert said.out.startswith(told)
    unscored = "not scored, since no class has the name: spleen.nii.gz"
    assert (unscored in said.err) == (layout == "classes")


def test_labels_that_are_rounded_are_told(two_cases, capsys):
    mask = two_cases / "prediction" / "case_00002.nii.gz"
    labels = nibabel.load(mask).get_fdata() * 0.9998
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), mask)

    assert main(arguments(two_cases, "--workers", "1")) == 0

    told = "labels were up to 0.0006 off an integer and are rounded in 1 case: case_00002"
    assert told in capsys.readouterr().err


@pytest.fixture
def run_of_one(two_cases):
    """A run whose only test case is the second of the two."""
    for case in ("case_00001", "case_00002"):
        save(two_cases / "reference" / case / "imaging.nii.gz")
    data = {
        "root": str(two_cases / "reference"),
        "fold_cases": {"0": {"train": ["case_00001"], "test": ["case_00002"]}},
    }
    classes = ["background", "kidney", "tumor", "cyst"]
    run = {"grid": "g", "dataset": "kits23", "classes": classes, "cells": [], "seeds": [0]}
    write_run_record(two_cases / "run", run | {"data": data})
    return two_cases


def test_of_a_run_exactly_its_test_cases_are_scored(run_of_one, capsys):
    asked = ["score", "--run", str(run_of_one / "run"), "--workers", "1"]
    asked += ["--prediction", str(run_of_one / "prediction")]

    assert main([*asked, "--csv", str(run_of_one / "scores.csv")]) == 0

    (row,) = read(run_of_one / "scores.csv")
    assert (row["case"], float(row["dice_kidney_and_mass"])) == ("case_00002", 2 / 3)
    told = capsys.readouterr()
    assert told.out.startswith("scored: the test cases of ")
    assert "1 case: case_00002" in told.out
    assert "not scored, since no test case of the run: 1 case: case_00001" in told.err
    (run_of_one / "prediction" / "case_00002.nii.gz").unlink()
    assert main(asked) == 2
    assert "prediction has no prediction for 1 case: case_00002" in capsys.readouterr().err
    assert main([*asked, "--cases", "case_00002"]) == 2
    assert "leave out --cases, --dataset and --patients" in capsys.readouterr().err


def test_a_mask_named_like_a_formula_is_a_row_that_no_spreadsheet_runs(two_cases):
    for folder in ("reference", "prediction"):
        save(two_cases / folder / "=cmd|x!A1.nii.gz", kidney=(2, 6))

    assert main(arguments(two_cases, "--csv", str(two_cases / "scores.csv"), "--workers", "1")) == 0

    assert [row["case"] for row in read(two_cases / "scores.csv")] == [
        "'=cmd|x!A1",
        "case_00001",
        "case_00002",
    ]


@pytest.mark.parametrize(
    "place", ["prediction", "reference/case_00001/segmentation.nii.gz/scores.csv"]
)
def test_a_table_that_cannot_be_written_is_refused_before_a_case_is_scored(
    two_cases, place, capsys
):
    (two_cases / "prediction" / "case_00001.nii.gz").write_bytes(b"")

    assert main(arguments(two_cases, "--csv", str(two_cases / place), "--workers", "1")) == 2

    error = capsys.readouterr().err
    assert "case_00001.nii.gz: is empty" not in error
    assert "name a file in it" in error or "cannot be written, read and deleted" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    ["prediction/case_00001.nii.gz", "notebook.ipynb", "link.csv", "theirs.csv", "pipe", "dead"],
)
def test_a_table_replaces_no_file_but_a_table_of_ours(two_cases, name, capsys):
    (two_cases / "notebook.ipynb").write_text('{"cells": []}')
    (two_cases / "theirs.csv").write_text("case;dice_kidney\n")
    (two_cases / "link.csv").symlink_to("notebook.ipynb")
    (two_cases / "dead").symlink_to("nowhere")
    os.mkfifo(two_cases / "pipe")
    before = {path: path.read_bytes() for path in two_cases.rglob("*") if path.is_file()}

    assert main(arguments(two_cases, "--csv", str(two_cases / name), "--workers", "1")) == 2

    assert (
        "must be a new file or a table that segbench score wrote; this file is neither; "
        "choose another name" in capsys.readouterr().err
    )
    assert {path: path.read_bytes() for path in two_cases.rglob("*") if path.is_file()} == before
    assert (two_cases / "link.csv").is_symlink()


@pytest.mark.parametrize("labels", [["a", "b", "c"], ["a,1", '"b"', "=c"]])
def test_a_table_of_ours_is_replaced_and_so_is_an_empty_file(two_cases, labels):
    names = {name: label for label, name in enumerate(["background", *labels])}
    (two_cases / "reference" / "dataset.json").write_text(json.dumps({"labels": names}))
    (two_cases / "scores.csv").touch()
    command = arguments(two_cases, "--csv", str(two_cases / "scores.csv"), "--workers", "1")
    assert main(command) == 0
    first = (two_cases / "scores.csv").read_bytes()
    save(two_cases / "prediction" / "case_00001.nii.gz")

    assert main(command) == 0

    assert (two_cases / "scores.csv").read_bytes() != first


def test_patients_are_taken_by_a_rule_and_a_rule_that_does_not_fit_is_refused(two_cases, capsys):
    rule = ("--patients", r"(case)_\d", "--workers", "1")

    assert main(arguments(two_cases, *rule)) == 0
    kidney = next(
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("kidney  ") and "IoU" in line
    )
    assert main(arguments(two_cases, "--patients", r"(p\d)_")) == 2

    # One patient of two cases has no interval.
    assert kidney[-3:] == ["-", "2", "1"]
    assert "'case_00001' does not match" in capsys.readouterr().err
