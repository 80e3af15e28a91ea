"""Two folders become pairs on one grid, or one error that names what is wrong."""

import json
import math

import nibabel
import numpy as np
import pytest

from trials.data.datasets.label_set import LabelSet, Region
from trials.data.datasets.registry import KITS23_REGIONS as KITS23
from trials.scoring.case import surface_scores
from trials.scoring.folders import (
    MaskPair,
    find_pairs,
    labels_of,
    read_pair,
    renamed,
    score_pair,
    score_pairs,
)
from trials.scoring.found_masks import mask_files, match_cases

LABELS = LabelSet(classes=("background", "kidney", "tumor", "cyst"))
# Axis 0 runs from the head down, axis 1 to the back, axis 2 to the left; 3 x 2 x 1.5 mm.
IPL = np.array([[0, 0, -1.5, 40.0], [0, -2.0, 0, 30.0], [-3.0, 0, 0, 20.0], [0, 0, 0, 1]])


def save(path, labels=None, affine=IPL):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = patient() if labels is None else labels
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return path


def patient(shape=(10, 12, 14)):
    labels = np.zeros(shape, np.uint8)
    labels[2:8, 3:9, 4:10] = 1
    labels[3:6, 4:7, 5:8] = 2
    return labels


def pair(tmp_path, pred, affine=IPL):
    reference = save(tmp_path / "reference" / "case_00001.nii.gz")
    return MaskPair(
        case="case_00001",
        reference=reference,
        prediction=save(tmp_path / "p" / "case_00001.nii.gz", pred, affine),
    )


def folders(tmp_path, references, predictions):
    for folder, cases in (("reference", references), ("prediction", predictions)):
        for case in cases:
            save(tmp_path / folder / f"{case}.nii.gz")
    return tmp_path / "reference", tmp_path / "prediction"


def test_flat_files_and_folders_a_case_are_found_alike(tmp_path):
    for file in ("segmentation.nii.gz", "imaging.nii.gz"):
        save(tmp_path / "published" / "case_00001" / file)
    save(tmp_path / "published" / ".hidden.nii.gz")
    (tmp_path / "published" / "kits23.json").write_text("[]")
    save(tmp_path / "flat" / "case_00001.nii.gz")

    (found,) = find_pairs(tmp_path / "published", tmp_path / "flat", "kits23")
    (turned,) = find_pairs(tmp_path / "flat", tmp_path / "published", "kits23")

    assert found.case == "case_00001"
    assert (
        found.reference
        == turned.prediction
        == tmp_path / "published" / "case_00001" / "segmentation.nii.gz"
    )
    assert found.prediction == turned.reference == tmp_path / "flat" / "case_00001.nii.gz"


def test_a_missing_prediction_is_named(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"prediction has no prediction for 2 cases: case_00002, case_00003; add them",
    ):
        find_pairs(
            *folders(tmp_path, ("case_00001", "case_00002", "case_00003"), ("case_00001",)),
            "kits23",
        )


def test_a_prediction_without_a_reference_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"reference has no reference for 1 case: case_00009;"):
        find_pairs(*folders(tmp_path, ("case_00001",), ("case_00001", "case_00009")), "kits23")


def test_named_cases_alone_are_scored_and_must_be_there(tmp_path):
    both = folders(
        tmp_path, ("case_00001", "case_00002", "case_00003"), ("case_00003", "case_00001")
    )

    assert [found.case for found in find_pairs(*both, "kits23", ["case_00003", "case_00001"])] == [
        "case_00001",
        "case_00003",
    ]
    with pytest.raises(ValueError, match="no prediction for 1 case: case_00002"):
        find_pairs(*both, "kits23", ["case_00001", "case_00002"])


def test_a_case_that_is_there_twice_is_named(tmp_path):
    save(tmp_path / "case_00001.nii.gz")
    save(tmp_path / "case_00001" / "segmentation.nii.gz")

    with pytest.raises(
        ValueError,
        match=r"holds case_00001 twice, as case_00001/segmentation.nii.gz and case_00001.nii.gz",
    ):
        mask_files(tmp_path)


