"""What the report makes of pruned trials: counted, accounted for, and no failure."""

from dataclasses import replace

import pytest
from made_up import MadeUp, all_results, write_run

from reports.analysis.context import build_context
from reports.load.run_folder import read_run
from reports.sections.curves import curves
from reports.sections.trials import trials
from reports.sections.validity import validity
from reports.table import write_tables
from trials.records.result import FAILED, PRUNED
from trials.records.spec import TUNE

MADE = MadeUp(models=("unet3d",), losses=("combined", "focal"), seeds=(0,), tunings=3)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A run of two cells; in the first the second setting was pruned at its first epoch, high as it
    stood, the third failed.
    """
    results = all_results(MADE)
    fates = {
        1: cut(results[1]),
        2: replace(results[2], state=FAILED, reason="oom", val_score=None, scores=(), curve=()),
    }
    folder = write_run(
        tmp_path_factory.mktemp("budgets"),
        MADE,
        [fates.get(i, one) for i, one in enumerate(results)],
    )
    run = read_run(folder)
    return build_context(run, *write_tables(run), "none")


def cut(result):
    return replace(result, state=PRUNED, scores=(), curve=result.curve[:1], val_score=0.99)


def test_the_budget_of_each_cell_is_a_row(context):
    table = next(block for block in trials(context).blocks if block.id == "trials-budgets")
    names = [column.name for column in table.columns]

    rows = [dict(zip(names, [entry.text for entry in row], strict=True)) for row in table.rows]

    epochs = MADE.epochs
    assert [row["planned"] for row in rows] == [row["started"] for row in rows] == ["3", "3"]
    assert [(row["complete"], row["pruned"], row["failed"]) for row in rows] == [
        ("1", "1", "1"),
        ("3", "0", "0"),
    ]
    assert [row["epochs trained"] for row in rows] == [str(epochs + 1), str(3 * epochs)]


def test_a_pruned_trial_is_accounted_for_and_is_no_failure(context):
    checks = {check.claim: check for check in validity(context).blocks[0].checks}
    failed = next(block for block in trials(context).blocks if block.id == "trials-failed")

    assert checks["Every planned tuning trial is accounted for"].holds
    assert checks["Every planned tuning trial is accounted for"].detail == (
        "6 planned: 4 complete, 1 failed, 1 pruned and 0 pending"
    )
    assert checks["Every configuration had the same tuning budget"].holds
    assert len(failed.rows) == 1
    assert all("pruned" not in caveat.text for caveat in context.caveats)


def test_a_pruned_trial_is_nowhere_the_best_of_its_cell(tmp_path):
    tuned = [one for one in all_results(MADE) if one.spec.phase == TUNE]
    run = read_run(write_run(tmp_path, MADE, [cut(tuned[0]), *tuned[1:]]))

    section = curves(build_context(run, *write_tables(run), "none"))

    epochs = [row[2].text for figure in section.blocks for row in figure.table.rows]
    assert epochs == [str(MADE.epochs)] * 2
