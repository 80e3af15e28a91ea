"""Pairs, ranks, corrections and power against hand answers and against figures frozen from
statsmodels and scikit-posthocs.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from reports.stats.effects import complete_blocks, contrast, level_weights
from reports.stats.intervals import critical
from reports.stats.pairs import crossed_p, hodges_lehmann
from reports.stats.power import (
    Design,
    Spread,
    fewest_patients,
    patients_needed,
    seeds_needed,
    signed_rank_gap,
    smallest_gap,
    smallest_p,
    spread_of,
    variance_split,
)
from reports.stats.ranks import interquartile_mean, kendall, stability
from reports.stats.tests import (
    critical_difference,
    friedman,
    holm,
    mean_ranks,
    sign_flip,
    signed_rank,
)
from reports.stats.trainings import seed_parts
from trials.records.spec import Cell

# Twelve patients under four levels; made up.
SCORES = np.array(
    [
        [0.84, 0.94, 0.93, 0.71],
        [0.99, 1.0, 1.0, 0.85],
        [0.62, 0.51, 0.77, 0.58],
        [0.77, 0.92, 0.93, 0.85],
        [0.52, 0.64, 0.8, 0.65],
        [0.53, 0.68, 0.8, 0.56],
        [0.53, 0.41, 0.57, 0.31],
        [0.93, 0.89, 0.94, 0.68],
        [0.89, 0.89, 0.96, 0.8],
        [0.56, 0.55, 0.61, 0.43],
        [0.9, 0.78, 0.9, 0.74],
        [0.54, 0.61, 0.57, 0.36],
    ]
)
# scikit_posthocs 0.17.1, posthoc_nemenyi_friedman(SCORES), above the diagonal.
NEMENYI = {
    (0, 1): 0.921602765025,
    (0, 2): 0.022956481313,
    (0, 3): 0.389401087403,
    (1, 2): 0.119495037286,
    (1, 3): 0.119495037286,
    (2, 3): 0.000056405612,
}
# Three configurations, two seeds, six patients; made up.
BLOCK = np.array(
    [
        [[0.55, 0.497, 0.492, 0.596, 0.642, 0.55], [0.569, 0.486, 0.489, 0.666, 0.624, 0.589]],
        [[0.563, 0.499, 0.423, 0.535, 0.717, 0.595], [0.555, 0.471, 0.387, 0.545, 0.731, 0.587]],
        [[0.485, 0.523, 0.589, 0.646, 0.713, 0.644], [0.503, 0.501, 0.586, 0.629, 0.712, 0.658]],
    ]
)
# statsmodels 0.15.0, anova_lm(ols("y ~ C(c)*C(n) + C(c):C(s)")): mean squares of c, n, c:n, c:s and
# the residual.
MEAN_SQUARES = (0.007645083333, 0.034574916667, 0.00533765, 0.000346472222, 0.000298805556)


def test_holm_agrees_with_statsmodels():
    # statsmodels 0.15.0, multipletests(..., method="holm").
    assert holm([0.001, 0.02, 0.012, 0.04, 0.3, 0.008]) == pytest.approx(
        [0.006, 0.06, 0.048, 0.08, 0.3, 0.04]
    )


def test_pairwise_wilcoxon_agrees_with_scikit_posthocs():
    first = [0.62, 0.81, 0.71, 0.76, 0.48, 0.71, 0.89, 0.92, 0.92, 0.52]
    second = [0.95, 0.9, 0.79, 0.7, 0.67, 0.93, 0.47, 0.85, 0.95, 0.48]
    third = [0.83, 0.82, 0.73, 0.78, 0.64, 0.72, 0.8, 1.0, 0.85, 0.8]
    fourth = [0.71, 0.71, 0.85, 0.68, 0.94, 0.62, 0.67, 0.44, 0.87, 0.9]

    p = signed_rank(
        np.array(
            [np.subtract(first, second), np.subtract(third, fourth), np.subtract(second, fourth)]
        )
    )

    # scikit_posthocs 0.17.1, posthoc_wilcoxon(zero_method="pratt").
    assert p == pytest.approx([0.431640625, 0.4453125, 0.76953125])


def test_the_signed_rank_test_counts_out_every_flip_with_ties_and_zeros():
    differences = np.array([0.0, 0.1, 0.1, -0.2, 0.3, 0.0, 0.4])
    ranks = stats.rankdata(np.abs(differences)) * (differences != 0)
    sums = [np.dot(ranks, flips) for flips in itertools.product((0, 1), repeat=7)]
    ours = ranks[differences > 0].sum()

    exact = 2 * min(np.mean(np.array(sums) >= ours), np.mean(np.array(sums) <= ours))

    assert signed_rank(differences[None])[0] == pytest.approx(exact)


def test_with_many_patients_the_signed_rank_test_is_scipys_normal_one():
    differences = np.round(np.random.default_rng(5).normal(0.02, 0.1, (3, 81)), 2)

    theirs = [
        stats.wilcoxon(row, zero_method="pratt", method="asymptotic").pvalue for row in differences
    ]

    assert signed_rank(differences) == pytest.approx(theirs)


def test_the_sign_flip_check_agrees_with_counting_out_all_flips():
    differences = np.array([0.1, 0.3, -0.05, 0.2, 0.15, 0.02, -0.01, 0.12])
    sums = np.array([np.dot(differences, flips) for flips in itertools.product((-1, 1), repeat=8)])

    exact = np.mean(np.abs(sums) >= differences.sum() - 1e-12)

    assert sign_flip(differences[None])[0] == pytest.approx(exact, abs=0.01)


def test_hodges_and_lehmanns_estimate_of_the_depression_scores():
    # Hollander, Wolfe and Chicken 2014, examples 3.1 to 3.4: nine patients before and after a
    # tranquiliser.
    before = np.array([1.83, 0.5, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.3])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

    estimate, low, high = hodges_lehmann((before - after)[None])

    assert (estimate[0], low[0], high[0]) == pytest.approx((0.46, 0.01, 0.786))
    assert signed_rank((before - after)[None])[0] == pytest.approx(0.0390625)


def test_five_patients_give_hodges_and_lehmann_no_interval_at_95_percent():
    estimate, low, _ = hodges_lehmann(np.array([[1.0, 2, 3, 4, 5]]))

    assert estimate[0] == 3
    assert np.isnan(low[0])


def test_critical_differences_agree_with_nemenyis_p_values():
    ranks = mean_ranks(SCORES)
    limit = critical_difference(4, 12)

    for (i, j), p in NEMENYI.items():
        assert (abs(ranks[i] - ranks[j]) > limit) == (p < 0.05)
    # statsmodels 0.15.0, qsturng(0.95, 4, inf) / sqrt(2).
    assert limit == pytest.approx(2.56901560948 * math.sqrt(4 * 5 / (6 * 12)), rel=1e-5)
    assert friedman(SCORES) == pytest.approx(0.0001204725704543531)


def test_friedman_needs_three_levels():
    assert math.isnan(friedman(SCORES[:, :2]))
    assert friedman(np.ones((5, 3))) == 1.0


def test_the_variance_split_is_built_from_the_mean_squares_of_statsmodels():
    cell, case, mix, seed, rest = MEAN_SQUARES

    split = variance_split(BLOCK)

    assert split.rest == pytest.approx(rest)
    assert split.seed == pytest.approx((seed - rest) / 6)
    assert split.mix == pytest.approx((mix - rest) / 2)
    assert split.case == pytest.approx((case - mix) / (2 * 3))
    assert split.configuration == pytest.approx(max(0, cell - mix - seed + rest) / (2 * 6))


def test_with_one_seed_the_split_knows_no_seed():
    split = variance_split(BLOCK[:, :1])

    assert math.isnan(split.seed)
    assert math.isnan(split.rest)
    assert split.mix > 0
    assert variance_split(BLOCK[:1]) is None


def test_six_patients_are_the_fewest_that_resolve_one_comparison():
    assert smallest_p(6) == 2 / 2**6 == signed_rank(np.arange(1.0, 7)[None])[0]
    assert [fewest_patients(num) for num in (1, 2, 4, 24, 60)] == [6, 7, 8, 10, 12]


def test_a_known_gap_needs_as_many_patients_as_statsmodels_says():
    # statsmodels 0.15.0, TTestPower().solve_power(effect_size=0.3, alpha=0.05, power=0.8): 89.1.
    # The signed-rank test needs pi / 3 times as many of normal differences.
    spread, design = (
        Spread(mix=0.01, rest=0.0, seed_effect=0.0),
        Design(patients=9, seeds=3, configurations=2),
    )

    assert patients_needed(0.03, spread, design) == pytest.approx(89.1 * math.pi / 3, abs=3)


def test_the_smallest_gap_of_few_patients_is_that_of_equal_signs():
    # Six patients: the test finds a difference where all six agree, which has a chance of 80 %
    # where each agrees with a chance of 0.8^(1/6).
    found = signed_rank_gap(6, 0.025)

    assert found == pytest.approx(stats.norm.ppf(0.8 ** (1 / 6)), abs=0.05)
    assert signed_rank_gap(5, 0.025) == math.inf
    assert signed_rank_gap(30, 0.025) == pytest.approx(signed_rank_gap(31, 0.025), rel=0.08)


def test_advice_names_no_number_that_cannot_help():
    spread = Spread(mix=0.05**2, rest=0.0, seed_effect=2 * 0.02**2)
    design = Design(patients=81, seeds=3, configurations=4)

    # The variance between seeds alone, over three seeds, hides a difference of 0.04.
    assert patients_needed(0.04, spread, design) is None
    assert seeds_needed(0.04, spread, design) == 6
    # With five patients no p is below 5 %, whatever the number of seeds.
    few = Design(patients=5, seeds=3, configurations=4)
    assert smallest_gap(spread, few) == math.inf
    assert seeds_needed(0.5, spread, few) is None
    assert patients_needed(0.5, spread, few) == 6
    assert smallest_gap(spread, Design(patients=81, seeds=1, configurations=4)) == math.inf


def test_a_gap_is_split_into_what_patients_and_what_trainings_cause():
    rng = np.random.default_rng(6)
    differences = 0.02 + rng.normal(0, 0.1, 4000) + rng.normal(0, 0.05, (3, 4000))

    spread = spread_of(differences, seed_effect=0.0)

    assert spread.mix == pytest.approx(0.01, rel=0.06)
    assert spread.rest == pytest.approx(0.0025, rel=0.06)


def test_kendalls_tau_is_scipys():
    rng = np.random.default_rng(7)
    estimates, draws = rng.normal(size=6), np.round(rng.normal(size=(20, 6)), 1)

    theirs = [stats.kendalltau(estimates, row).statistic for row in draws]

    assert kendall(estimates, draws) == pytest.approx(theirs, abs=1e-6)


def test_ranks_in_the_resamples_are_counted():
    draws = np.array(
        [[0.3, 0.2, 0.1], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1], [0.3, 0.3, 0.1], [np.nan] * 3]
    )

    found = stability(np.array([0.3, 0.2, 0.1]), draws)

    # The tie of the last draw counts half for each of its two ranks.
    share = [[0.625, 0.375, 0], [0.375, 0.375, 0.25], [0, 0.25, 0.75]]
    np.testing.assert_allclose(found.share, share)
    assert found.low.tolist() == [1, 1, 2]
    assert found.high.tolist() == [2, 3, 3]
    assert stability(np.array([0.3]), draws[:, :1]) is None


def test_the_interquartile_mean_is_that_of_the_middle_half():
    assert interquartile_mean(np.array([0.0, 4, 5, 6, 7, 8, 9, 100])) == 6.5
    # Six cases: a quarter is one and a half, so that the second and fifth count half.
    assert interquartile_mean(np.array([0.0, 1, 2, 4, 5, 100])) == pytest.approx(
        (0.5 * 1 + 2 + 4 + 0.5 * 5) / 3
    )
    assert interquartile_mean(np.array([0.4])) == 0.4


def test_the_crossed_test_of_one_seeds_worth_of_patients_is_students():
    differences = np.random.default_rng(8).normal(0.02, 0.1, (2, 30))

    theirs = stats.ttest_1samp(differences, 0, axis=1).pvalue

    assert crossed_p(differences, np.zeros(2), (29, 0)) == pytest.approx(theirs, rel=1e-4)
    assert (crossed_p(differences, np.full(2, 0.01), (29, 4)) > theirs).all()


def test_two_equal_configurations_differ_in_one_run_of_twenty_whatever_part_seeds_have():
    rng, num_runs, n = np.random.default_rng(5), 4000, 20
    for of_seeds in (0.0, 0.1, 1.0):
        seeds = rng.normal(0, of_seeds, (num_runs, 2, 3, 1))
        runs = rng.normal(0, 1, (num_runs, 2, 3, n)) + seeds
        parts = np.array([[part.sum() for part in seed_parts(values)] for values in runs])
        differences = (runs[:, 0] - runs[:, 1]).mean(1)

        p = crossed_p(differences, parts[:, 0], (n - 1, 4), of_rest=parts[:, 1])

        assert np.mean(p < 0.05) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / num_runs), of_seeds
    # Large effects of seeds: Student's test of three means against three.
    theirs = stats.ttest_ind(*runs.mean(3).transpose(1, 2, 0)).pvalue
    assert np.mean(p < 0.05) == pytest.approx(np.mean(theirs < 0.05), abs=0.01)


def test_a_critical_value_lies_between_students_of_patients_and_of_seeds():
    equal = critical(np.array([1.0]), np.array([1.0]), (80, 4), 0.025)[0]

    # Banerjee 1960: the root of the mean of 1.990^2 and 2.776^2.
    assert equal == pytest.approx(math.sqrt((1.9901**2 + 2.7764**2) / 2), rel=1e-4)
    assert critical(np.ones(1), np.zeros(1), (80, 4), 0.025)[0] == pytest.approx(1.9901, rel=1e-4)
    assert critical(np.zeros(1), np.ones(1), (80, 4), 0.025)[0] == pytest.approx(2.7764, rel=1e-4)


def test_an_effect_is_taken_over_complete_blocks_alone():
    cells = [
        Cell(model=m, loss=lo, sampling="none")
        for m, lo in (("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("a", "z"))
    ]
    values = np.array([0.5, 0.7, 0.6, 0.9, 0.1])

    blocks = complete_blocks(cells, "model", ["a", "b"], np.ones(5, bool))

    assert blocks == [[0, 1], [2, 3]]
    np.testing.assert_allclose(contrast(level_weights(blocks, 5), values), [0.55, 0.8])
    assert complete_blocks(cells, "model", ["a", "b"], np.array([1, 1, 0, 1, 1], bool)) == [[0, 1]]
