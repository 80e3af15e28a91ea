"""Every metric keeps its promises, and what is no metric is refused."""

import math

import numpy as np
import pytest

from trials.data.datasets.label_set import Region
from trials.records.metrics import (
    HIGHER,
    LOWER,
    METRICS,
    ZERO,
    MetricEntry,
    check_metric,
    metric_of,
)
from trials.scoring.case import surface_scores

TUMOR = (Region(name="tumor", labels=(1,), tolerance_mm=1.0),)


def box(first):
    """A box of 4 x 4 x 4 voxels whose first slice is given; no voxel for None."""
    labels = np.zeros((12, 8, 8), np.uint8)
    if first is not None:
        labels[first : first + 4, 2:6, 2:6] = 1
    return labels


def scored(name, true, pred):
    (score,) = surface_scores(box(true), box(pred), (2.0, 1.0, 1.0), TUMOR, "case", "test")
    return metric_of(METRICS[name], score)


def cost(name, value):
    return {HIGHER: -value, LOWER: value, ZERO: abs(value)}[METRICS[name].better]


@pytest.mark.parametrize("name", METRICS)
def test_no_prediction_is_better_than_the_reference_itself(name):
    right = cost(name, scored(name, 0, 0))

    assert all(right <= cost(name, scored(name, 0, pred)) for pred in (2, 6))


@pytest.mark.parametrize("name", METRICS)
def test_a_prediction_elsewhere_or_of_nothing_is_worse_than_the_reference(name):
    # Volume alone does not see where a prediction lies, false lesions not what it leaves out.
    worse = {"volume_error_ml": None, "lesions_false": 6}.get(name, 6)

    assert cost(name, scored(name, 0, 0)) < cost(name, scored(name, 0, worse))


@pytest.mark.parametrize("name", METRICS)
def test_every_value_lies_within_the_bounds_or_is_nan(name):
    low, high = METRICS[name].bounds
    places = [(0, 0), (0, 2), (0, 6), (0, None), (None, 0), (None, None)]

    values = [scored(name, *place) for place in places]

    assert all(math.isnan(value) or low <= value <= high for value in values)


@pytest.mark.parametrize(
    ("name", "missed", "made_up", "neither"),
    [
        ("dice", 0, 0, math.nan),
        ("iou", 0, 0, math.nan),
        ("surface_dice", 0, 0, math.nan),
        ("hd95_mm", math.inf, math.inf, math.nan),
        ("volume_error_ml", -0.128, 0.128, 0),
        ("lesion_recall", 0, math.nan, math.nan),
        ("lesions_false", 0, 1, 0),
    ],
)
def test_empty_masks_have_the_values_that_the_functions_state(name, missed, made_up, neither):
    found = [scored(name, *place) for place in ((0, None), (None, 0), (None, None))]

    assert found == pytest.approx([missed, made_up, neither], nan_ok=True)


def test_every_metric_is_stated_for_empty_masks():
    (cases,) = (
        mark.args[1]
        for mark in test_empty_masks_have_the_values_that_the_functions_state.pytestmark
    )

    assert {case[0] for case in cases} == set(METRICS)


def test_a_division_by_zero_is_not_defined():
    entry = MetricEntry(lambda pred, shared: shared / pred, of=("pred_voxels", "overlap_voxels"))
    (score,) = surface_scores(box(0), box(None), (1.0, 1.0, 1.0), TUMOR, "case", "test")

    check_metric(entry)

    assert math.isnan(metric_of(entry, score))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (MetricEntry(max, of=("voxels",)), "of must name numbers of a case .*; got 'voxels'"),
        (MetricEntry(max, better="up"), "better must be one of 'higher', 'lower', 'zero'"),
        (MetricEntry(max, over="some"), "over must be one of .*; got 'some'"),
        (MetricEntry(lambda true: true), "its function must return a number; .* raised TypeError"),
        (MetricEntry(lambda *numbers: None), "must return a number"),
    ],
)
def test_what_is_no_metric_is_refused(entry, told):
    with pytest.raises(ValueError, match=told):
        check_metric(entry)
