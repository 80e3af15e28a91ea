"""What a test case leaves for a page: which slices, in which greys, how large, and the image read
once.
"""

import numpy as np
import pytest

from trials.data.datasets.registry import ABDOMEN_HU
from trials.data.prepared.cache import open_cache
from trials.data.prepared.native_grid import native_labels
from trials.inference.previews import (
    display_window,
    save_prediction,
    save_reference,
    telling_slices,
    thinned,
)


def test_the_fullest_slice_of_each_label_and_the_ends_of_the_foreground_are_told():
    labels = np.zeros((40, 6, 6), np.uint8)
    labels[5:30, 0, 0] = 1
    labels[13, 1] = 1
    labels[22, 3, :2] = 3

    told = telling_slices(labels)

    assert {5, 13, 22, 29} <= set(told.tolist())
    assert sorted(set(told.tolist())) == told.tolist()
    assert len(told) <= 8


def test_slices_of_an_empty_reference_are_spread_over_its_depth():
    told = telling_slices(np.zeros((40, 6, 6), np.uint8))

    assert (told[0], told[-1], len(told)) == (0, 39, 8)


def test_the_window_of_the_abdomen_is_black_at_fat_and_air_and_white_at_bone():
    grey = display_window(np.array([-1000.0, -160.0, 40.0, 240.0, 1500.0]), ABDOMEN_HU)

    assert grey.tolist() == [0, 0, 127, 255, 255]


def test_without_a_window_the_denser_half_is_spread_from_black_to_white():
    image = np.concatenate([np.zeros(1000), np.linspace(5, 6, 999)])

    grey = display_window(image, None)

    assert (grey[:1000] == 0).all()
    assert (grey.max(), int(grey[1499])) == (255, 128)


def test_slices_of_a_sheet_become_means_of_squares_and_keep_the_middle_label():
    grey, labels = np.zeros((2, 600, 515), np.uint8), np.zeros((2, 600, 515), np.uint8)
    grey[:, :3, :3] = 90
    labels[:, 1, 1] = 2

    small, small_labels = thinned(grey, labels)

    assert small.shape == small_labels.shape == (2, 200, 171)
    assert (small[0, 0, 0], small[0, 0, 1], small_labels[0, 0, 0], small_labels.sum()) == (
        90,
        0,
        2,
        4,
    )


@pytest.mark.parametrize("shape", [(1, 256, 200), (1, 4000, 2)])
def test_slices_that_are_small_stay_as_they_are(shape):
    grey = np.ones(shape, np.uint8)

    assert thinned(grey, grey)[0] is grey


def test_a_case_is_kept_once_on_its_own_grid_and_a_prediction_in_the_same_slices(
    small_cache, tmp_path
):
    cache = open_cache(small_cache)
    case = sorted(cache.cases)[0]
    record, reference = cache.cases[case], native_labels(cache.cases[case])
    path = tmp_path / "cases.npz"
    save_reference(path, cache, case, reference)
    first = path.stat().st_mtime_ns
    save_reference(path, cache, case, np.zeros_like(reference))
    predicted = cache.labels(case), reference
    save_prediction(tmp_path / "prediction.npz", cache, case, predicted, reference)

    with (
        np.load(path, allow_pickle=False) as kept,
        np.load(tmp_path / "prediction.npz", allow_pickle=False) as told,
    ):
        assert path.stat().st_mtime_ns == first
        assert np.array_equal(kept["index"], told["index"])
        assert np.array_equal(kept["reference"], told["prediction"])
        assert kept["sheet"].shape == kept["sheet_reference"].shape == (16, *record.shape[1:])
        assert kept["pixel_mm"].tolist() == list(record.spacing_mm[1:])
        # Kidneys take up contrast medium: they stand well above the rest of the body.
        assert (
            kept["image"][kept["reference"] == 1].mean()
            > 1.5 * kept["image"][kept["reference"] == 0].mean()
        )
