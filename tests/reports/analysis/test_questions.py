"""Questions: what a run asks, what is tested, the interaction that is found, and how often equal
configurations are told apart.
"""

import dataclasses

import numpy as np
import pytest
from given_dice import counts_of

from bench.grids import DEMO, FULL
from reports.analysis.contrasts import compare, judge, pair_weights
from reports.analysis.patients import patient_dice, patient_parts, patient_shares
from reports.analysis.questions import answer_questions, read_questions
from reports.analysis.selection import judge_pairs
from reports.analysis.summary import MEAN, resample_ratio
from reports.load.counts import Counts
from reports.load.run_folder import Run
from trials.records.questions import Question, asked, check_questions, check_scores, comparisons
from trials.records.spec import Cell

CELLS = tuple(
    Cell(model=m, loss=loss, sampling="none")
    for m in ("unet3d", "unet2d")
    for loss in ("combined", "class_balanced")
)
CLASSES = ("background", "kidney", "tumor")


def run_of(cells=CELLS, **record) -> Run:
    """A run without a folder: names alone."""
    fields = dict.fromkeys(Run.__dataclass_fields__, ())
    return Run(**fields | {"record": record, "classes": CLASSES, "cells": cells, "seeds": (0, 1)})


def drawn(seed: int, means, seed_effect=0.01, num_cases=16, num_seeds=3) -> Counts:
    """Configurations of these mean Dice, of one class: patients, seeds and a rest of 0.05."""
    rng, num = np.random.default_rng(seed), len(means)
    trainings = rng.normal(0, seed_effect, (num, num_seeds, 1)) + rng.normal(
        0, 0.05, (num, num_seeds, num_cases)
    )
    dice = np.reshape(means, (-1, 1, 1)) + rng.normal(0, 0.1, num_cases) + trainings
    return counts_of(np.clip(dice, 0, 1)[..., None])


def answers_of(counts: Counts, cells=CELLS, questions=None):
    run = run_of(cells)
    found = asked(questions, cells)
    return answer_questions(run, found, counts, resample_ratio(counts, num_draws=500))


def test_a_factor_that_varies_is_asked_within_what_it_interacts_with():
    assert asked(None, CELLS) == (
        Question(factor="model", levels=("unet3d", "unet2d"), within=("loss",)),
        Question(factor="loss", levels=("combined", "class_balanced"), within=("model",)),
    )
    assert [len(comparisons(one, FULL.cells)) for one in asked(None, FULL.cells)] == [24, 24, 12]
    assert asked(None, CELLS[:1]) == ()
    assert asked(None, CELLS[:2])[0].within == ()
    # The demo's sparse cells share few settings: what cannot be compared is not asked.
    assert all(comparisons(one, DEMO.cells) for one in asked(None, DEMO.cells))


def test_a_comparison_pairs_the_settings_that_both_levels_have():
    pooled = Question(factor="loss", within=())
    holes = CELLS[:3]

    assert [one.pairs for one in comparisons(pooled, CELLS)] == [((0, 1), (2, 3))]
    assert [one.pairs for one in comparisons(pooled, holes)] == [((0, 1),)]
    assert [one.at for one in comparisons(Question(factor="loss"), CELLS)] == [
        (("model", "unet3d"),),
        (("model", "unet2d"),),
    ]
    one_missing = comparisons(Question(factor="loss"), CELLS, [True, True, False, True])
    assert [one.pairs for one in one_missing] == [((0, 1),)]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda: Question(factor="los"), "unknown Question.factor 'los'; did you mean 'loss'"),
        (lambda: Question(factor="loss", within="modle"), "Question.within 'modle'; did you mean"),
        (lambda: Question(factor="loss", within="loss"), "must name other factors than 'loss'"),
        (lambda: Question(factor="loss", levels=("focal",)), "two levels or more, each once"),
        (
            lambda: check_questions(
                "grid 'mine'",
                [Question(factor="loss", levels=("combined", "class_balancd"))],
                CELLS,
            ),
            r"grid 'mine': questions\[0\]: unknown loss 'class_balancd'; did you mean",
        ),
        (
            lambda: check_questions("grid", [Question(factor="loss")] * 2, CELLS),
            r"questions\[1\] asks the same as questions\[0\]",
        ),
        (
            lambda: check_questions("grid", [Question(factor="sampling")], CELLS),
            "no two cells differ in it alone",
        ),
        (
            lambda: check_scores("", [Question(factor="loss", score="tumour")], CLASSES),
            r"questions\[0\]: unknown score 'tumour'; did you mean 'tumor'",
        ),
        (
            lambda: read_questions({"questions": [{"factor": "lss"}]}, CELLS, CLASSES),
            r"run.json questions\[0\]",
        ),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(question, message):
    with pytest.raises(ValueError, match=message):
        question()