def test_a_folder_without_masks_says_what_is_looked_for(tmp_path):
    with pytest.raises(ValueError, match=r"holds no masks; expected files are CASE.nii.gz"):
        mask_files(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        mask_files(tmp_path / "nowhere")


def test_a_prediction_of_another_shape_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"p/case_00001.nii.gz: has shape 10x12x15, its reference 10x12x14"
    ):
        read_pair(pair(tmp_path, patient((10, 12, 15))), LABELS)


@pytest.mark.parametrize("change", ["origin", "spacing", "mirrored"])
def test_a_prediction_with_another_affine_is_refused(tmp_path, change):
    affine = IPL.copy()
    if change == "origin":
        affine[0, 3] += 0.1
    elif change == "spacing":
        affine[0, 2] *= 1.01
    else:
        affine[:, 2] *= -1

    with pytest.raises(
        ValueError,
        match=r"p/case_00001.nii.gz: has another affine than its reference: a corner lies",
    ):
        read_pair(pair(tmp_path, patient(), affine), LABELS)


def test_an_affine_rounded_by_another_program_passes(tmp_path):
    true, pred, spacing_mm = read_pair(pair(tmp_path, patient(), IPL + 1e-6), LABELS)

    assert np.array_equal(true, pred)
    assert spacing_mm == (1.5, 2, 3)


def test_a_label_that_is_no_class_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"p/case_00001.nii.gz: labels must lie in 0..3; got 4"):
        read_pair(pair(tmp_path, patient() * 2), LABELS)


def test_both_masks_are_cropped_to_the_foreground_of_either(tmp_path):
    pred = np.zeros_like(patient())
    pred[0, 3, 4] = 3

    true, pred, _ = read_pair(pair(tmp_path, pred), LABELS)

    assert true.shape == pred.shape == (6, 6, 8)
    assert np.bincount(true.ravel(), minlength=4).tolist() == [288 - 216, 189, 27, 0]
    assert pred[0, 0, 0] == 3


def test_scores_do_not_depend_on_how_a_files_axes_run(tmp_path):
    pred = np.roll(patient(), (1, 0, 2), (0, 1, 2))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(IPL), nibabel.orientations.axcodes2ornt("RAS")
    )
    first = pair(tmp_path, pred)
    turned = [tmp_path / name for name in ("reference_ras.nii.gz", "prediction_ras.nii.gz")]
    for path, labels in zip(turned, (patient(), pred), strict=True):
        nibabel.save(nibabel.Nifti1Image(labels, IPL).as_reoriented(turn), path)

    mixed = MaskPair(case="case_00001", reference=first.reference, prediction=turned[1])

    scores = [
        score_pair(pair, LABELS, KITS23)
        for pair in (
            first,
            MaskPair(case="case_00001", reference=turned[0], prediction=turned[1]),
            mixed,
        )
    ]

    assert scores[0] == pytest.approx(scores[1], nan_ok=True)
    assert scores[0] == pytest.approx(scores[2], nan_ok=True)
    assert 0 < scores[0]["surface_dice_kidney_and_mass"] < 1


def test_a_distance_at_the_tolerance_is_within_it_on_an_oblique_scan(tmp_path):
    a, b = np.radians(23.7), 0.4
    about_z = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(about_z) @ about_x * [0.7617, 0.7617, 5.0]
    labels = patient().transpose(2, 1, 0)
    paths = [
        save(tmp_path / name, voxels, affine)
        for name, voxels in (("a.nii", labels), ("b.nii", np.roll(labels, (1, 3, 0), (0, 1, 2))))
    ]
    kidney = Region(name="kidney_and_mass", labels=(1, 2, 3), tolerance_mm=3 * 0.7617)

    scores = score_pair(
        MaskPair(case="x", reference=paths[0], prediction=paths[1]), LABELS, (kidney,)
    )
    true, pred, spacing_mm = read_pair(
        MaskPair(case="x", reference=paths[0], prediction=paths[1]), LABELS
    )
    (surface,) = surface_scores(true, pred, spacing_mm, [kidney], "x", "test")

    # google-deepmind/surface-distance 0.1 with spacing 0.7617 and 5; with edges that are 1e-9 mm
    # longer its Surface Dice is 0.7013.
    assert spacing_mm == (5.0, 0.7617, 0.7617)
    assert scores["surface_dice_kidney_and_mass"] == pytest.approx(0.9728675061473913, abs=1e-12)
    assert surface.hd95_mm == pytest.approx(2.2851, abs=1e-12)


