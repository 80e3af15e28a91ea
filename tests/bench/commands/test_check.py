"""segbench check: one list of faults, to read and as JSON, whatever lies in the folder or is
missing there.
"""

import json
import os

import pytest
from nifti_toys import dataset_of

from bench.cli import main
from trials.records.faults import Fault, fault_lines


def listed(capsys, *arguments: object) -> list[dict[str, str]]:
    """The faults that `segbench check` lists as JSON for a folder with faults."""
    assert main(["check", *map(str, arguments), "--json", "--workers", "1"]) == 2
    return json.loads(capsys.readouterr().out)["faults"]


@pytest.mark.parametrize(
    ("name", "told"), [("", "holds no case of kits23: it is empty"), ("gone", "is not a folder")]
)
def test_a_folder_without_a_case_is_a_fault_in_json_too(tmp_path, capsys, name, told):
    (fault,) = listed(capsys, tmp_path / name)

    assert (fault["file"], fault["code"], fault["level"]) == (
        str(tmp_path / name),
        "layout",
        "fatal",
    )
    assert told in fault["message"]
    assert fault["fix"].startswith("point to the folder that holds its case_XXXXX folders")
    assert main(["check", str(tmp_path / name)]) == 2
    assert f"fatal: {tmp_path / name}" in capsys.readouterr().out


def test_the_folder_may_be_named_with_a_flag_but_once(tmp_path, capsys):
    flags = ["--dataset", "phantoms", "--workers", "1"]
    dataset_of(tmp_path / "data")

    assert main(["check", "--data", str(tmp_path / "data"), *flags]) == 0
    assert main(["check", "a", "--data", "b"]) == 2
    assert "is named twice, a and --data b; name it once" in capsys.readouterr().err
    assert main(["check"]) == 2
    assert "name the data set's folder" in capsys.readouterr().err
    assert main(["run", "x", "--data", "y", "--grid", "demo", "--dry-run"]) == 2
    assert main(["run", str(tmp_path), "--grid", "full", "--dry-run"]) == 2
    assert f"{tmp_path} holds no case of kits23" in capsys.readouterr().err


def test_a_warning_that_many_files_share_is_one_line_and_a_fault_never_is():
    warnings = [
        Fault(case=f"c{i}", file=f"c{i}.nii", code="w", message="odd", fix="look", level="warning")
        for i in range(5)
    ]
    faults = [
        Fault(case=f"c{i}", file=f"c{i}.nii", code="f", message="cut", fix="copy it")
        for i in range(4)
    ]

    assert fault_lines([*faults, *warnings]) == [
        *(f"bad case: c{i}: c{i}.nii: cut; copy it" for i in range(4)),
        "warning: c0: c0.nii: odd; look (the same in 4 more files; segbench check "
        "--json lists them)",
    ]
    assert len(fault_lines(warnings[:3])) == 3


def test_a_pipe_is_told_as_what_it_is_and_not_waited_for(tmp_path, capsys):
    image = dataset_of(tmp_path, 2).cases[1].image
    image.unlink()
    os.mkfifo(image)

    (fault,) = (
        fault
        for fault in listed(capsys, tmp_path, "--dataset", "phantoms")
        if fault["level"] != "warning"
    )

    assert (fault["case"], fault["file"]) == ("case_00001", str(image))
    assert fault["message"] == "is a pipe, a socket or a device, not a regular file"


@pytest.mark.parametrize(
    "name",
    ["y\ud800.nii.gz", "y\n.nii.gz", "y\u202e.nii.gz"],
    ids=["half a letter", "line", "mark"],
)
def test_a_name_that_no_text_may_hold_is_spelled_out_in_the_list(tmp_path, capsys, name):
    facts = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "kidney"}}
    pairs = [
        {"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"},
        {"image": "imagesTr/z.nii.gz", "label": "z.nii.gz"},
    ]
    (tmp_path / "dataset.json").write_text(json.dumps(facts | {"training": pairs}))

    faults = listed(capsys, tmp_path)
    assert main(["check", str(tmp_path)]) == 2

    assert faults
    assert all(value.isprintable() for fault in faults for value in fault.values())
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_what_was_understood_is_told_in_nine_lines(tmp_path, capsys):
    dataset_of(tmp_path, 3)

    assert main(["check", str(tmp_path), "--dataset", "phantoms", "--workers", "1"]) == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if "warning:" not in line]
    assert lines == [
        "cases:    3 can be used, case_00000 to case_00002",
        "patients: 3, one a case",
        "channels: 1: CT",
        "classes:  0 background (3 cases), 1 kidney (3 cases), 2 tumor (3 cases), 3 cyst (3 cases)",
        "regions:  kidney_and_mass (1+2+3), mass (2+3), tumor (2); with targets='regions' networks "
        "predict kidney_and_mass, mass, tumor",
        "spacing:  3 x 2 x 1.5 mm (D x H x W) in every case",
        "size:     11 x 14 x 9 voxels (D x H x W) in every case",
        "splits:   sequential, fold 0: 1 train, 1 validation, 1 test; drawn by the rule "
        "'sequential', fold 0 of 1",
        lines[-1],
    ]
    assert lines[-1].startswith("phantoms: 3 cases, 0 faults")


