"""What check and run say about patients, and what run.json keeps of them."""

import io
import json
from dataclasses import replace

import pytest
from nifti_toys import asymmetric, blocks, save
from rich.console import Console

from bench.cli import main
from bench.execution.data import Prepared, open_grid_data
from bench.grids import DEMO
from bench.run_folder.provenance import data_record
from trials.records.codec import check_kinds
from trials.records.run_record import RUN_KEYS

SUSPECTED = [f"p{n}_{when}" for n in range(6) for when in ("pre", "post")]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two scans of each of six patients, whose names follow no convention."""
    root = tmp_path_factory.mktemp("scans")
    for seed, name in enumerate(SUSPECTED):
        save(root / "imagesTr" / f"{name}_0000.nii.gz", asymmetric(seed=seed))
        save(root / "labelsTr" / f"{name}.nii.gz", blocks(seed=seed))
    facts = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "a": 1, "b": 2, "c": 3},
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


def opened(root, patients="", folds=(0,)):
    """The splits of a grid's data, its entry of run.json, and what is printed."""
    text = io.StringIO()
    grid = replace(DEMO, dataset="nnunet", generate={}, patients=patients, folds=folds)
    dataset, scheme, splits = open_grid_data(grid, root, root, Console(file=text, width=1000))
    facts = {"folders": {}, "digests": {}, "counts": {}, "geometry": {}}
    prepared = {
        fold: Prepared(dataset=dataset, scheme=scheme, split=split, **facts)
        for fold, split in splits.items()
    }
    return splits, data_record(prepared), text.getvalue()


def test_check_warns_of_likely_patients_until_a_file_names_them(scans, capsys):
    assert main(["check", str(scans), "--workers", "1"]) == 0
    warned = capsys.readouterr().out
    lines = [f"{name},{name[:2]},{'north' if name[1] < '3' else 'south'}" for name in SUSPECTED]
    (scans / "patients.csv").write_text("\n".join(["case,patient,site", *lines]))

    try:
        assert main(["check", str(scans), "--workers", "1"]) == 0
        text = capsys.readouterr().out
        _, record, _ = opened(scans)
    finally:
        (scans / "patients.csv").unlink()

    assert "several scans of a patient: p0 (p0_post, p0_pre); p1 (p1_post, p1_pre)" in warned
    assert "patients: 12: no rule is given; each case counts as a patient" in warned
    assert "several scans" not in text
    assert "patients: 6: patients.csv" in text
    assert record["case_metadata"]["site"]["p5_pre"] == "south"


def test_cases_that_share_a_mask_are_told_unless_they_are_of_one_patient(scans, capsys):
    masks = [scans / "labelsTr" / f"p0_{when}.nii.gz" for when in ("post", "pre")]
    own = masks[1].read_bytes()
    masks[1].write_bytes(masks[0].read_bytes())
    told = "holds the labels of the mask of p0_post, voxel for voxel; look whether both are of one"

    try:
        assert main(["check", str(scans), "--workers", "1"]) == 0
        assert told in capsys.readouterr().out
        lines = [f"{name},{name[:2]}" for name in SUSPECTED]
        (scans / "patients.csv").write_text("\n".join(["case,patient", *lines]))
        assert main(["check", str(scans), "--workers", "1"]) == 0
        assert "holds the labels" not in capsys.readouterr().out
    finally:
        masks[1].write_bytes(own)
        (scans / "patients.csv").unlink(missing_ok=True)


def test_a_run_warns_without_a_rule_and_keeps_patients_whole_with_one(scans):
    _, unknown, warned = opened(scans)
    splits, known, text = opened(scans, r"(p\d)_")

    check_kinds({"data": known}, RUN_KEYS)
    assert unknown["grouping"]["state"] == "suspected"
    assert "warning: " in warned
    assert "p0 (p0_post, p0_pre)" in warned
    assert known["grouping"]["patients"]["p3_post"] == "p3"
    assert known["grouping"]["state"] == "known"
    assert "6 patients: the regular expression (p\\d)_" in text
    assert "warning" not in text
    split = splits[0]
    parts = [{case[:2] for case in part} for part in (split.train, split.val, split.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 6


def test_a_cross_validation_tests_each_patient_in_one_fold(scans):
    splits, record, _ = opened(scans, r"(p\d)_", folds=(0, 1, 2, 3, 4))

    tested = [{case[:2] for case in split.test} for split in splits.values()]
    assert sum(map(len, tested)) == len(set().union(*tested)) == 6
    check_kinds({"data": record}, RUN_KEYS)
    assert record["fold_cases"]["3"]["test"] == list(splits[3].test)
    assert len(set(record["split_hash"].values())) == 5


def test_folds_that_test_the_same_patients_are_refused(scans):
    names = [case.name.removesuffix(".nii.gz") for case in (scans / "labelsTr").iterdir()]
    folds = [{"train": names[2:], "val": names[:2]}, {"train": names[3:], "val": names[:3]}]
    (scans / "splits_final.json").write_text(json.dumps(folds))

    try:
        with pytest.raises(ValueError, match=r"folds 0 and 1 both test p.*; name one fold"):
            opened(scans, folds=(0, 1))
    finally:
        (scans / "splits_final.json").unlink()
