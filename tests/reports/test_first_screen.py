"""The first screen: answers in sentences, what can be resolved, what to know first, and one value
for every number.
"""

import dataclasses
import re

import numpy as np
import pytest
from made_up import MadeUp, all_results, plausible_quality, write_run

from reports.analysis.context import Context, build_context
from reports.answer.know_first import know_first
from reports.answer.resolution import (
    more_patients,
    planned_lines,
    resolution,
    resolution_sentences,
)
from reports.answer.section import answer
from reports.elements import Answers, Block, Section, SideBySide, Text
from reports.estimands import all_stated, estimand_check
from reports.load.run_folder import read_run
from reports.sections.effects import effects
from reports.sections.grid import grid
from reports.sections.hpo import hpo
from reports.sections.leaderboard import leaderboard
from reports.sections.pairs import pairs
from reports.sections.seeds import seeds
from reports.sections.stability import ranking_stability
from reports.table import scores_table, trials_table
from trials.records.questions import asked

STATING = (answer, leaderboard, grid, effects, pairs, ranking_stability, seeds)


def turned(cell, seed, case, label):
    """Like a real run, but focal helps the 3D U-Net and harms the V-Net."""
    shift = 0.15 if (cell.model == "unet3d") == (cell.loss == "focal") else -0.1
    return float(np.clip(plausible_quality(cell, seed, case, label) + shift, 0, 0.99))


def context_of(folder, made: MadeUp, results=None) -> Context:
    run = read_run(write_run(folder, made, results))
    return build_context(run, scores_table(run), trials_table(run), "none")


def laid_out(section: Section) -> list[Block]:
    """The blocks of a section, those that stand beside each other one by one."""
    return [
        inner
        for block in section.blocks
        for inner in (block.blocks if isinstance(block, SideBySide) else (block,))
    ]


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    made = MadeUp(seeds=(0, 1, 2), num_test=16, quality=turned)
    return context_of(tmp_path_factory.mktemp("run"), made)


@pytest.fixture(scope="module")
def sections(context) -> list[Section]:
    return [section for make in STATING if (section := make(context)) is not None]


def test_an_answer_that_depends_on_the_model_is_said_first(context, sections):
    first = sections[0]
    (block,) = (block for block in laid_out(first) if isinstance(block, Answers))

    assert first.title == "The better model depends on the loss"
    assert first.finding.startswith("The answer depends on the loss: unet3d scores 0.1")
    assert "is resolved (an interaction, corrected p below 0.001)" in first.finding
    _, (question, lead, lines) = block.items
    assert question == "Which loss scores higher, combined or focal? One answer for each model."
    assert lead.startswith("The answer depends on the model: ")
    assert [text.split(" scores ")[0] for text, _, _ in lines] == [
        "With the model unet3d, focal",
        "With the model vnet, combined",
    ]
    assert {verdict for _, verdict, _ in lines} == {"resolved"}


def test_every_number_has_one_value_and_a_second_calculation_agrees(context, sections):
    found = estimand_check(context, sections)

    assert found.holds
    numbers, places = map(int, re.findall(r"\d+", found.detail))
    # Four means of the classes and of three classes each, six differences of pairs, four shares of
    # first places, in many places each.
    assert numbers >= 26
    assert places > 3 * numbers
    for what, label, text in (("difference", -1, "difference of"), ("mean", 2, "Dice in tumor of")):
        changed = next(
            one for one in all_stated(sections) if (one.what, one.label) == (what, label)
        )
        other = dataclasses.replace(changed, text="+0.999")
        wrong = dataclasses.replace(sections[0], states=(*sections[0].states, other))
        failed = estimand_check(context, [wrong, *sections[1:]])
        assert failed.holds is False
        assert text in failed.detail


def test_the_sentences_print_the_numbers_that_they_state(sections):
    for section in sections:
        words = " ".join(
            [section.finding]
            + [text for b in laid_out(section) if isinstance(b, Text) for text in b.paragraphs]
            + [
                line
                for b in laid_out(section)
                if isinstance(b, Answers)
                for _, lead, lines in b.items
                for line in (lead, *(text for text, _, _ in lines))
            ]
        )
        for stated in section.states:
            digits = stated.text.lstrip("+\N{MINUS SIGN}")
            assert digits in words, (section.id, stated)


def test_few_patients_are_said_first_and_no_number_of_seeds_is_advised(tmp_path):
    context = context_of(tmp_path, MadeUp(models=("unet3d",), num_test=4, quality=turned))
    found = resolution(context)
    words = " ".join(resolution_sentences(found))

    assert "With 4 test patients p cannot be smaller than 0.125" in words
    assert "nothing can be resolved with fewer than 6 test patients" in words
    assert "More seeds do not help" in words
    # Two train, four validate, four test; one comparison needs six.
    assert "With folds each of the 10 patients is tested once, and p can be small enough" in words
    assert not re.search(r"\d+ seeds of each", words)
    assert know_first(context, found)[0].title == "Too few patients"
    numbers = answer(context).blocks[1]
    assert numbers.items[-1][0] == "none"


def test_folds_are_advised_before_and_after_a_run_in_the_same_words_and_never_twice(tmp_path):
    cells = MadeUp(models=("unet3d",)).cells
    questions = asked(None, cells)
    few = planned_lines(questions, cells, 2, patients=4, everyone=10)
    in_folds = planned_lines(questions, cells, 2, patients=4, everyone=4, num_folds=2)
    helps = more_patients(1, 10, 1)

    assert helps.endswith(
        "or folds. With folds each of the 10 patients is tested once, and p can be small enough"
    )
    assert helps in few[2]
    assert "each of the 5 patients is tested once, and p still cannot" in more_patients(1, 5, 1)
    assert "or folds, which test each patient once" in more_patients(1, None, 1)
    assert "more test patients are needed, by a larger data set. Fewer" in in_folds[2]
    crossed = context_of(tmp_path, MadeUp(models=("unet3d",), folds=(0, 1), num_test=2))
    words = " ".join(resolution_sentences(resolution(crossed)))
    assert "more test patients are needed, by a larger data set. More seeds do not help" in words
    assert "folds" not in words


def test_what_a_run_resolves_is_near_what_it_finds(context):
    found = resolution(context)

    # Four comparisons, sixteen patients, three seeds; every difference of 0.2 and more is resolved.
    assert (found.design.patients, found.design.seeds, found.design.comparisons) == (16, 3, 4)
    assert 0.02 < found.gap < 0.25
    assert found.largest is None or found.largest.gap < found.gap


def test_inherited_settings_rising_curves_and_small_structures_are_known_first(tmp_path):
    made = MadeUp(
        seeds=(0, 1),
        tunings=1,
        epochs=20,
        quality=plausible_quality,
        record={"inherited": ["recipe of unet3d: epochs=16"]},
    )
    results = []
    for result in all_results(made):
        curve = tuple(
            dataclasses.replace(epoch, val_dice={1: 0.02 * (epoch.epoch + 1)})
            for epoch in result.curve
        )
        results.append(dataclasses.replace(result, curve=curve))

    context = context_of(tmp_path, made, results)

    found = {one.title: one for one in know_first(context, resolution(context))}
    assert found["Inherited settings"].names == ("recipe of unet3d: epochs=16",)
    assert found["Still improving"].text.startswith("4 of 4 configurations were still improving")
    # 1,000 voxels of 60 x 512 x 512 and more are two in a cube of 32^3.
    assert "cyst 2" in found["Small structures"].text
    assert "over the inherited setting" in hpo(context).finding
