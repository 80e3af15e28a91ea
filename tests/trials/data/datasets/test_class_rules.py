"""Classes that cannot be told apart or stored are refused before anything is read or trained."""

import json

import numpy as np
import pytest
import torch
from nifti_toys import IPL, asymmetric, save

from bench.cli import main
from trials.data.datasets.label_set import LabelSet, check_classes
from trials.scoring.folders import MaskPair, count_pair
from trials.scoring.overlap import device_counts, label_counts

LISTED = {"0": "background", "1": "lesion", "2": "lesion"}
GAP = {"background": 0, "oedema": 1, "enhancing": 4}
MANY = {"background": 0} | {f"vertebra {number}": number for number in range(1, 257)}


def folder(root, labels):
    for number in range(4):
        save(root / "imagesTr" / f"a{number}_0000.nii.gz", asymmetric(seed=number))
        save(root / "labelsTr" / f"a{number}.nii.gz", np.zeros((11, 14, 9), np.uint8))
    record = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(record))
    return root


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (LISTED, "gives two labels one name, 'lesion'; rename one"),
        (GAP, "without gaps, 0 the background; got [0, 1, 4]"),
        (MANY, "labels must be 2 to 256 with the background, since each"),
        ({"background": 0, " ": 1}, "label 1 has no name"),
    ],
)
def test_classes_without_sense_are_refused_at_once(tmp_path, capsys, labels, told):
    data = folder(tmp_path / "data", labels)
    grid = tmp_path / "grid.py"
    grid.write_text(
        "from dataclasses import replace\nfrom bench.grids import DEMO\n"
        "GRID = replace(DEMO, dataset='nnunet', generate={}, tuning=None)\n"
    )
    commands = (
        ["check", data],
        ["prepare", "nnunet", data, "--cache", tmp_path / "cache"],
        ["run", "--grid", grid, "--data", data, "--dry-run"],
        ["score", "--reference", data, "--prediction", data / "labelsTr", "--dataset", "nnunet"],
    )

    for command in commands:
        code = main(list(map(str, command)))

        said = " ".join("".join(capsys.readouterr()).split())
        assert (code, told in said) == (2, True), (command[0], said)


def test_256_labels_are_the_most_that_a_byte_holds():
    names = [str(label) for label in range(256)]
    check_classes("data", names, 256)

    with pytest.raises(ValueError, match=r"data: labels must be 2 to 256 .*; got 257; merge"):
        check_classes("data", names, 257)


def test_two_classes_of_one_name_are_named():
    told = "data: labels 1 and 2 are both named 'lesion', so their scores could not be told apart"

    with pytest.raises(ValueError, match=told):
        check_classes("data", ["background", "lesion", "lesion"], 3)


def test_label_255_arrives_in_every_count(tmp_path):
    labels = LabelSet(classes=tuple(map(str, range(256))))
    true = np.zeros((4, 4, 4), np.uint8)
    true[1:3, 1:3, 1:3] = 255
    pred = np.zeros_like(true)
    pred[1:3, 1:3, 1:] = 255
    paths = [save(tmp_path / name, mask, IPL) for name, mask in (("a.nii", true), ("b.nii", pred))]
    logits = torch.nn.functional.one_hot(torch.from_numpy(pred).long(), 256).movedim(-1, 0).float()

    of_files = count_pair(MaskPair(case="x", reference=paths[0], prediction=paths[1]), labels, ())
    on_device = device_counts(logits[None], torch.from_numpy(true)[None], 256)

    last = of_files.labels[-1]
    assert (last.region, last.true_voxels, last.pred_voxels, last.overlap_voxels) == (
        "255",
        8,
        12,
        8,
    )
    assert label_counts(pred, true, 256)[255].tolist() == [8, 12, 8]
    assert on_device[0, 255].tolist() == [8, 12, 8]
