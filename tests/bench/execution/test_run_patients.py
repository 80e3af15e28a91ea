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


def opened(root, patients=""):
    """The split of a grid's data, its entry of run.json, and what is printed."""
    text = io.StringIO()
    grid = replace(DEMO, dataset="nnunet", generate={}, patients=patients)
    dataset, scheme, split = open_grid_data(grid, root, root, Console(file=text, width=1000))
    prepared = Prepared(
        dataset=dataset, scheme=scheme, split=split, folders={}, digests={}, counts={}, geometry={}
    )
    return split, prepared.record(), text.getvalue()


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


def test_a_run_warns_without_a_rule_and_keeps_patients_whole_with_one(scans):
    _, unknown, warned = opened(scans)
    split, known, text = opened(scans, r"(p\d)_")

    check_kinds({"data": known}, RUN_KEYS)
    assert unknown["grouping"]["state"] == "suspected"
    assert "warning: " in warned
    assert "p0 (p0_post, p0_pre)" in warned
    assert known["grouping"]["patients"]["p3_post"] == "p3"
    assert known["grouping"]["state"] == "known"
    assert "6 patients: the regular expression (p\\d)_" in text
    assert "warning" not in text
    parts = [{case[:2] for case in part} for part in (split.train, split.val, split.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 6