def test_every_fold_of_the_split_is_told(tmp_path, capsys):
    dataset_of(tmp_path, 11)

    assert main(["check", str(tmp_path), "--dataset", "kits23", "--workers", "1"]) == 0

    line = next(line for line in capsys.readouterr().out.splitlines() if line[:6] == "splits")
    assert line.startswith("splits:   stratified, 5 folds, fold 0: 2 train, 5 validation, 4 test; ")
    assert "fold 1, needs a case in each part; 11 cases give 6 train, 0 validation" in line
    assert line.endswith("; fold 4: 6 train, 4 validation, 1 test")


def note_phantoms(root, num_cases, complete=True):
    """Leave the phantoms.json of a generation of so many cases."""
    text = json.dumps({"num_cases": num_cases, "seed": 0, "version": 1, "complete": complete})
    (root / "phantoms.json").write_text(text)


def test_patients_among_phantoms_are_a_fault_whatever_the_folder_is_taken_for(tmp_path, capsys):
    dataset_of(tmp_path, 3)
    note_phantoms(tmp_path, 2)

    (as_phantoms,) = (fault for fault in listed(capsys, tmp_path) if fault["level"] != "warning")
    (as_kits,) = (
        fault
        for fault in listed(capsys, tmp_path, "--dataset", "kits23")
        if fault["level"] != "warning"
    )

    assert (as_phantoms["case"], as_phantoms["level"]) == ("case_00002", "fatal")
    assert (
        as_phantoms["message"]
        == "is not a generated phantom: phantoms.json lists 2, from case_00000 on"
    )
    assert (as_kits["code"], as_kits["file"], as_kits["level"]) == (
        "phantoms",
        str(tmp_path / "phantoms.json"),
        "fatal",
    )
    assert (
        "2 cases from case_00000 on are generated phantoms, not patients of KiTS23; other cases "
        "beside them: 1" in as_kits["message"]
    )
    assert as_kits["fix"].startswith("move the patients to a folder of their own")


def test_phantoms_beside_somebodys_data_set_are_a_warning(tmp_path, capsys):
    sound = dataset_of(tmp_path / "made", 1).cases[0]
    for folder, name, path in (
        ("imagesTr", "liver_0000.nii.gz", sound.image),
        ("labelsTr", "liver.nii.gz", sound.labels),
    ):
        (tmp_path / "data" / folder).mkdir(parents=True)
        path.rename(tmp_path / "data" / folder / name)
    facts = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "a": 1, "b": 2, "c": 3},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(facts))
    assert main(["check", str(tmp_path / "data"), "--workers", "1"]) == 0
    assert "phantoms" not in capsys.readouterr().out
    note_phantoms(tmp_path / "data", 88)

    assert main(["check", str(tmp_path / "data"), "--workers", "1"]) == 0

    text = capsys.readouterr().out
    assert (
        f"warning: {tmp_path / 'data' / 'phantoms.json'}: says that phantoms were generated in "
        "this folder" in text
    )
    assert "delete it and the case_XXXXX folders beside it" in text


def test_phantoms_whose_generation_was_interrupted_are_a_warning(tmp_path, capsys):
    dataset_of(tmp_path, 2)
    note_phantoms(tmp_path, 3, complete=False)

    assert main(["check", str(tmp_path), "--workers", "1"]) == 0

    assert "warning: " + str(
        tmp_path / "phantoms.json"
    ) + ": says that not all of its 3 phantoms were written" in (capsys.readouterr().out)
