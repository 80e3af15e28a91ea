"""A data set and its split as a folder of nnU-Net: our reader finds the same in it."""

import json

import nibabel
import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, dataset_of, save

from bench.cli import main
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import split_cases
from trials.data.nifti.volume import read_image, read_labels


def parts(split):
    return {"train": split.train, "val": split.val, "test": split.test}


def sorted_parts(split):
    return {name: sorted(cases) for name, cases in parts(split).items()}


@pytest.mark.parametrize("flags", [[], ["--copy"]])
def test_what_is_written_reads_back_as_the_same_cases_and_split(tmp_path, flags, capsys):
    dataset_of(tmp_path / "data", 10)
    out = tmp_path / "Dataset220_Kidney"

    given = ["export", "nnunet", str(tmp_path / "data"), str(out), "--dataset", "kits23"]
    code = main([*given, "--fold", "3", *flags])

    ours, theirs = open_dataset("kits23", tmp_path / "data"), open_dataset("nnunet", out)
    assert (code, capsys.readouterr().out.strip()) == (0, str(out))
    assert (theirs.classes, theirs.channels, theirs.faults) == (ours.classes, ours.channels, ())
    assert theirs.grouping.patients == ours.grouping.patients
    assert sorted_parts(split_cases(theirs, "own", 0)) == sorted_parts(
        split_cases(ours, "stratified", 3)
    )
    for before, after in zip(ours.cases, theirs.cases, strict=True):
        assert after.case == before.case
        assert np.array_equal(read_image(after.image).voxels, read_image(before.image).voxels)
        assert np.array_equal(
            read_labels(after.labels, 4).voxels, blocks(seed=int(after.case[-5:]))
        )
        assert after.image.is_symlink() == (not flags)


def test_the_regions_of_a_challenge_take_the_place_of_its_labels(tmp_path):
    dataset_of(tmp_path / "data", 10)
    out = tmp_path / "out"

    main(["export", "nnunet", str(tmp_path / "data"), str(out), "--dataset", "kits23", "--regions"])

    facts = json.loads((out / "dataset.json").read_text())
    assert facts["labels"] == {
        "background": 0,
        "kidney_and_mass": [1, 2, 3],
        "mass": [2, 3],
        "tumor": 2,
    }
    assert facts["regions_class_order"] == [1, 3, 2]
    regions = [region.labels for region in open_dataset("nnunet", out).regions]
    assert regions == [(1, 2, 3), (2, 3), (2,)]


def test_channels_in_one_file_and_other_endings_become_files_of_their_own(tmp_path):
    root = tmp_path / "data"
    listed = []
    for number in range(6):
        channels = np.stack([asymmetric(seed=number), asymmetric(seed=number + 9)], -1)
        save(root / "imagesTr" / f"p{number}.nii", channels, IPL)
        save(root / "labelsTr" / f"p{number}.nii.gz", blocks(seed=number) % 3)
        listed.append({"image": f"imagesTr/p{number}.nii", "label": f"labelsTr/p{number}.nii.gz"})
    facts = {
        "modality": {"0": "CT", "1": "T1"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
        "regions_class_order": [1, 2],
        "training": listed,
    }
    (root / "dataset.json").write_text(json.dumps(facts))

    assert main(["export", "nnunet", str(root), str(tmp_path / "out")]) == 0

    ours, theirs = open_dataset("nnunet", root), open_dataset("nnunet", tmp_path / "out")
    assert (theirs.labels, theirs.channels) == (ours.labels, ours.channels)
    case = theirs.cases[2]
    assert [path.name for path in case.images] == ["p2_0000.nii.gz", "p2_0001.nii.gz"]
    stored = [np.asanyarray(nibabel.load(path).dataobj) for path in case.images]
    assert np.array_equal(stored, [asymmetric(seed=2), asymmetric(seed=11)])


def test_an_export_is_refused_where_files_lie_and_where_there_are_no_regions(tmp_path, capsys):
    dataset_of(tmp_path / "data", 10)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    own = ["export", "nnunet", str(tmp_path / "data")]

    assert main([*own, str(tmp_path / "out"), "--dataset", "kits23"]) == 2
    assert "out must be missing or empty" in capsys.readouterr().err
    assert main([*own, str(tmp_path / "data" / "out"), "--dataset", "kits23"]) == 2
    assert "OUT must be outside of DATA" in capsys.readouterr().err
