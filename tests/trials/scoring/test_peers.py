"""Scores equal those of other programs on the same masks: nnU-Net's evaluation of labels, regions
and ignored voxels, and SimpleITK's overlap and volumes on an oblique grid.
"""

import json
import math

import nibabel
import numpy as np
import pytest
import SimpleITK

from trials.scoring.folders import MaskPair, labels_of, score_pair

# What compute_metrics of nnunetv2 2.8.1 (evaluation/evaluate_predictions.py) gives for the masks
# below, with SimpleITKIO, the labels or regions in this order and ignore_label 4:
# Dice, TP, n_ref, n_pred.
BY_NNUNET = {
    "oedema": (0.47832817337461303, 309, 609, 683),
    "necrosis": (0.6005917159763313, 203, 321, 355),
    "enhancing": (0.7741935483870968, 36, 45, 48),
    "whole": (0.7908782144590005, 815, 975, 1086),
    "core": (0.6762028608582574, 260, 366, 403),
}
SHAPE = (14, 18, 22)


def nested(shift=(0, 0, 0)):
    """Three ellipsoids one in another, labels 1 to 3, uint8 [14, 18, 22]."""
    labels = np.zeros(SHAPE, np.uint8)
    grid, centre = np.indices(SHAPE, float), np.add((7, 8, 10), shift)
    for label, radii in enumerate(((5, 7, 8), (4, 5, 5), (2, 2, 3)), 1):
        far = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True))
        labels[far < 1] = label
    return labels


def masks():
    """A reference of which five slices are not annotated, and a prediction beside it."""
    true, pred = nested(), nested((1, 0, 2))
    true[:5] = 4
    pred[pred == 3] = 2
    pred[6:9, 7:11, 9:13] = 3
    return true, pred


def stored(folder, true, pred, affine):
    """The pair as files whose first axis is the last of the masks."""
    paths = [folder / f"{name}.nii.gz" for name in ("true", "pred")]
    for path, labels in zip(paths, (true, pred), strict=True):
        nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine), path)
    return MaskPair(case="one", reference=paths[0], prediction=paths[1])


def test_labels_regions_and_ignored_voxels_score_as_nnunet_scores_them(tmp_path):
    names = {"whole": [1, 2, 3], "core": [2, 3], "oedema": 1, "necrosis": 2, "enhancing": 3}
    facts = {"labels": {"background": 0, **names, "ignore": 4}}
    facts["regions_class_order"] = [1, 2, 1, 2, 3]
    (tmp_path / "dataset.json").write_text(json.dumps(facts))

    pair = stored(tmp_path, *masks(), np.diag([-0.75, -0.75, 3.0, 1.0]))
    scores = score_pair(pair, labels_of("nnunet", tmp_path), ())

    for name, (dice, overlap, true, pred) in BY_NNUNET.items():
        counts = [scores[f"{kind}_voxels_{name}"] for kind in ("overlap", "true", "pred")]
        assert counts == [overlap, true, pred]
        assert scores[f"dice_{name}"] == pytest.approx(dice, rel=1e-12)


def test_overlap_and_volumes_are_simpleitks_on_an_oblique_grid(tmp_path):
    a, b = math.radians(23.7), 0.4
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x * (0.7617, 0.7617, 5.0)
    names = {"background": 0, "oedema": 1, "necrosis": 2, "enhancing": 3}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
    _, pred = masks()
    pair = stored(tmp_path, nested(), pred, affine)

    scores = score_pair(pair, labels_of("nnunet", tmp_path), ())

    images = [SimpleITK.ReadImage(str(path)) for path in (pair.reference, pair.prediction)]
    overlap, shapes = SimpleITK.LabelOverlapMeasuresImageFilter(), []
    overlap.Execute(*images)
    for image in images:
        shapes.append(SimpleITK.LabelShapeStatisticsImageFilter())
        shapes[-1].Execute(image)
    for name, label in list(names.items())[1:]:
        true_ml, pred_ml = (of.GetPhysicalSize(label) / 1000 for of in shapes)
        assert scores[f"dice_{name}"] == pytest.approx(overlap.GetDiceCoefficient(label))
        assert scores[f"iou_{name}"] == pytest.approx(overlap.GetJaccardCoefficient(label))
        assert scores[f"volume_error_ml_{name}"] == pytest.approx(pred_ml - true_ml, rel=1e-6)
