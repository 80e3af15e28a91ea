"""Data sets of NRRD, MetaImage and pairs, which are what the same data set of NIfTI is; and DICOM,
which is named as such by every command.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nifti_toys import asymmetric, blocks

from bench.cli import main
from trials.data.datasets.opening import find_dataset
from trials.data.datasets.scans import find_scans
from trials.data.prepared.cache import open_cache
from trials.data.prepared.case_checks import rules_of
from trials.data.prepared.preprocess import prepare_case
from trials.data.prepared.set_checks import check_dataset
from trials.records.faults import fault_line
from trials.records.spec import Cube
from trials.scoring.folders import find_pairs, labels_of, score_pair
from trials.scoring.found_masks import mask_files

ENDINGS = [".nrrd", ".nhdr", ".mha", ".mhd", ".hdr"]


def save(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels.T)
    image.SetSpacing((3.0, 2.0, 1.5))
    image.SetDirection((0, 0, 1, 0, 1, 0, -1, 0, 0))
    image.SetOrigin((-40, -30, 20))
    SimpleITK.WriteImage(image, str(path), path.suffix != ".hdr")


def nnunet(root, ending, number=3):
    for case in range(number):
        save(root / "imagesTr" / f"a{case}_0000{ending}", asymmetric(seed=case) - 1000)
        save(root / "labelsTr" / f"a{case}{ending}", blocks(seed=case))
    facts = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "x": 1, "y": 2, "z": 3},
        "numTraining": number,
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_data_set_is_prepared_as_the_same_in_nifti(tmp_path, ending):
    dataset = find_dataset("nnunet", nnunet(tmp_path / "other", ending, 2))
    nifti = find_dataset("nnunet", nnunet(tmp_path / "nifti", ".nii.gz", 2))

    assert dataset.faults == ()
    assert check_dataset(dataset, workers=1).faults == ()
    one, other = (
        prepare_case(data.cases[1], rules_of(data), Cube(edge=8)) for data in (dataset, nifti)
    )
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.labels, other.labels)
    assert one.class_voxels.tolist() == other.class_voxels.tolist()
    assert one.header.affine == pytest.approx(other.header.affine, abs=1e-5)


@pytest.mark.parametrize("ending", [".nrrd", ".mhd"])
def test_a_prepared_set_is_used_again_until_a_file_of_a_case_changes(tmp_path, ending, capsys):
    root, cache = nnunet(tmp_path / "data", ending), tmp_path / "cache"

    def prepared():
        command = ("prepare", "nnunet", "--data", root, "--cache", cache, "--cube", 8)
        assert main([*map(str, command), "--workers", "1"]) == 0
        return open_cache(Path(capsys.readouterr().out.strip()))

    first = prepared()
    assert prepared().digest == first.digest
    save(root / "imagesTr" / f"a1_0000{ending}", asymmetric(seed=9) - 1000)
    assert prepared().digest != first.digest
    save(root / "imagesTr" / f"a1_0000{ending}", asymmetric(seed=0) - 1000)
    told = [fault.code for fault in check_dataset(find_dataset("nnunet", root), 1).faults]
    assert told == ["twin"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_reference_is_scored_against_a_prediction_in_nifti(tmp_path, ending):
    root = nnunet(tmp_path / "data", ending, 1)
    save(tmp_path / "out" / "a0.nii.gz", blocks())

    (pair,) = find_pairs(root, tmp_path / "out", "nnunet")

    assert pair.reference.name == f"a0{ending}"
    scores = score_pair(pair, labels_of("nnunet", root), ())
    assert {scores[f"dice_{name}"] for name in "xyz"} == {1.0}


@pytest.fixture
def dicom(tmp_path):
    """A patient's study, one series of three slices."""
    for number in range(3):
        file = tmp_path / "patient 1" / "study" / "series" / f"IM{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(128) + b"DICM" + bytes(100))
    return tmp_path / "patient 1"


def test_a_folder_of_dicom_is_named_as_such_with_the_command_that_converts_it(dicom, capsys):
    told = f"dcm2niix -z y -f %i_%s -o OUT '{dicom}'"

    assert main(["check", str(dicom)]) == 2
    assert told in capsys.readouterr().out
    assert main(["prepare", "nnunet", str(dicom), "--cache", str(dicom.parent / "c")]) == 2
    assert told in capsys.readouterr().err
    for find in (lambda: find_scans(dicom, 1), lambda: mask_files(dicom)):
        with pytest.raises(ValueError, match=r"holds DICOM files, first .*IM0; convert") as caught:
            find()
        assert told in str(caught.value)


def test_a_case_that_is_dicom_is_named_as_such(dicom, tmp_path):
    root = nnunet(tmp_path / "data", ".nii.gz", 2)
    series = dicom / "study" / "series"
    (root / "imagesTr" / "a0_0000.nii.gz").unlink()
    series.rename(root / "imagesTr" / "a0")
    (root / "imagesTr" / "a1_0000.nii.gz").write_bytes(bytes(128) + b"DICM" + bytes(100))

    dataset = find_dataset("nnunet", root)

    told = " ".join(map(fault_line, dataset.faults))
    assert "files or folders are DICOM and are not used: imagesTr/a0; convert each series" in told
    found = {fault.code: fault.message for fault in check_dataset(dataset, 1).faults}
    assert found["dicom"] == "is a DICOM file"
    facts = json.loads((root / "dataset.json").read_text())
    images = {"a0": "imagesTr/a0", "a1": "imagesTr/a1_0000.nii.gz"}
    entries = [{"image": images[case], "label": f"labelsTr/{case}.nii.gz"} for case in images]
    del facts["file_ending"]
    (root / "dataset.json").write_text(json.dumps(facts | {"training": entries}))
    listed = [fault.message for fault in find_dataset("nnunet", root).faults]
    assert "'a0' is DICOM, which is not read" in listed
