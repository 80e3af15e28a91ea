"""Surface areas and distances of boxes and planes, whose answers are known by hand, and of blobs,
by a peer library.
"""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trials.data.datasets.label_set import Region
from trials.scoring.case import surface_scores
from trials.scoring.surface import (
    bounding_box,
    distances_between,
    element_areas,
    find_surface,
    hd95_mm,
    overlap_within,
    surface_dice,
)

CUBIC = (1.0, 1.0, 1.0)


def box(start, edges, shape=(16, 16, 16)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(at, at + edge) for at, edge in zip(start, edges, strict=True))] = True
    return mask


def blob(seed, shape=(18, 20, 22)):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    inside = np.zeros(shape, bool)
    inside[2:-2, 2:-2, 2:-2] = True
    return (noise > np.quantile(noise, 0.7)) & inside


def measured(true, pred, spacing_mm=CUBIC):
    return distances_between(
        find_surface(true, spacing_mm), find_surface(pred, spacing_mm), spacing_mm
    )


def dice_at(true, pred, tolerance_mm, spacing_mm=CUBIC):
    return surface_dice(overlap_within(measured(true, pred, spacing_mm), tolerance_mm))


@pytest.mark.parametrize("edge", [1, 2, 5, 40])
def test_a_cubes_area_is_that_of_its_faces_with_edges_and_corners_cut(edge):
    mask = np.ones((edge,) * 3, bool)

    area = find_surface(mask, CUBIC).areas_mm2.sum()

    cut = 6 * (edge - 1) ** 2 + 12 * (edge - 1) * math.sqrt(1 / 2) + 8 * math.sqrt(3) / 8
    assert area == pytest.approx(cut)


def test_a_boxs_area_approaches_that_of_its_faces_at_any_spacing():
    spacing_mm = (2.5, 0.5, 0.8)
    d, h, w = 60 * 2.5, 120 * 0.5, 100 * 0.8

    area = find_surface(np.ones((60, 120, 100), bool), spacing_mm).areas_mm2.sum()

    assert area == pytest.approx(2 * (d * h + d * w + h * w), rel=0.02)
    assert area < 2 * (d * h + d * w + h * w)


def test_element_areas_of_known_neighbourhoods_follow_the_spacing():
    areas = element_areas((5.0, 2.0, 3.0))

    assert areas[[0, 255]].tolist() == [0, 0]
    assert areas[0b00001111] == 2 * 3  # a face across D
    assert areas[0b00110011] == 5 * 3  # across H
    assert areas[0b01010101] == 5 * 2  # across W
    assert areas[0b00000001] == pytest.approx(
        math.hypot(2 * 3, 5 * 3, 5 * 2) / 8
    )  # one corner cut off
    assert areas[0b00010001] == pytest.approx(5 * math.hypot(2, 3) / 2)  # an edge along D cut off


def test_element_areas_of_all_neighbourhoods_are_a_peers():
    from monai.metrics.utils import get_code_to_measure_table

    for spacing_mm in (CUBIC, (5.0, 0.7, 0.8), (0.5, 2.3, 0.61)):
        theirs = get_code_to_measure_table(spacing_mm)[0].numpy()
        # The peer gives the first voxel the highest bit; a reversed key is the neighbourhood seen
        # from its far corner.
        assert element_areas(spacing_mm) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("spacing_mm", [CUBIC, (3.0, 0.7, 0.8)])
def test_surface_dice_of_blobs_is_a_peers(spacing_mm):
    import torch
    from monai.metrics import compute_surface_dice

    true, pred = blob(0), blob(0) & ~blob(1)
    one_hot = [torch.as_tensor(mask)[None, None].float() for mask in (pred, true)]

    for tolerance_mm in (0.9, 1.5, 3.1):
        theirs = compute_surface_dice(
            *one_hot,
            [tolerance_mm],
            include_background=True,
            spacing=spacing_mm,
            use_subvoxels=True,
        ).item()
        assert 0 < theirs < 1
        assert dice_at(true, pred, tolerance_mm, spacing_mm) == pytest.approx(theirs, rel=1e-6)


def test_a_box_shifted_by_a_voxel_agrees_where_its_sides_still_lie_upon_each_other():
    true, pred = box((4, 4, 4), (6, 6, 6)), box((5, 4, 4), (6, 6, 6))

    total = 6 * 25 + 12 * 5 * math.sqrt(1 / 2) + math.sqrt(3)
    # Five rings of corners along the shift keep 20 faces and 4 slanted edges each; of one cap its
    # rim is shared.
    sides = 5 * (20 + 4 * math.sqrt(1 / 2))
    rim = 20 * math.sqrt(1 / 2) + 4 * math.sqrt(3) / 8
    assert dice_at(true, pred, 0.99) == pytest.approx((sides + rim) / total)


@pytest.mark.parametrize(("tolerance_mm", "agrees"), [(2.0, True), (1.999, False)])
def test_a_shift_by_one_thick_slice_is_within_a_tolerance_of_its_thickness_and_no_less(
    tolerance_mm, agrees
):
    true, pred = box((4, 0, 0), (6, 16, 16)), box((5, 0, 0), (6, 16, 16))

    assert (dice_at(true, pred, tolerance_mm, (2.0, 0.7, 0.7)) == 1) is agrees


