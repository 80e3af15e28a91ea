"""Samplings by hand, on the published class counts of KiTS23, and by drawing."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from trials.data.sampling import (
    SAMPLINGS,
    ClassCounts,
    background_share,
    draw,
    draw_histogram,
    oversample,
    sampling_facts,
)
from trials.records.registry import pick
from trials.records.spec import Recipe

# Three items of 100 voxels: nothing but background, a kidney, a kidney and a cyst.
ITEMS = np.array([[100, 0, 0], [80, 20, 0], [60, 36, 4]])
READINGS = ("literal", "content", "presence")


def recipe(**changes) -> Recipe:
    return Recipe(epochs=1, batch_size=1, **changes)


def weigh(name: str, items: np.ndarray, **changes) -> np.ndarray:
    return pick(SAMPLINGS, "sampling", name).load()(items, recipe(**changes))


@pytest.fixture(scope="module")
def kits_training_cube() -> np.ndarray:
    """Class voxels [337, 4] of the paper's training cases, scaled from the native masks to a cube
    of 128.
    """
    folder = os.environ.get("SEGBENCH_FIXTURES")
    if not folder:
        pytest.skip("SEGBENCH_FIXTURES is not set: no table of the KiTS23 cases")
    with (Path(folder) / "data" / "kits23_cases.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["case"] <= "case_00436"]
    voxels = np.array(
        [
            [int(row[f"{name}_voxels"]) for name in ("background", "kidney", "tumor", "cyst")]
            for row in rows
        ]
    )
    return np.rint(voxels * 128**3 / voxels.sum(axis=1, keepdims=True)).astype(np.int64)


@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("reading", READINGS)
def test_every_sampling_sums_to_one(name, reading):
    weights = weigh(name, ITEMS, oversample=reading)

    assert weights.dtype == np.float64
    assert weights.sum() == pytest.approx(1, abs=1e-15)


def test_none_draws_all_alike():
    assert weigh("none", ITEMS).tolist() == [1 / 3] * 3


@pytest.mark.parametrize(
    ("reading", "unscaled"),
    [
        ("literal", [1, 2, 3]),
        ("content", [100 / 240, 80 / 240 + 20 / 56, 60 / 240 + 36 / 56 + 1]),
        ("presence", [1 / 240, 1 / 240 + 1 / 56, 1 / 240 + 1 / 56 + 1 / 4]),
    ],
)
def test_each_reading_of_oversampling_by_hand(reading, unscaled):
    expected = np.array(unscaled) / sum(unscaled)

    assert weigh("oversample", ITEMS, oversample=reading) == pytest.approx(expected, rel=1e-15)


def test_a_class_that_never_occurs_changes_no_weight():
    with_empty = np.insert(ITEMS, 2, 0, axis=1)

    for reading in READINGS:
        assert (
            weigh("oversample", with_empty, oversample=reading).tolist()
            == weigh("oversample", ITEMS, oversample=reading).tolist()
        )


def test_an_unknown_reading_is_refused():
    with pytest.raises(ValueError, match="did you mean 'content'"):
        oversample(ITEMS, recipe(oversample="contents"))


def test_subsampling_drops_what_has_more_background_than_the_threshold():
    assert weigh("subsample", ITEMS).tolist() == [0, 0.5, 0.5]
    assert weigh("subsample", ITEMS, subsample_background=0.8).tolist() == [0, 0.5, 0.5]
    assert weigh("subsample", ITEMS, subsample_background=0.79).tolist() == [0, 0, 1]


def test_subsampling_never_empties_the_set_and_says_so():
    weights = weigh("subsample", ITEMS, subsample_background=0.5)

    facts = sampling_facts("subsample", weights, ITEMS, recipe(subsample_background=0.5))

    assert weights.tolist() == [1 / 3] * 3
    assert (facts["kept_all_as_none_passed"], facts["dropped"]) == (True, 0)


def test_facts_of_subsampling_count_the_dropped():
    facts = sampling_facts("subsample", weigh("subsample", ITEMS), ITEMS, recipe())

    assert (facts["kept_all_as_none_passed"], facts["dropped"], facts["items"]) == (False, 1, 3)


def test_background_share_of_items_of_unequal_size():
    assert background_share(np.array([[3, 1], [50, 0], [0, 2]])).tolist() == [0.75, 1, 0]


def test_draw_histogram_by_hand():
    facts = draw_histogram(np.array([0, 0.25, 0.75]), ITEMS)

    assert facts["draw_holds_class"] == [1, 1, 0.75]
    assert facts["voxel_share"] == pytest.approx([0.65, 0.32, 0.03])
    assert facts["effective_items"] == pytest.approx(1 / (1 / 16 + 9 / 16))
    assert facts["weight_min_median_max"] == [0, 0.75, 2.25]


def test_uniform_weights_draw_each_item_once_before_any_twice():
    indices = draw(np.array([0.25, 0, 0.25, 0.25, 0.25]), 10, np.random.default_rng(0))

    assert sorted(indices[:4]) == sorted(indices[4:8]) == [0, 2, 3, 4]
    assert len(set(indices[8:])) == 2


def test_a_draw_repeats_with_its_seed_and_differs_with_another():
    weights = weigh("oversample", ITEMS)

    first, same, other = (
        draw(weights, 50, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)
    )

    assert first == same != other


@pytest.mark.parametrize("reading", READINGS)
def test_a_hundred_thousand_draws_lie_within_three_sigma(reading):
    weights = weigh("oversample", ITEMS, oversample=reading)

    counts = np.bincount(draw(weights, 100_000, np.random.default_rng(0)), minlength=3)

    sigma = np.sqrt(100_000 * weights * (1 - weights))
    assert (np.abs(counts - 100_000 * weights) <= 3 * sigma).all()


def test_a_dropped_item_is_never_drawn():
    assert 1 not in draw(np.array([0.2, 0, 0.8]), 10_000, np.random.default_rng(0))


def test_the_literal_reading_is_almost_uniform_on_kits(kits_training_cube):
    weights = weigh("oversample", kits_training_cube, oversample="literal")
    unscaled = weights / weights.min() * 3

    values, counts = np.unique(unscaled.round(9), return_counts=True)

    assert (values.tolist(), counts.tolist()) == ([3, 4], [169, 168])
    assert weights[unscaled.round(9) == 4].sum() == pytest.approx(0.570, abs=1e-3)


@pytest.mark.parametrize(
    ("reading", "effective_items", "cyst_chance", "cyst_percent"),
    [("content", 197, None, 0.0311), ("presence", 191, 0.935, 0.0239)],
)
def test_the_other_readings_on_kits(
    kits_training_cube, reading, effective_items, cyst_chance, cyst_percent
):
    facts = draw_histogram(
        weigh("oversample", kits_training_cube, oversample=reading), kits_training_cube
    )

    assert facts["effective_items"] == pytest.approx(effective_items, rel=0.01)
    assert 100 * facts["voxel_share"][3] == pytest.approx(cyst_percent, rel=0.01)
    if cyst_chance:
        assert facts["draw_holds_class"][3] == pytest.approx(cyst_chance, abs=1e-3)


def test_counts_follow_their_unit_and_an_unknown_unit_is_refused():
    counts = {"voxels": (9, 1), "slices": (3, 1), "cases": (2, 1)}

    assert ClassCounts(**counts).of_unit == (9, 1)
    assert ClassCounts(**counts, unit="cases").of_unit == (2, 1)
    with pytest.raises(ValueError, match="unknown class_unit 'voxel'; did you mean 'voxels'"):
        ClassCounts(**counts, unit="voxel")
