"""Which cases are scans of one patient: rules, conventions, what only looks like it; and splits
that keep a patient whole.
"""

from pathlib import Path

import pytest

from trials.data.datasets.likely_patients import likely_patients
from trials.data.datasets.patients import checked_rule, group_cases, grouping_faults
from trials.data.datasets.registry import DATASETS, Case, Dataset, DatasetEntry, Split, split_cases
from trials.records.grouping import ASSUMED, KNOWN, SUSPECTED, Grouping, cases_by_patient

HEARTS = [f"patient{n:03d}_frame{f:02d}" for n in range(1, 11) for f in (1, 12)]


def grouped(names, root=Path("nowhere"), rule="", own_rule=""):
    return group_cases(names, root, rule, own_rule)


def named(names, grouping=None, dataset="nnunet"):
    cases = tuple(Case(case=name, image=Path(name), labels=Path(name)) for name in sorted(names))
    grouping = grouping or grouped([case.case for case in cases])
    present = {name: (1, 1, len(name) % 2) for name in names}
    return Dataset(
        name=dataset,
        root=Path(),
        classes=("background", "a", "b"),
        cases=cases,
        class_voxels=present,
        grouping=grouping,
    )


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (HEARTS, 10),
        (["sub-01_ses-01", "sub-01_ses-02", "sub-02_ses-01"], 2),
        (["sub-01", "sub-02", "sub-03"], 3),
        (["BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-GLI-00006-000"], 2),
        (["h1_t1", "h1_t2", "h2_t1"], 2),
    ],
)
def test_a_convention_that_all_names_follow_groups_them(names, patients):
    grouping = grouped(names)

    assert grouping.state == KNOWN
    assert len(cases_by_patient(grouping, names)) == patients
    assert grouping_faults(grouping, Path()) == ()


@pytest.mark.parametrize(
    ("names", "likely"),
    [
        (["h1_t1", "h1_t2", "h2"], {"h1": ["h1_t1", "h1_t2"]}),
        (["p1-pre", "p1-post", "p2-pre"], {"p1": ["p1-pre", "p1-post"]}),
        (["p_pre_1", "p_post_1", "p_pre_2"], {"p_1": ["p_pre_1", "p_post_1"]}),
        (["case_001A", "case_001B", "case_002A"], {"case_001": ["case_001A", "case_001B"]}),
        (["s1_scan1_ct", "s1_scan2_ct", "s2_scan1_ct"], {"s1_ct": ["s1_scan1_ct", "s1_scan2_ct"]}),
        (
            ["10003_1000003", "10003_1000050", "10004_1000005"],
            {"10003": ["10003_1000003", "10003_1000050"]},
        ),
        (["P1_01", "P1_02", "P1_03", "P2_01"], {"P1": ["P1_01", "P1_02", "P1_03"]}),
        (
            ["fdg_0a_2018-04-23", "fdg_0a_2019-04-23", "fdg_0b_2018-04-23"],
            {"fdg_0a": ["fdg_0a_2018-04-23", "fdg_0a_2019-04-23"]},
        ),
    ],
)
def test_names_of_several_scans_a_patient_are_suspected_and_warned_of(names, likely):
    grouping = grouped(names)
    (warning,) = grouping_faults(grouping, Path("DATA"))

    assert likely_patients(names) == likely
    assert (grouping.state, grouping.patients) == (SUSPECTED, {})
    assert (warning.level, warning.file) == ("warning", "DATA")
    ((patient, cases),) = likely.items()
    assert f"{patient} ({', '.join(cases)})" in warning.message
    assert "patients.csv" in warning.fix


@pytest.mark.parametrize(
    "names",
    [
        [f"case_{n:05d}" for n in range(40)],
        [f"BraTS20_Training_{n:03d}" for n in range(1, 40)],
        [f"BraTS20_{part}_{n:03d}" for part in ("Training", "Validation") for n in (1, 2, 3)],
        [f"BraTS2021_{n:05d}" for n in range(40)],
        [f"{hospital}-{n:03d}" for hospital in ("CHUM", "CHUS") for n in range(9)],
        [f"site{site}_{n:02d}" for site in (1, 2, 3) for n in (1, 2)],
        [f"IXI{n:03d}-Guys-{7 * n:04d}-T1" for n in range(40)],
        [f"s{n:04d}" for n in range(40)],
        [str(n) for n in range(40)],
        [f"la_{n:03d}" for n in range(20)],
    ],
    ids=lambda names: names[0],
)
def test_names_that_only_count_cases_are_not_suspected(names):
    assert likely_patients(names) == {}
    assert grouped(names).state == ASSUMED


