"""Pairs, ranks, families and power against hand answers and against figures frozen from statsmodels
and scikit-posthocs.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from reports.stats.effects import complete_blocks, contrast, level_weights
from reports.stats.pairs import crossed_p, hodges_lehmann, superiority
from reports.stats.power import ERRORS, Gap, cases_needed, gap_of, seeds_needed, variance_split
from reports.stats.ranks import interquartile_mean, kendall, stability
from reports.stats.tests import (
    critical_difference,
    friedman,
    holm,
    mean_ranks,
    sign_flip,
    signed_rank,
)
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


def test_the_chance_to_win_on_a_new_patient_counts_ties_half_and_has_wilsons_interval():
    differences = np.array([[1.0] * 12 + [0.0] * 2 + [-1.0] * 6])

    share, low, high = superiority(differences)

    # statsmodels 0.15.0, proportion_confint(13, 20, method="wilson").
    assert (share[0], low[0], high[0]) == pytest.approx((0.65, 0.432854276685, 0.818808175899))


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


def test_a_known_gap_needs_as_many_patients_as_statsmodels_says():
    # statsmodels 0.15.0, NormalIndPower().solve_power(effect_size=0.3, alpha=0.05, power=0.8,
    # ratio=0): 87.2.
    assert cases_needed(Gap(gap=0.03, mix=0.1**2, rest=0.0, seed_effect=0.0), 1) == 88


def test_luck_that_no_number_of_patients_removes_asks_for_seeds():
    gap = Gap(gap=0.03, mix=0.05**2, rest=0.0, seed_effect=0.02**2)

    assert cases_needed(gap, 3) == math.inf
    # Solve (0.03 / 2.80)^2 = 0.05^2 / 81 + 0.02^2 / S.
    assert seeds_needed(gap, 81) == math.ceil(0.02**2 / ((0.03 / ERRORS) ** 2 - 0.05**2 / 81))
    assert (
        ERRORS * gap.error(81, seeds_needed(gap, 81))
        <= 0.03
        < ERRORS * gap.error(81, seeds_needed(gap, 81) - 1)
    )


def test_a_gap_is_split_into_what_patients_and_what_trainings_cause():
    rng = np.random.default_rng(6)
    differences = 0.02 + rng.normal(0, 0.1, 4000) + rng.normal(0, 0.05, (3, 4000))

    gap = gap_of(differences, seed_effect=0.0)

    assert gap.gap == pytest.approx(0.02, abs=0.005)
    assert gap.mix == pytest.approx(0.01, rel=0.06)
    assert gap.rest == pytest.approx(0.0025, rel=0.06)


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

    np.testing.assert_allclose(found.share, [[0.75, 0.25, 0], [0.5, 0.25, 0.25], [0, 0.25, 0.75]])
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

    assert crossed_p(differences, np.zeros(2), 0) == pytest.approx(theirs)
    assert (crossed_p(differences, np.full(2, 0.01), 4) > theirs).all()


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
