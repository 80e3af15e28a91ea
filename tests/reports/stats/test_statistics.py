"""Intervals, tests and audits against hand answers, theory and scipy."""

import numpy as np
import pytest
from scipy import stats

from reports.analysis.summary import resample_values
from reports.audit.rules import duplicates, feasible
from reports.stats.intervals import (
    case_weights,
    draw_seeds,
    interval,
    nan_mean,
    point,
    rank_first,
    resample,
    seed_effects,
)
from reports.stats.tests import holm, wilcoxon
from reports.stats.trainings import training_variance


def draws_of(values: np.ndarray, draws: int = 10_000) -> np.ndarray:
    available = ~np.isnan(values).all(axis=2)
    return resample(values, case_weights(values.shape[2], draws)) + seed_effects(
        values, draw_seeds(available, draws)
    )


def test_point_averages_patients_then_seeds():
    values = np.array([[[0.2, 0.4], [0.6, 0.8]], [[1.0, 0.0], [np.nan, np.nan]]])

    np.testing.assert_allclose(point(values), [0.5, 0.5])


def test_the_bootstrap_error_of_one_seed_is_the_standard_error_of_the_mean():
    values = np.random.default_rng(1).normal(0.6, 0.1, (1, 1, 50))

    error = draws_of(values).std()

    assert error == pytest.approx(values.std() / np.sqrt(50), rel=0.03)


def test_the_bootstrap_interval_agrees_with_scipys():
    sample = np.random.default_rng(2).beta(5, 2, 40)

    low, high = interval(draws_of(sample[None, None]))

    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    )
    assert low[0] == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert high[0] == pytest.approx(theirs.confidence_interval.high, abs=0.004)


def test_seeds_add_their_variance_over_their_number():
    # Four seeds that shift every patient alike: the patients' share is zero, the seeds' is var / 4.
    shifts = np.array([0.1, 0.2, 0.4, 0.5])
    values = np.repeat(shifts[None, :, None], 30, axis=2)

    error = draws_of(values).std()

    assert error == pytest.approx(shifts.std(ddof=1) / 2, rel=0.03)


def test_configurations_share_their_draws_so_a_constant_lead_has_no_width():
    base = np.random.default_rng(3).uniform(0.3, 0.7, (1, 3, 20))
    drawn = draws_of(np.concatenate([base, base + 0.05]), 500)

    low, high = interval(drawn[:, [1]] - drawn[:, [0]])

    assert low[0] == pytest.approx(0.05)
    assert high[0] == pytest.approx(0.05)


def test_a_missing_seed_is_left_out_and_a_missing_configuration_is_nan():
    values = np.full((3, 2, 10), 0.5)
    values[1, 1] = np.nan
    values[2] = np.nan

    drawn = draws_of(values, 200)

    np.testing.assert_allclose(drawn[:, :2], 0.5)
    assert np.isnan(drawn[:, 2]).all()
    assert np.isnan(interval(drawn)[0]).tolist() == [False, False, True]


@pytest.mark.parametrize("folds", [(), (0, 1, 2) * 10])
def test_a_training_without_a_value_in_any_patient_is_left_out_of_the_draws(folds):
    # A third seed, or in a cross-validation a third configuration, that has a Dice and no HD95.
    values = np.random.default_rng(7).normal(5, 1, (3, 3, 30)) + np.arange(3)[None, :, None]
    values[:, 2] = np.nan
    if folds:
        values[2] = np.nan

    found = resample_values({1: values}, np.ones((3, 3), bool), 4000, folds)

    np.testing.assert_array_equal(found.estimates[1], point(values))
    expected, _ = training_variance(values, folds)
    assert found.seed_effect[1][:, :2].var() == pytest.approx(expected[0], rel=0.1)


def test_patients_without_the_class_do_not_count():
    values = np.array([[[np.nan, 0.4, 0.4, np.nan]]])

    drawn = draws_of(values, 300)

    assert set(np.round(drawn[~np.isnan(drawn)], 12)) == {0.4}
    assert np.isnan(drawn).any(), "some draws of four patients hold neither of the two"


def test_rank_first_shares_ties():
    samples = np.array(
        [[0.1, 0.2, 0.2], [0.3, 0.2, 0.1], [np.nan, np.nan, np.nan], [0.3, 0.1, np.nan]]
    )

    np.testing.assert_allclose(rank_first(samples), [2 / 3, 1 / 6, 1 / 6])


def test_nan_mean_says_nothing_where_nothing_is():
    assert nan_mean(np.array([[1.0, np.nan], [np.nan, np.nan]]), 1).tolist()[0] == 1.0
    assert np.isnan(nan_mean(np.array([[np.nan, np.nan]]), 1)[0])


def test_wilcoxon_counts_zeros_by_pratt():
    differences = np.array([0.0, 0.0, 0.0, 0.1, 0.2, -0.25, 0.3, 0.4, 0.5, 0.6])

    assert wilcoxon(differences) == stats.wilcoxon(differences, zero_method="pratt").pvalue
    assert wilcoxon(differences) != stats.wilcoxon(differences, zero_method="wilcox").pvalue
    assert wilcoxon(np.zeros(5)) == 1.0


def test_wilcoxon_of_six_gains_is_one_in_thirty_two():
    assert wilcoxon(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(2 / 2**6)


def test_wilcoxon_refuses_a_patient_without_a_difference():
    with pytest.raises(ValueError, match="difference for every patient"):
        wilcoxon(np.array([0.1, np.nan]))


def test_holm_of_holms_own_kind_of_example():
    # Sorted .01 .02 .03 .04: 4 x .01, 3 x .02, 2 x .03, 1 x .04, never falling.
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("dice", "iou", "holds"),
    [
        (0.5, 1 / 3, True),
        (1.0, 1.0, True),
        (0.0, 0.0, True),
        (0.4, 0.5, False),
        (0.6, 0.4, False),
        (0.55, 0.4, True),
    ],
)
def test_dice_lies_between_iou_and_its_concave_image(dice, iou, holds):
    assert feasible(dice, iou) is holds


def test_rounding_is_given_the_benefit_of_the_doubt():
    assert not feasible(0.0001, 0.0002)
    assert feasible(0.0001, 0.0002, half_unit=0.00005)
    assert not feasible(0.0001, 0.0004, half_unit=0.00005)


def test_duplicates_point_to_the_first_of_their_kind():
    assert duplicates({1: [1, 2], 2: [3], 3: [1, 2], 4: [1, 2], 5: [2, 1]}) == {3: 1, 4: 1}
