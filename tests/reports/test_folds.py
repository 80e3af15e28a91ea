"""A cross-validation in the report: each patient once, out of fold; holes named, never compared."""

import dataclasses

import pytest
from made_up import MadeUp, all_results, write_run
from page_tables import Tables

from reports.analysis.caveats import page_one_caveats
from reports.analysis.checks import refuse_unsound
from reports.analysis.context import build_context
from reports.build import build_report
from reports.load.run_folder import read_run
from reports.load.unfinished import missing_finals
from reports.sections.folds import select_by_fold
from reports.sections.validity import disjoint_patients, once_tested
from reports.table import scores_table, trials_table
from trials.records.result import NATIVE


def rising(cell, seed, case, label):
    """0.50, 0.51, ... by the number of the patient; focal is 0.2 better."""
    return 0.5 + 0.01 * int(case.removeprefix("case_")) + 0.2 * (cell.loss == "focal")


MADE = MadeUp(models=("unet3d",), folds=(0, 1, 2), num_test=4, quality=rising, tunings=1)
FOCAL = "unet3d / focal / none"


def context_of(out, results):
    run = read_run(write_run(out, MADE, results))
    return build_context(run, scores_table(run), trials_table(run), "none")


def is_trial(result, loss, seed, fold):
    spec = result.spec
    return (spec.phase, spec.cell.loss, spec.seed, spec.fold) == ("final", loss, seed, fold)


def test_each_patient_counts_once_as_its_own_fold_predicts_it(tmp_path):
    context = context_of(tmp_path, all_results(MADE))

    kidney = [context.summaries[NATIVE][i, 1] for i in (0, 1)]
    assert [(one.n, one.seeds) for one in kidney] == [(12, 2), (12, 2)]
    assert [one.dice for one in kidney] == [pytest.approx(0.555), pytest.approx(0.755)]
    assert context.selection.selected == 1
    assert context.selection.winner
    assert context.test[NATIVE].patient_folds == (0, 1, 2) * 4
    own = select_by_fold(context, [0, 1])
    assert own.by_fold == {0: 1, 1: 1, 2: 1}
    # Kidney and tumor of all twelve, cysts of every second.
    assert own.dice == pytest.approx((0.755 + 0.755 + 0.75) / 3)


def test_the_page_shows_the_folds_and_checks_each(tmp_path):
    out = write_run(tmp_path, MADE)

    page = build_report(out).read_text()

    tables = Tables(page).tables
    scores = [row[:4] for row in tables["folds-scores"]]
    assert [text for text, _ in scores[1]] == [FOCAL, "0.740", "0.760", "0.760"]
    assert [row[1][0] for row in tables["folds-selection"][1:]] == [FOCAL] * 3
    assert [row[1][0] for row in tables["gain-table"]] == ["fold", *"012012"]
    assert "in 0 of 6 studies" in page
    assert "Out of fold, on 12 test patients" in page
    assert "2 configurations, 2 seeds, 3 folds" in page
    assert "Unfinished" not in page
    run = read_run(out)
    assert disjoint_patients(run).holds is True
    assert "fold 2: 4 training patients, 4 validation patients and 4 test patients" in (
        disjoint_patients(run).detail
    )
    (check,) = once_tested(run)
    assert (check.holds, check.detail) == (True, "the 3 folds test 12 of 12 patients")


def test_a_configuration_with_a_hole_is_named_and_not_compared_as_if_whole(tmp_path):
    kept = [result for result in all_results(MADE) if not is_trial(result, "focal", 1, 2)]
    context = context_of(tmp_path, kept)

    assert missing_finals(context.run) == [f"{FOCAL}, seed 1, fold 2"]
    assert context.summaries[NATIVE][1, 1].seeds == 1
    assert context.summaries[NATIVE][1, 1].n == 12
    # Only those with the most seeds are selected among.
    assert context.selection.selected == 0


def test_before_any_configuration_has_all_folds_the_page_shows_those_that_most_have(tmp_path):
    first = [result for result in all_results(MADE) if result.spec.fold == 0]
    begun = [result for result in all_results(MADE) if is_trial(result, "combined", 0, 1)]
    context = context_of(tmp_path, first + begun)

    assert context.run.pooled_folds == (0,)
    assert context.summaries[NATIVE][0, 1].n == 4
    caveats = {one.title: one.text for one in page_one_caveats(context.run, context.scores)}
    assert (
        "all 3 folds yet: this page shows the patients that fold 0 tests"
        in (caveats["Part of the folds"])
    )
    assert build_report(tmp_path).exists()


def test_a_patient_that_two_folds_test_is_refused(tmp_path):
    made = dataclasses.replace(MADE, tunings=0, seeds=(0,))
    results = all_results(made)
    of_first = {one.spec.cell: one.scores for one in results if one.spec.fold == 0}
    doubled = [
        dataclasses.replace(one, scores=of_first[one.spec.cell]) if one.spec.fold == 1 else one
        for one in results
    ]
    run = read_run(write_run(tmp_path, made, doubled))

    with pytest.raises(ValueError, match="case_00000 was tested in folds 0 and 1"):
        refuse_unsound(run, scores_table(run))
