"""What is known of a case besides its voxels."""

import dataclasses
import json
from pathlib import Path

import pytest

from bench.run_folder.provenance import case_metadata
from trials.data.datasets.registry import Case, Dataset

NAMES = ("case_00299", "case_00400", "case_00587")


def dataset(root: Path) -> Dataset:
    cases = tuple(Case(case=name, image=root / name, labels=root / name) for name in NAMES)
    return Dataset(name="kits23", root=root, classes=("background", "kidney"), cases=cases)


def test_the_cohort_of_a_case_is_told_by_its_number(tmp_path):
    assert case_metadata(dataset(tmp_path)) == {
        "cohort": dict(
            zip(NAMES, ("from KiTS19 and KiTS21", "new in KiTS23", "new in KiTS23"), strict=True)
        )
    }
    assert case_metadata(dataclasses.replace(dataset(tmp_path), name="phantoms")) == {}


def test_stages_are_read_where_the_challenges_list_lies_beside_the_cases(tmp_path):
    rows = [("case_00299", "1b"), ("case_00400", "X"), ("case_00587", "3"), ("case_00001", "2a")]
    path = tmp_path / "kits23.json"
    path.write_text(
        json.dumps([{"case_id": case, "pathology_t_stage": stage} for case, stage in rows])
    )

    assert case_metadata(dataset(tmp_path))["T stage"] == {"case_00299": "T1", "case_00587": "T3"}

    path.write_text("[{}]")
    with pytest.raises(
        ValueError,
        match=r"kits23.json: not the challenge's list of patients \(KeyError\('case_id'\)\)",
    ):
        case_metadata(dataset(tmp_path))
