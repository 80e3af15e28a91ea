"""Lesions found and lesions made up, and all that is said of one label, on boxes."""

import math

import numpy as np
import pytest

from trials.data.datasets.label_set import Region
from trials.scoring.case import metric_columns, surface_scores
from trials.scoring.lesions import LesionCounts, lesion_counts

ONE = (Region(name="tumor", labels=(1,), tolerance_mm=1.0),)


def label_scores(true, pred, spacing_mm):
    return metric_columns(surface_scores(true, pred, spacing_mm, ONE, "case", "test"))


def mask(*voxels, shape=(6, 6, 6)):
    labels = np.zeros(shape, np.uint8)
    for voxel in voxels:
        labels[voxel] = 1
    return labels


def test_voxels_that_touch_by_a_corner_are_one_lesion():
    touching, apart = mask((1, 1, 1), (2, 2, 2)), mask((1, 1, 1), (3, 3, 3))

    assert lesion_counts(touching, touching).lesions == 1
    assert lesion_counts(apart, apart).lesions == 2


def test_a_lesion_is_found_by_one_shared_voxel_and_a_prediction_beside_it_is_false():
    true = mask(np.s_[0:2, 0:2, 0:2], np.s_[4:6, 4:6, 4:6])
    pred = mask((1, 1, 1), (0, 4, 0))

    assert lesion_counts(true, pred) == LesionCounts(lesions=2, found=1, false=1)


def test_one_component_over_two_lesions_finds_both():
    true = mask((0, 0, 0), (0, 0, 4))

    assert lesion_counts(true, mask(np.s_[0, 0, :])) == LesionCounts(lesions=2, found=2, false=0)


@pytest.mark.parametrize(
    ("true", "pred", "counts"),
    [
        (mask(), mask(), LesionCounts(lesions=0, found=0, false=0)),
        (mask((2, 2, 2)), mask(), LesionCounts(lesions=1, found=0, false=0)),
        (mask(), mask((2, 2, 2)), LesionCounts(lesions=0, found=0, false=1)),
    ],
)
def test_nothing_is_found_of_nothing(true, pred, counts):
    assert lesion_counts(true, pred) == counts


def test_a_label_is_scored_in_voxels_millimetres_and_millilitres():
    true, pred = mask(np.s_[1:3, 1:5, 1:5]), mask(np.s_[1:5, 1:5, 1:5])

    scores = label_scores(true, pred, (5.0, 2.0, 2.0))

    assert scores["dice_tumor"] == pytest.approx(2 / 3)
    assert scores["iou_tumor"] == 0.5
    assert scores["volume_error_ml_tumor"] == pytest.approx(32 * 20 / 1000)
    assert scores["hd95_mm_tumor"] == 10
    assert [scores[f"{name}_voxels_tumor"] for name in ("true", "pred", "overlap")] == [32, 64, 32]
    assert [scores[f"{name}_tumor"] for name in ("lesions", "lesions_found", "lesions_false")] == [
        1,
        1,
        0,
    ]


def test_a_label_in_neither_has_no_ratios_and_one_in_either_has_zeros():
    ratios = ("dice_tumor", "iou_tumor", "surface_dice_tumor")
    neither = label_scores(mask(), mask(), (1.0, 1.0, 1.0))
    missed = label_scores(mask((2, 2, 2)), mask(), (1.0, 1.0, 1.0))

    assert all(math.isnan(neither[name]) for name in (*ratios, "hd95_mm_tumor"))
    assert [missed[name] for name in ratios] == [0, 0, 0]
    assert missed["hd95_mm_tumor"] == math.inf
    assert missed["volume_error_ml_tumor"] == -0.001
