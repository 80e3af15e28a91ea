"""Our own tables under the audit: what refuses the page, and what the checklist says."""

import dataclasses

import pytest
from made_up import MadeUp, write_run

from reports.analysis.context import build_context
from reports.analysis.own_tables import audit_own_tables, own_tables
from reports.load.run_folder import read_run
from reports.sections.validity import validity
from reports.table import scores_table, trials_table
from trials.records.result import NATIVE


def board_of(tmp_path, quality):
    run = read_run(write_run(tmp_path, MadeUp(seeds=(0,), losses=("focal",), quality=quality)))
    return build_context(run, scores_table(run), trials_table(run), "none")


def better(cell, seed, case, label):
    return 0.9 if cell.model == "vnet" else 0.8


def audit_checks(context):
    (checklist, *_) = validity(context).blocks
    return {check.claim: (check.holds, check.detail) for check in checklist.checks}


def test_our_tables_are_as_printed_and_pass(tmp_path):
    context = board_of(tmp_path, better)

    tables = own_tables(context.run, context.test[NATIVE], context.summaries[NATIVE])

    assert list(tables) == ["unet3d / focal / none", "vnet / focal / none"]
    rows = tables["vnet / focal / none"]
    assert [row.class_name for row in rows] == [
        "background",
        "kidney",
        "tumor",
        "cyst",
        "mean of classes",
    ]
    assert [row.is_background for row in rows] == [True, False, False, False, False]
    assert {(row.dice.text, row.iou.text) for row in rows[1:]} == {("0.900", "0.818")}
    assert audit_own_tables(context.run, context.test[NATIVE], context.summaries[NATIVE]) == []
    checks = audit_checks(context)
    assert checks["No two configurations have the same printed scores"] == (
        True,
        "10 rows of 2 tables checked as printed",
    )
    assert (
        checks["No configuration has the score of a prediction that is all background"][0] is True
    )


def test_equal_tables_and_a_background_at_the_floor_are_named(tmp_path):
    # The background's floor in made-up volumes of 3000 or 4000 voxels, of which 1000 are
    # background: Dice 0.45 on average.
    def empty(cell, seed, case, label):
        return 0.45 if label == 0 else 0.0

    checks = audit_checks(board_of(tmp_path, empty))

    assert checks["No two configurations have the same printed scores"] == (
        False,
        "vnet / focal / none",
    )
    holds, detail = checks["No configuration has the score of a prediction that is all background"]
    assert (holds, detail) == (False, "unet3d / focal / none and vnet / focal / none")


def test_a_table_that_no_masks_can_give_is_not_printed(tmp_path):
    context = board_of(tmp_path, better)
    summaries = dict(context.summaries[NATIVE])
    summaries[0, 2] = dataclasses.replace(summaries[0, 2], dice=0.5, iou=0.6)

    with pytest.raises(ValueError, match=r"unet3d / focal / none, tumor: .* break IoU <= Dice"):
        audit_own_tables(context.run, context.test[NATIVE], summaries)
