"""The check that no patient is in two splits: passed, failed and unknown."""

import dataclasses

import pytest
from made_up import MadeUp, write_run

from reports.analysis.caveats import page_one_caveats
from reports.load.run_folder import Run, read_run
from reports.sections.validity import disjoint_patients
from reports.table import scores_table

SPLITS = {"train": ["a1", "a2", "b1"], "val": ["c1"], "test": ["d1", "d2"]}
BY_LETTER = {case: case[0] for cases in SPLITS.values() for case in cases}


@pytest.fixture(scope="module")
def made_up_run(tmp_path_factory):
    return read_run(write_run(tmp_path_factory.mktemp("run"), MadeUp()))


def run_with(run: Run, splits=None, **grouping: object) -> Run:
    data = {**run.record["data"], "fold_cases": {"0": splits or SPLITS}}
    data["grouping"] = {"rule": "the rule", "state": "known", **grouping} if grouping else None
    return dataclasses.replace(run, record={**run.record, "data": data})


def test_disjoint_patients_pass_with_their_number_and_the_rule(made_up_run):
    check = disjoint_patients(run_with(made_up_run, patients=BY_LETTER))

    assert check.claim == "No patient is in two splits"
    assert check.holds is True
    assert check.detail == (
        "2 training patients, 3 scans, 1 validation patient and 1 test patient, 2 scans; the rule"
    )
    assert disjoint_patients(run_with(made_up_run, state="assumed")).holds is True


def test_a_patient_in_two_splits_fails_by_name(made_up_run):
    divided = SPLITS | {"val": ["d3"]}

    check = disjoint_patients(run_with(made_up_run, divided, patients={**BY_LETTER, "d3": "d"}))

    assert check.holds is False
    assert check.detail.endswith("shared: d")


def test_suspected_patients_and_a_run_without_a_record_are_unknown(made_up_run):
    suspected = run_with(made_up_run, state="suspected", likely="a (a1, a2)")
    titles = {one.title: one.names for one in page_one_caveats(suspected, scores_table(suspected))}

    check = disjoint_patients(suspected)

    assert (check.holds, check.detail) == (None, "the rule; a (a1, a2)")
    assert titles["Patients unknown"] == ("a (a1, a2)",)
    assert disjoint_patients(run_with(made_up_run)).holds is None