def test_a_planted_interaction_is_found_and_the_pooled_difference_is_none():
    counts = drawn(1, (0.5, 0.68, 0.7, 0.5))

    _, losses = answers_of(counts)
    (pooled,) = answers_of(counts, questions=(Question(factor="loss", within=()),))[0].found

    three, two = losses.found
    assert (three.higher, two.higher) == ("class_balanced", "combined")
    assert three.resolved
    assert two.resolved
    assert losses.reversal.resolved
    assert losses.reversal.gap == pytest.approx(0.38, abs=0.06)
    assert abs(pooled.gap) < 0.04
    assert not pooled.resolved


def test_without_an_interaction_none_is_claimed():
    found = [answers_of(drawn(seed, (0.5, 0.55, 0.6, 0.65)))[1] for seed in range(30)]

    assert sum(any(one.resolved for one in answer.interactions) for answer in found) <= 4
    assert sum(answer.reversal is not None for answer in found) <= 1


def test_the_correction_is_over_what_was_declared():
    counts = drawn(2, (0.5, 0.58, 0.6, 0.5))

    both = answers_of(counts)[1].found[0]
    alone = answers_of(counts, questions=(Question(factor="loss"),))[0].found[0]

    assert both.p == alone.p
    assert alone.adjusted <= 2 * alone.p
    assert alone.adjusted <= both.adjusted <= 4 * both.p
    # A configuration without results does not make the correction smaller.
    missing = dataclasses.replace(counts, available=counts.available & [[1], [1], [0], [0]])
    (answer,) = answers_of(missing, questions=(Question(factor="loss"),))
    assert [one.adjusted for one in answer.found] == [pytest.approx(2 * answer.found[0].p)]


def test_a_pair_has_one_verdict_and_a_declared_one_that_of_its_question():
    counts = drawn(3, (0.5, 0.58, 0.6, 0.5))
    resampled = resample_ratio(counts, num_draws=500)
    answers = answers_of(counts, questions=(Question(factor="loss"),))

    pairs = judge_pairs(counts, resampled, answers)

    assert [pair for pair, row in pairs.rows.items() if pairs.declared[row]] == [(0, 1), (2, 3)]
    for one, pair in zip(answers[0].found, ((0, 1), (2, 3)), strict=True):
        assert pairs.verdicts.adjusted[pairs.rows[pair]] == one.adjusted
        assert pairs.found.gap[pairs.rows[pair]] == pytest.approx(one.gap)


def test_a_patients_parts_and_shares_average_to_the_mean_of_the_classes():
    rng = np.random.default_rng(1)
    dice = rng.uniform(0.2, 1, (2, 3, 9, 2))
    dice[:, :, [0, 4, 5], 1] = np.nan
    counts = counts_of(dice)
    expected = resample_ratio(counts, num_draws=10).estimates[MEAN]

    for of in (patient_shares(counts), patient_parts(counts, MEAN)):
        assert of.mean(axis=(1, 2)) == pytest.approx(expected)
    # Six of nine patients hold the second class: half of 9 / 6 of its Dice, half of the first's.
    assert patient_parts(counts, MEAN)[1, 2, 3] == pytest.approx(
        (dice[1, 2, 3, 0] + dice[1, 2, 3, 1] * 9 / 6) / 2, abs=1e-4
    )
    assert patient_dice(counts, MEAN)[1, 2, 4] == pytest.approx(dice[1, 2, 4, 0], abs=1e-4)


def test_one_seed_resolves_nothing_however_small_its_p():
    dice = np.array([0.5, 0.8])[:, None, None] + np.linspace(0, 0.1, 40)[None, None]
    counts = counts_of(dice[..., None])
    resampled = resample_ratio(counts, num_draws=100)

    found = compare(pair_weights([(0, 1)], 2), counts, resampled, MEAN)
    (verdict,) = judge([found], resampled)

    assert verdict.adjusted[0] < 1e-6
    assert not verdict.resolved[0]


@pytest.mark.parametrize("seed_effect", [0.0, 0.03], ids=["equal seeds", "unequal seeds"])
def test_equal_configurations_are_rarely_told_apart(seed_effect):
    cells = tuple(Cell(model=m, loss=loss, sampling="none") for m in "abcd" for loss in "wxyz")
    claims = 0
    for seed in range(60):
        counts = drawn(seed, [0.7] * 16, seed_effect, num_cases=60)
        resampled = resample_ratio(counts, num_draws=200)
        answers = answer_questions(run_of(cells), asked(None, cells), counts, resampled)
        pairs = judge_pairs(counts, resampled)
        claims += any(one.resolved for answer in answers for one in answer.found)
        claims += bool(pairs.verdicts.resolved.any())

    # Two families of 5 % in 60 runs: more than 12 are a matter of one in a hundred.
    assert claims <= 12


def test_a_real_lead_is_told_apart_where_seeds_agree():
    counts = drawn(3, (0.6, 0.6, 0.75), 0.005, num_cases=60)
    resampled = resample_ratio(counts, num_draws=500)

    pairs = judge_pairs(counts, resampled)

    rows = [pairs.rows[pair] for pair in ((0, 1), (0, 2), (1, 2))]
    assert pairs.verdicts.resolved[rows].tolist() == [False, True, True]