def test_a_file_names_patients_and_sites_and_wins_over_the_rule_of_the_data_set(tmp_path):
    text = "\ufeffcase,patient,site\nx,anna,Ulm\ny,anna,Ulm\nz,ben,\nnot_here,ben,Bonn\n"
    (tmp_path / "patients.csv").write_text(text, encoding="utf-8")

    grouping = grouped(["x", "y", "z"], tmp_path, own_rule="(.+)")

    assert grouping == Grouping(
        rule="patients.csv",
        state=KNOWN,
        patients={"x": "anna", "y": "anna", "z": "ben"},
        sites={"x": "Ulm", "y": "Ulm"},
    )
    assert grouped(["x", "y", "z"], tmp_path, rule="(.)").rule == "the regular expression (.)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,anna\n", "first line must name the columns case and patient"),
        ("case,patient,Patient\nx,1,2\n", "first line must name the columns case and patient"),
        ("case,patient\nx,M\u00fcller\n", "it is neither UTF-8 nor UTF-16 text"),
        ("case,patient\nx,Anna\ny,anna\n", "line 3: patients must differ in more than capital"),
        ("case,patient\nx,anna\nx,ben\n", "line 3: each line must name a case once"),
        ("case,patient\nx,\n", "line 2: each line must name a case once and its patient"),
        ("case,patient\ny,anna\n", "must name the patient of every case; it lacks 'x'"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "patients.csv").write_text(text, encoding="latin-1")

    with pytest.raises(ValueError, match=f"patients.csv.*{message}"):
        grouped(["x"], tmp_path)


@pytest.mark.parametrize(
    "text", ["Case; Patient \r\nM\u00fc 1; anna\r\n;;\r\n\r\n", "case\tpatient\nMu\u0308 1\tanna"]
)
def test_a_file_is_read_as_spreadsheets_write_it(tmp_path, text):
    (tmp_path / "patients.csv").write_text(text, encoding="utf-8")

    assert grouped(["M\u00fc 1"], tmp_path).patients == {"M\u00fc 1": "anna"}


def test_a_regular_expression_groups_by_its_first_group_and_must_match_each_case():
    grouping = grouped(["a7-1", "a7-2", "b1-1"], rule=r"([a-z]\d)-")

    assert cases_by_patient(grouping, ["a7-1", "a7-2", "b1-1"]) == {
        "a7": ["a7-1", "a7-2"],
        "b1": ["b1-1"],
    }
    with pytest.raises(ValueError, match="must match the name of every case; 'c' does not"):
        grouped(["a7-1", "c"], rule=r"([a-z]\d)-")
    with pytest.raises(ValueError, match="must be a CSV file or a regular expression"):
        checked_rule("(")
    assert grouped(HEARTS, rule="(.+)") == Grouping(rule="each case is a patient", state=KNOWN)


@pytest.mark.parametrize("count", [5, 6, 11, 23])
@pytest.mark.parametrize(
    ("name", "splits", "folds"), [("nnunet", "seeded", 5), ("phantoms", "sequential", 1)]
)
def test_no_split_divides_a_patient_and_sizes_count_patients(name, splits, folds, count):
    # The patients have one to three scans.
    names = [f"patient{n:03d}_frame{scan:02d}" for n in range(count) for scan in range(1 + n % 3)]
    dataset = named(names, dataset=name)

    found = [split_cases(dataset, splits, fold) for fold in range(folds)]

    for split in found:
        parts = [
            set(cases_by_patient(dataset.grouping, part))
            for part in (split.train, split.val, split.test)
        ]
        assert sorted([*split.train, *split.val, *split.test]) == sorted(names)
        assert sum(map(len, parts)) == len(set().union(*parts)) == count
        assert len(parts[2]) in (
            (count // 5, -(-count // 5)) if splits == "seeded" else (max(1, 2 * count // 11),)
        )
    if splits == "seeded":
        assert sorted(case for split in found for case in split.test) == sorted(names)


def test_how_a_patient_is_named_does_not_change_the_split():
    names = [f"case_{n:05d}" for n in range(40)]
    by_number = named(names, grouped(names, rule=r"case_(\d+)"))

    assert split_cases(by_number, "seeded", 1) == split_cases(named(names), "seeded", 1)


def test_a_split_that_divides_a_patient_is_refused_by_name(monkeypatch):
    entry = DatasetEntry("own:data", splits={"own": f"{__name__}:divided"}, folds={"own": 1})
    monkeypatch.setitem(DATASETS, "own", entry)

    with pytest.raises(ValueError, match="patient patient001 has patient001_frame01 in train and"):
        split_cases(named(HEARTS, dataset="own"), "own", 0)


def divided(dataset, fold):
    names = [case.case for case in dataset.cases]
    return Split(train=tuple(names[0::2]), val=tuple(names[1:4:2]), test=tuple(names[5::2]))
