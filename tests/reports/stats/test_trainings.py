"""What trainings add to the error of a mean, by hand and against what was drawn."""

import numpy as np
import pytest

from reports.stats.intervals import seed_variance
from reports.stats.pairs import crossed_p
from reports.stats.trainings import (
    draw_trainings,
    fold_excess,
    fold_variance,
    training_effects,
    training_variance,
)

FOLDS = (0, 0, 1, 1)


def test_a_difference_that_changes_from_fold_to_fold_is_the_trainings():
    # One leads by 0.1 in the first fold, the other in the second; patients differ much.
    patients = np.array([0.2, 0.9, 0.5, 0.6])
    lead = np.array([0.05, 0.05, -0.05, -0.05])
    values = np.stack([patients + lead, patients - lead])[:, None]

    # The difference is 0.1 and -0.1, of variance 0.02, which two trainings share.
    assert fold_variance(values, FOLDS) == (pytest.approx(0.01), 1)
    variance, df = training_variance(values, FOLDS)
    assert variance.tolist() == [pytest.approx(0.01 / 2)] * 2
    assert df == 1


def test_an_equal_lead_in_all_folds_leaves_nothing_to_the_trainings():
    patients = np.array([0.2, 0.9, 0.5, 0.6])

    assert fold_variance(np.stack([patients, patients - 0.1])[:, None], FOLDS) == (0.0, 1)
    assert fold_variance(np.zeros((1, 1, 2)), (0, 1)) == (0.0, 0), "not more patients than folds"


def test_one_split_has_the_variance_between_its_seeds():
    values = np.random.default_rng(0).normal(0.7, 0.1, (3, 2, 9))
    values[2, 1] = np.nan

    variance, df = training_variance(values)

    assert (df, variance.tolist()) == (2, [seed_variance(values)[0] / n for n in (2, 2, 1)])


def test_the_variance_of_folds_of_unequal_size_is_the_one_that_was_drawn():
    rng, folds = np.random.default_rng(1), np.repeat([3, 5, 9], [10, 20, 30])
    found = []
    for _ in range(400):
        trainings = rng.normal(0, 0.1, (4, 1, 3))[:, :, np.searchsorted([3, 5, 9], folds)]
        found.append(
            fold_variance(
                rng.normal(0, 0.3, 60) + trainings + rng.normal(0, 0.2, (4, 1, 60)), tuple(folds)
            )[0]
        )

    assert np.mean(found) == pytest.approx(0.01, rel=0.1)


def test_drawn_effects_have_the_variance_of_the_trainings_and_none_for_an_absent_label():
    rng, folds = np.random.default_rng(2), tuple(np.repeat([0, 1, 2], 8))
    values = rng.normal(0, 0.02, (5, 1, 24)) + np.repeat(rng.normal(0, 0.1, (5, 1, 3)), 8, axis=2)
    picks = draw_trainings(np.ones((5, 1), bool), folds, 4000)
    variance, _ = training_variance(values, folds)

    effects = training_effects(values, picks, folds)

    assert effects.shape == (4000, 5)
    assert effects.var() == pytest.approx(variance[0], rel=0.05)
    # A class that only the patients of the first fold have says nothing of trainings.
    values[:, :, 8:] = np.nan
    assert not training_effects(values, picks, folds).any()


def test_five_folds_claim_a_difference_of_equal_configurations_in_one_run_of_twenty():
    rng, folds, num_runs = np.random.default_rng(3), tuple(np.repeat(range(5), 20)), 4000
    # The trainings' part of the error is three times that of the patients.
    trainings = np.repeat(rng.normal(0, np.sqrt(3 / 20), (num_runs, 2, 1, 5)), 20, axis=3)
    runs = rng.normal(0, 1, (num_runs, 2, 1, 100)) + trainings
    differences = runs[:, 0, 0] - runs[:, 1, 0]
    excess = 2 * np.array([fold_excess(values, folds)[0] for values in runs])

    p = crossed_p(differences, np.maximum(excess, 0), (99, 4), excess)

    assert np.mean(p < 0.05) == pytest.approx(0.045, abs=0.007), "two standard errors"
    # The trainings' part alone, cut off at 0, is too often too small.
    assert np.mean(crossed_p(differences, np.maximum(excess, 0), (99, 4)) < 0.05) > 0.06