def test_two_masks_without_foreground_score_by_the_challenges_rule(tmp_path):
    empty = np.zeros((4, 5, 6), np.uint8)
    paths = [save(tmp_path / f"{name}.nii.gz", empty) for name in "ab"]

    scores = score_pair(MaskPair(case="x", reference=paths[0], prediction=paths[1]), LABELS, KITS23)

    assert [scores[f"dice_{name}"] for name in ("kidney_and_mass", "mass", "tumor")] == [1, 1, 1]
    assert np.isnan(scores["dice_kidney"])


def test_every_faulty_case_is_named_in_one_error(tmp_path):
    reference, prediction = folders(
        tmp_path, ("case_00001", "case_00002", "case_00003"), ("case_00001",)
    )
    save(prediction / "case_00002.nii.gz", patient((5, 5, 5)))
    (prediction / "case_00003.nii.gz").write_bytes(b"")

    with pytest.raises(
        ValueError,
        match=r"2 of 3 cases cannot be scored: case_00002: .*shape 5x5x5.*; case_00003: .*is empty",
    ):
        score_pairs(find_pairs(reference, prediction, "kits23"), LABELS, KITS23, workers=1)


@pytest.mark.parametrize("reference", ["data", "data/labelsTr", "data/labelsTs"])
def test_classes_of_ones_own_data_come_from_its_dataset_json(tmp_path, reference):
    for folder in ("labelsTr", "labelsTs"):
        save(tmp_path / "data" / folder / "liver_1.nii.gz")
    save(tmp_path / "prediction" / "liver_1.nii.gz")
    (tmp_path / "data" / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "liver": 1, "vessel": 2}})
    )

    pairs = find_pairs(tmp_path / reference, tmp_path / "prediction", "nnunet")

    assert [pair.case for pair in pairs] == ["liver_1"]
    assert labels_of("nnunet", tmp_path / reference) == LabelSet(
        classes=("background", "liver", "vessel")
    )


def test_ignored_voxels_score_by_nnunets_rule(tmp_path):
    names = {"background": 0, "liver": 1, "vessel": 2, "ignore": 3}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
    true, pred = patient(), np.roll(patient(), (1, 0, 2), (0, 1, 2))
    true[5:], pred[7:, :3] = 3, 2
    files = MaskPair(
        case="one",
        reference=save(tmp_path / "labelsTs" / "one.nii.gz", true),
        prediction=save(tmp_path / "p.nii.gz", pred),
    )

    labels = labels_of("nnunet", tmp_path / "labelsTs")
    scores = score_pair(files, labels, ())

    assert labels == LabelSet(classes=("background", "liver", "vessel"), has_ignore=True)
    kept = true != 3
    for label, name in ((1, "liver"), (2, "vessel")):
        tp = np.sum((true == label) & (pred == label) & kept)
        fp = np.sum((true != label) & (pred == label) & kept)
        fn = np.sum((true == label) & (pred != label) & kept)
        assert scores[f"dice_{name}"] == pytest.approx(2 * tp / (2 * tp + fp + fn), rel=1e-12)
        assert scores[f"true_voxels_{name}"] == tp + fn
    # Two of three slices of a vessel of 3 x 3 x 3 are annotated: 18 voxels, found in 1 x 3 x 1.
    assert (scores["true_voxels_vessel"], scores["overlap_voxels_vessel"]) == (18, 3)
    save(tmp_path / "p.nii.gz", true)
    with pytest.raises(ValueError, match=r"p.nii.gz: labels must lie in 0..2; got 3"):
        score_pair(files, labels, ())


def test_regions_score_by_nnunets_rule(tmp_path):
    facts = {
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "far": 3, "ignore": 4},
        "regions_class_order": [1, 2, 3],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    true, pred = patient(), np.roll(patient(), (1, 0, 2), (0, 1, 2))
    pred[pred == 2], true[7] = 1, 4
    files = MaskPair(
        case="one",
        reference=save(tmp_path / "one.nii.gz", true),
        prediction=save(tmp_path / "p.nii.gz", pred),
    )

    labels = labels_of("nnunet", tmp_path)
    scores = score_pair(files, labels, ())
    table = score_pairs([files], labels, (), workers=1)

    # Five annotated slices of 6 x 6 each; in slices 3 to 6 they overlap in 4 columns of 6.
    assert (scores["true_voxels_whole"], scores["pred_voxels_whole"]) == (180, 180)
    assert scores["overlap_voxels_whole"] == 4 * 6 * 4
    assert scores["dice_whole"] == 2 * 96 / (180 + 180)
    assert scores["dice_core"] == 0
    assert math.isnan(scores["dice_far"])
    assert table.labels == ("whole", "core", "far", "label 1")
    assert scores["dice_label 1"] == pytest.approx(
        2
        * np.sum((true == 1) & (pred == 1))
        / (np.sum(true == 1) + np.sum((pred == 1) & (true < 4)))
    )


