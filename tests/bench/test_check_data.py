"""segbench check: one list of faults, to read and as JSON, whatever lies in the folder or is missing there."""

import json
import os

import pytest
from nifti_toys import dataset_of

from bench.cli import main


def listed(capsys, *arguments: object) -> list[dict[str, str]]:
    """The faults that `segbench check` lists as JSON for a folder with faults."""
    assert main(["check", *map(str, arguments), "--json", "--workers", "1"]) == 2
    return json.loads(capsys.readouterr().out)["faults"]


@pytest.mark.parametrize(("name", "told"), [("", "holds no case of kits23: it is empty"), ("gone", "is not a folder")])
def test_a_folder_without_a_case_is_a_fault_in_json_too(tmp_path, capsys, name, told):
    (fault,) = listed(capsys, tmp_path / name)

    assert (fault["file"], fault["code"], fault["level"]) == (str(tmp_path / name), "layout", "fatal")
    assert told in fault["message"]
    assert fault["fix"].startswith("point to the folder that holds its case_XXXXX folders")
    assert main(["check", str(tmp_path / name)]) == 2
    assert f"fatal: {tmp_path / name}" in capsys.readouterr().out


def test_a_pipe_is_told_as_what_it_is_and_not_waited_for(tmp_path, capsys):
    image = dataset_of(tmp_path, 2).cases[1].image
    image.unlink()
    os.mkfifo(image)

    (fault,) = (fault for fault in listed(capsys, tmp_path, "--dataset", "phantoms") if fault["level"] != "warning")

    assert (fault["case"], fault["file"]) == ("case_00001", str(image))
    assert fault["message"] == "is a pipe, a socket or a device, not a regular file"


@pytest.mark.parametrize("name", ["y\ud800.nii.gz", "y\n.nii.gz", "y\u202e.nii.gz"], ids=["half a letter", "line", "mark"])
def test_a_name_that_no_text_may_hold_is_spelled_out_in_the_list(tmp_path, capsys, name):
    facts = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "kidney"}}
    pairs = [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"}, {"image": "imagesTr/z.nii.gz", "label": "z.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps(facts | {"training": pairs}))

    faults = listed(capsys, tmp_path)
    assert main(["check", str(tmp_path)]) == 2

    assert faults
    assert all(value.isprintable() for fault in faults for value in fault.values())
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