@pytest.mark.parametrize("start", range(8))
def test_one_voxel_off_is_one_spacing_off_wherever_it_lies(start):
    true, pred = box((start, 2, 2), (4, 6, 6)), box((start + 1, 2, 2), (4, 6, 6))

    # 0.7 has no exact binary form: differences of positions in mm would round to either side of it.
    assert dice_at(true, pred, 0.7, (0.7, 5.0, 5.0)) == 1


def test_hd95_of_two_parallel_planes_is_the_farther_of_their_faces():
    true, pred = box((2, 0, 0), (1, 16, 16)), box((5, 0, 0), (1, 16, 16))

    assert hd95_mm(measured(true, pred, (2.5, 1.0, 1.0))) == 7.5
    assert hd95_mm(measured(pred, true, (2.5, 1.0, 1.0))) == 7.5


def test_hd95_does_not_see_a_speck_of_less_than_five_percent():
    true = box((2, 2, 2), (8, 8, 8))
    pred = true | box((15, 15, 15), (1, 1, 1))

    distances = measured(true, pred)

    assert hd95_mm(distances) == 0
    # From the far corner of the speck, index 16, to the box's at 10.
    assert distances.pred_mm.max() == pytest.approx(6 * math.sqrt(3))


def test_equal_masks_agree_at_any_tolerance():
    assert dice_at(blob(0), blob(0), 0) == 1
    assert hd95_mm(measured(blob(0), blob(0))) == 0


def test_of_one_empty_mask_nothing_agrees_and_the_distance_is_infinite():
    empty = np.zeros((16, 16, 16), bool)

    for pair in ((box((2, 2, 2), (3, 3, 3)), empty), (empty, box((2, 2, 2), (3, 3, 3)))):
        assert dice_at(*pair, 100) == 0
        assert hd95_mm(measured(*pair)) == math.inf


def test_of_two_empty_masks_nothing_is_a_number():
    empty = np.zeros((4, 4, 4), bool)

    assert math.isnan(dice_at(empty, empty, 1))
    assert math.isnan(hd95_mm(measured(empty, empty)))


def test_a_limit_changes_no_overlap_within_it():
    spacing_mm = (1.5, 0.7, 0.9)
    surfaces = find_surface(blob(0), spacing_mm), find_surface(blob(2), spacing_mm)

    whole, limited = (
        distances_between(*surfaces, spacing_mm),
        distances_between(*surfaces, spacing_mm, limit_mm=1.5),
    )

    assert overlap_within(limited, 1.5) == overlap_within(whole, 1.5)
    assert np.isinf(limited.true_mm).any()
    assert not np.isinf(whole.true_mm).any()


def test_areas_of_parts_that_do_not_touch_add_up():
    left, right = box((1, 1, 1), (4, 5, 6)), box((9, 8, 8), (3, 3, 3))

    parts = [find_surface(mask, CUBIC).areas_mm2.sum() for mask in (left, right)]

    assert find_surface(left | right, CUBIC).areas_mm2.sum() == pytest.approx(sum(parts))


def test_where_a_mask_lies_and_how_its_axes_are_ordered_does_not_matter():
    true, pred = blob(0), blob(2)
    spacing_mm = (3.0, 0.7, 0.8)

    turned = dice_at(
        true.transpose(2, 0, 1)[::-1], pred.transpose(2, 0, 1)[::-1], 1.0, (0.8, 3.0, 0.7)
    )
    moved = dice_at(np.pad(true, 3), np.pad(pred, 3), 1.0, spacing_mm)

    assert turned == pytest.approx(dice_at(true, pred, 1.0, spacing_mm), rel=1e-12)
    assert moved == pytest.approx(dice_at(true, pred, 1.0, spacing_mm), rel=1e-12)


def test_the_box_of_a_mask_is_the_smallest_that_holds_it():
    assert bounding_box(box((2, 3, 4), (1, 5, 6))) == (slice(2, 3), slice(3, 8), slice(4, 10))
    assert bounding_box(np.zeros((4, 4, 4), np.uint8)) == (slice(0, 0), slice(0, 0), slice(0, 0))


def test_a_surface_beside_ignored_voxels_is_that_of_the_whole_object_without_their_corners():
    true, pred = np.zeros((2, 9, 9, 12), np.uint8)
    true[2:6, 2:6, 2:10] = 1
    whole = find_surface(true, (2.0, 1.0, 1.5))
    pred[...] = true
    pred[:, :, 8:] = 1
    pred[0, 0, 11] = 1
    is_ignored = np.zeros(true.shape, bool)
    is_ignored[:, :, 7:] = True
    region = Region(name="organ", labels=(1,), tolerance_mm=1.0)

    (score,) = surface_scores(
        true * ~is_ignored + is_ignored * 2, pred, (2.0, 1.0, 1.5), [region], "x", "", is_ignored
    )

    known = whole.areas_mm2[whole.corners[:, 2] < 7].sum()
    assert score.true_mm2 == score.pred_mm2 == pytest.approx(known, rel=1e-12)
    assert score.true_within_mm2 == score.pred_within_mm2 == score.true_mm2
    assert (score.hd95_mm, score.true_voxels, score.overlap_voxels) == (0, 80, 80)
    assert (score.lesions, score.lesions_found, score.lesions_false) == (1, 1, 0)