def test_two_labels_of_one_name_are_refused(tmp_path):
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": {"0": "background", "1": "liver", "2": "liver"}})
    )

    with pytest.raises(ValueError, match="gives two labels one name, 'liver'; rename one"):
        labels_of("nnunet", tmp_path)


@pytest.mark.parametrize(
    ("prediction", "case"),
    [
        ("prediction_00002", "case_00002"),
        ("pred-2", "case_00002"),
        ("case_00002_pred", "case_00002"),
        ("unet.case_00002", "case_00002"),
        ("case_000021", "case_000021"),
        ("other_00002", "other_00002"),
        ("prediction_00009", "prediction_00009"),
    ],
)
def test_a_prediction_of_another_name_is_of_the_case_that_it_names(prediction, case):
    assert match_cases([prediction], ["case_00001", "case_00002"]) == {prediction: case}


def test_two_predictions_of_one_case_are_of_none():
    names = ["case_00001_a", "case_00001_b"]

    assert match_cases(names, ["case_00001"]) == {name: name for name in names}


def test_predictions_of_kits19_are_scored_and_told(tmp_path):
    reference, prediction = folders(tmp_path, ["case_00001"], ["prediction_00001"])

    (found,) = find_pairs(reference, prediction, "kits23")

    assert (found.case, found.prediction.name) == ("case_00001", "prediction_00001.nii.gz")
    assert renamed([found]) == ("scored under another name: prediction_00001.nii.gz as case_00001")


def classwise(folder, labels, classes=LABELS.classes, value=1):
    for label, name in enumerate(classes[1:], 1):
        save(folder / f"{name}.nii.gz", ((labels == label) * value).astype(np.uint8))


def test_a_file_for_each_class_scores_as_one_mask(tmp_path):
    labels = np.roll(patient(), 1, 0)
    classwise(tmp_path / "classes" / "case_00001", labels, ("", "Kidney", "TUMOR", "cyst"), 255)
    save(tmp_path / "classes" / "case_00001" / "heart.nii.gz")
    save(tmp_path / "one" / "case_00001.nii.gz", labels)
    save(tmp_path / "reference" / "case_00001.nii.gz")

    scores = []
    for folder in ("classes", "one"):
        pairs = find_pairs(
            tmp_path / "reference", tmp_path / folder, "kits23", classes=LABELS.classes
        )
        assert renamed(pairs) == ""
        scores.append(score_pair(pairs[0], LABELS, KITS23))

    assert scores[0] == pytest.approx(scores[1], nan_ok=True)


def test_masks_of_classes_that_overlap_or_lack_are_refused(tmp_path):
    folder = tmp_path / "classes" / "case_00001"
    classwise(folder, patient())
    save(folder / "tumor.nii.gz", (patient() > 0).astype(np.uint8))
    save(tmp_path / "reference" / "case_00001.nii.gz")
    (found,) = find_pairs(
        tmp_path / "reference", tmp_path / "classes", "kits23", classes=LABELS.classes
    )

    with pytest.raises(ValueError, match="overlaps the mask of another class in 189"):
        read_pair(found, LABELS)
    (folder / "cyst.nii.gz").unlink()
    with pytest.raises(ValueError, match="must hold a mask of every class; cyst is missing"):
        find_pairs(tmp_path / "reference", tmp_path / "classes", "kits23", classes=LABELS.classes)
    save(folder / "Tumor.nii.gz")
    with pytest.raises(ValueError, match=r"Tumor.nii.gz and tumor.nii.gz have one name"):
        find_pairs(tmp_path / "reference", tmp_path / "classes", "kits23", classes=LABELS.classes)
