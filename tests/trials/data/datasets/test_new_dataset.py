"""A data set is one entry of DATASETS: check, prepare and score know it by that alone."""

import csv
import json

import numpy as np
import pytest
from nifti_toys import asymmetric, save

from bench.cli import main
from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import (
    DATASETS,
    Case,
    Dataset,
    DatasetEntry,
    case_names,
    detect_dataset,
    official_regions,
)

CLASSES = ("background", "liver", "vessel")


def scans(root):
    """The data set's own layout: NAME/ct.nii.gz and NAME/organs.nii.gz."""
    cases = tuple(
        Case(case=folder.name, image=folder / "ct.nii.gz", labels=folder / "organs.nii.gz")
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    )
    return Dataset(name="scans", root=root, classes=CLASSES, cases=cases)


def fetch(root, on_case):
    """What a download leaves: one more case."""
    write_case(root, "scan_9")
    on_case(1, 1)


def write_case(root, name):
    labels = np.zeros((11, 14, 9), np.uint8)
    labels[2:8, 2:8, 2:8], labels[4:6, 4:6, 4:6] = 1, 2
    save(root / name / "ct.nii.gz", asymmetric(seed=int(name[-1])))
    save(root / name / "organs.nii.gz", labels)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    entry = DatasetEntry(
        scans,
        about="livers",
        splits={"seeded": "trials.data.datasets.splits:seeded"},
        folds={"seeded": 5},
        default_splits="seeded",
        download="test_new_dataset:fetch",
        how_to_get="ask its author",
        marker_file="scans.json",
        regions=(Region(name="organ", labels=(1, 2), tolerance_mm=2.0),),
        mask_file="organs.nii.gz",
        case_names=r"scan_\d",
    )
    monkeypatch.setitem(DATASETS, "scans", entry)
    for name in ("scan_1", "scan_2"):
        write_case(tmp_path / "data", name)
    (tmp_path / "data" / "scans.json").write_text("{}")
    return tmp_path / "data"


def test_check_tells_a_new_data_set_by_its_file(folder, capsys):
    assert main(["check", str(folder), "--json", "--workers", "1"]) == 0

    record = json.loads(capsys.readouterr().out)
    assert (record["dataset"], record["cases"]) == ("scans", 2)
    assert [fault for fault in record["faults"] if fault["level"] != "warning"] == []


def test_prepare_fetches_and_prepares_a_new_data_set(folder, tmp_path, capsys):
    arguments = ["--cache", str(tmp_path / "cache"), "--cube", "32", "--workers", "1"]

    assert main(["prepare", "scans", str(folder), *arguments, "--download"]) == 0

    printed = capsys.readouterr()
    assert (tmp_path / "cache") in (tmp_path / "cache" / printed.out.strip()).parents
    assert "3 cases in" in printed.err


def test_score_knows_the_classes_regions_and_masks_of_a_new_data_set(folder, tmp_path, capsys):
    for name in ("scan_1", "scan_2"):
        mask = tmp_path / "predictions" / f"{name}.nii.gz"
        mask.parent.mkdir(exist_ok=True)
        mask.write_bytes((folder / name / "organs.nii.gz").read_bytes())

    code = main(
        [
            "score",
            *(f"--reference={folder}", f"--prediction={tmp_path / 'predictions'}"),
            *("--dataset=scans", f"--csv={tmp_path / 'scores.csv'}", "--workers=1"),
        ]
    )

    assert code == 0
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["scan_1", "scan_2"]
    assert {rows[0][f"dice_{name}"] for name in ("organ", "liver", "vessel")} == {"1.0"}


def test_a_new_data_set_has_its_own_names_and_regions_and_an_unknown_one_none(folder):
    assert case_names("scans") == r"scan_\d"
    assert [region.name for region in official_regions("scans")] == ["organ"]
    assert official_regions("nobody's") == ()
    assert case_names("nobody's") == case_names("nnunet")


def test_a_folder_without_a_telling_file_is_the_first_that_none_tells(tmp_path):
    assert detect_dataset(tmp_path) == "kits23"


def test_no_two_data_sets_are_told_by_one_file():
    files = [entry.marker_file for entry in DATASETS.values() if entry.marker_file]

    assert len(files) == len(set(files))
