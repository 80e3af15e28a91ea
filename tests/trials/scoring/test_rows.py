"""Specks far apart: the row by row, offset by offset way gives what whole volumes, distances and a
peer give.
"""

import numpy as np
import pytest
from scipy import ndimage

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import KITS23_REGIONS as KITS23
from trials.scoring import lattice
from trials.scoring.case import official_scores, surface_scores
from trials.scoring.lattice import find_near, offsets_within, shared_rows, to_rows
from trials.scoring.lesions import lesion_counts
from trials.scoring.regions import every_region
from trials.scoring.surface import distances_between, find_surface, overlap_within, surface_overlap

CLASSES = ("background", "kidney", "tumor", "cyst")
SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.7, 0.8), (0.5, 0.61, 2.3)]


def specks(seed, shape=(20, 24, 22), share=0.02):
    """Labels of single voxels and small boxes, anywhere."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < share, rng.integers(1, 4, shape), 0).astype(np.uint8)
    for _ in range(6):
        d, h, w = (rng.integers(0, edge - 4) for edge in shape)
        labels[d : d + 4, h : h + 3, w : w + 4] = rng.integers(1, 4)
    return labels


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.4])
def test_lesions_are_the_components_of_a_peer(share):
    true, pred = specks(1, share=share) > 0, specks(2, share=share) > 0

    touching = ndimage.generate_binary_structure(3, 3)
    components, num = ndimage.label(true, touching)
    predicted, num_predicted = ndimage.label(pred, touching)
    ours = lesion_counts(true, pred)

    assert (ours.lesions, ours.found) == (num, len(np.unique(components[true & pred])))
    assert ours.false == num_predicted - len(np.unique(predicted[true & pred]))


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("tolerance_mm", [0.0, 0.7, 1.0330772532390826, 2.3])
def test_areas_within_a_tolerance_are_those_of_the_distances(spacing_mm, tolerance_mm):
    surfaces = find_surface(specks(3) == 1, spacing_mm), find_surface(specks(4) == 1, spacing_mm)

    looked_up = surface_overlap(*surfaces, spacing_mm, tolerance_mm)

    assert looked_up == overlap_within(distances_between(*surfaces, spacing_mm), tolerance_mm)
    assert 0 < looked_up.true_within_mm2 < looked_up.true_mm2


def test_a_tolerance_of_very_many_voxels_is_searched_by_distance(monkeypatch):
    spacing_mm = (0.1, 0.1, 0.1)
    surfaces = find_surface(specks(3) == 1, spacing_mm), find_surface(specks(4) == 1, spacing_mm)

    assert offsets_within(spacing_mm, 1.0) is None
    searched = surface_overlap(*surfaces, spacing_mm, 1.0)

    monkeypatch.setattr(lattice, "MAX_OFFSETS", 10**6)
    assert surface_overlap(*surfaces, spacing_mm, 1.0) == searched


def test_offsets_are_those_of_the_ball_nearest_first():
    offsets = offsets_within((2.0, 1.0, 1.0), 1.5)

    assert offsets[0].tolist() == [0, 0, 0]
    assert sorted(map(tuple, offsets)) == sorted((0, h, w) for h in (-1, 0, 1) for w in (-1, 0, 1))


def test_sets_that_lie_apart_or_are_empty_have_nothing_near():
    offsets = offsets_within((1.0, 1.0, 1.0), 1.0)
    here, far, none = np.array([[0, 0, 0]]), np.array([[9, 9, 9]]), np.empty((0, 3), int)

    for second in (far, none):
        assert not any(side.any() for side in find_near(here, second, offsets))


def test_a_row_does_not_end_where_the_next_begins():
    ends, begins = np.zeros((1, 2, 5), bool), np.zeros((1, 3, 5), bool)
    ends[0, 0, 4] = begins[0, 2, 0] = True
    both = np.concatenate([ends, begins], axis=1)

    assert lesion_counts(both, both).lesions == 2


def test_rows_are_those_that_hold_something():
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 2, 3], labels[2, 0, 0] = 2, 1
    other = np.zeros_like(labels)
    other[0, 3, 1] = 3

    assert (to_rows(labels).d.tolist(), to_rows(labels).h.tolist()) == ([1, 2], [2, 0])
    true, pred = shared_rows(labels, other)
    assert (true.d.tolist(), true.h.tolist()) == ([0, 1, 2], [3, 2, 0])
    assert true.values.sum(axis=1).tolist() == [0, 2, 1]
    assert pred.values.sum(axis=1).tolist() == [3, 0, 0]


def test_a_region_is_recorded_with_counts_that_give_the_official_scores():
    true, pred, spacing_mm = specks(5), specks(6), (3.0, 0.7, 0.8)

    records = surface_scores(
        true,
        pred,
        spacing_mm,
        every_region(LabelSet(classes=CLASSES), KITS23),
        "case_00001",
        "test",
    )

    assert [record.region for record in records] == [
        "kidney_and_mass",
        "mass",
        "tumor",
        "kidney",
        "cyst",
    ]
    official = official_scores(true, pred, spacing_mm, KITS23)
    for record in records[:3]:
        within, area = (
            record.true_within_mm2 + record.pred_within_mm2,
            record.true_mm2 + record.pred_mm2,
        )
        assert within / area == official[f"surface_dice_{record.region}"]
        voxels = record.true_voxels + record.pred_voxels
        assert 2 * record.overlap_voxels / voxels == official[f"dice_{record.region}"]
    assert (records[0].true_voxels, records[0].pred_voxels) == (
        np.count_nonzero(true),
        np.count_nonzero(pred),
    )


def test_what_is_in_neither_mask_is_recorded_as_nothing():
    empty = np.zeros((4, 4, 4), np.uint8)

    (record,) = surface_scores(empty, empty, (1.0, 1.0, 1.0), KITS23[2:], "case_00001", "test")

    assert (
        record.true_mm2,
        record.pred_mm2,
        record.lesions,
        record.lesions_false,
        record.true_voxels,
    ) == (0, 0, 0, 0, 0)
