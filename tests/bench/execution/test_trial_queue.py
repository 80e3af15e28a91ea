"""The order of a run, told with results made by hand: fair, breadth first, and the same after any
restart.
"""

from dataclasses import replace

import pytest

from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import count_trials
from bench.grid.resolve import GridFacts, resolve
from bench.grids import DEMO, Tuning, product
from trials.data.sampling import ClassCounts
from trials.records.codec import from_json, record_hash, to_json
from trials.records.result import COMPLETE, FAILED, TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec

GRID = replace(
    DEMO,
    name="toy",
    cells=product(("unet3d", "segresnet"), ("combined", "focal"), ("none",)),
    tuning=Tuning(trials=3, epochs=1),
    seeds=(0, 1),
)
PREPARATION = GRID.recipes["3d"].preparation
FACTS = GridFacts(
    splits="sequential",
    digests={PREPARATION: "d" * 16},
    counts={
        (PREPARATION, "voxels"): ClassCounts(
            voxels=(1000, 50, 20, 5), slices=(9, 9, 9, 9), cases=(4, 4, 4, 4)
        )
    },
    weights={},
)


def outcome(spec, state=COMPLETE):
    """A result whose validation score is a fixed function of the setting: best at lr 0.01."""
    score = 1 / (1 + abs(spec.hyper["lr"] - 0.01)) if state == COMPLETE else None
    return TrialResult(trial=record_hash(spec), spec=spec, state=state, val_score=score)


def run(queue, fail=lambda spec: False):
    """Run an queue one trial after the other; returns the specs in order."""
    order = []
    while (due := queue.next(())) is not None:
        spec = due.spec
        assert due.trial == record_hash(spec)
        order.append(spec)
        queue.add(outcome(spec, FAILED if fail(spec) else COMPLETE))
    return order


def test_each_fold_is_tuned_and_trained_on_its_own_one_after_the_other():
    facts = [replace(FACTS, digests={PREPARATION: digest * 16}) for digest in "de"]
    order = run(TrialQueue(resolve(replace(GRID, folds=(0, 1)), *facts), {}))
    alone = run(TrialQueue(resolve(replace(GRID, folds=(1,)), facts[1]), {}))

    assert [spec.fold for spec in order] == [0] * 22 + [1] * 22
    # A fold's trials do not depend on which other folds there are, so runs of folds can be merged.
    assert order[22:] == alone
    assert {spec.data for spec in alone} == {"e" * 16}
    assert count_trials(resolve(replace(GRID, folds=(0, 1)), FACTS)) == {
        PRETRAIN: 4,
        TUNE: 24,
        FINAL: 16,
    }


def test_pretraining_comes_first_then_defaults_then_proposals_then_finals():
    order = run(TrialQueue(resolve(GRID, FACTS), {}))

    assert [spec.phase for spec in order] == [PRETRAIN] * 2 + [TUNE] * 12 + [FINAL] * 8
    assert [spec.number for spec in order if spec.phase == TUNE] == [0] * 4 + [1] * 4 + [2] * 4


def test_a_fine_tuned_cell_waits_for_its_pretraining_while_others_go_on():
    queue = TrialQueue(resolve(GRID, FACTS), {})
    pretraining = {due.trial for due in queue.due() if due.spec.phase == PRETRAIN}

    due = queue.next(pretraining)

    assert due.spec.cell.model == "unet3d"
    assert all(due.spec.cell.model == "unet3d" for due in queue.due() if due.spec.phase == TUNE)


def test_a_study_has_one_open_proposal_at_most():
    queue = TrialQueue(resolve(replace(GRID, cells=GRID.cells[:1]), FACTS), {})
    first = queue.next(())

    assert queue.next({first.trial}) is None
    assert not queue.finished()


def test_every_cell_has_the_same_budget_even_if_trials_fail():
    order = run(
        TrialQueue(resolve(GRID, FACTS), {}),
        fail=lambda spec: spec.phase == TUNE and spec.number == 1,
    )

    budgets = {
        cell: sum(spec.cell == cell and spec.phase == TUNE for spec in order) for cell in GRID.cells
    }
    assert set(budgets.values()) == {3}


def test_finals_take_the_best_setting_of_their_own_cell_under_every_seed():
    queue = TrialQueue(resolve(GRID, FACTS), {})
    order = run(queue)

    for cell in GRID.cells:
        tried = [spec for spec in order if spec.cell == cell and spec.phase == TUNE]
        finals = [spec for spec in order if spec.cell == cell and spec.phase == FINAL]
        best = min(tried, key=lambda spec: abs(spec.hyper["lr"] - 0.01))
        assert [spec.hyper for spec in finals] == [best.hyper] * 2
        assert [spec.seed for spec in finals] == [0, 1]
    assert queue.finished()


def test_a_cell_whose_study_failed_throughout_is_trained_at_its_default():
    queue = TrialQueue(resolve(GRID, FACTS), {})
    order = run(queue, fail=lambda spec: spec.phase == TUNE)

    assert {spec.number for spec in order if spec.phase == FINAL} == {0}


@pytest.mark.parametrize("stop", [0, 1, 5, 13, 20])
def test_an_agenda_started_again_goes_on_where_it_was(stop):
    straight = run(TrialQueue(resolve(GRID, FACTS), {}))
    results = {record_hash(spec): outcome(spec) for spec in straight[:stop]}

    rest = run(TrialQueue(resolve(GRID, FACTS), results))

    assert straight[:stop] + rest == straight


def test_a_cells_proposals_do_not_depend_on_the_other_cells():
    alone = run(TrialQueue(resolve(replace(GRID, cells=GRID.cells[:1]), FACTS), {}))
    together = run(TrialQueue(resolve(GRID, FACTS), {}))

    assert [spec for spec in together if spec.cell == GRID.cells[0]] == alone


def test_fine_tuned_trials_name_the_pretraining_of_their_own_seed():
    order = run(TrialQueue(resolve(GRID, FACTS), {}))
    pretrained = {spec.seed: record_hash(spec) for spec in order if spec.phase == PRETRAIN}

    finals = [spec for spec in order if spec.phase == FINAL and spec.cell.model == "segresnet"]

    assert [spec.weights for spec in finals] == [
        f"pretrain:{pretrained[spec.seed]}" for spec in finals
    ]
    assert {spec.weights for spec in order if spec.cell.model == "unet3d"} == {"random"}


def test_without_tuning_each_cell_is_trained_at_its_default():
    order = run(TrialQueue(resolve(replace(GRID, tuning=None), FACTS), {}))

    assert [spec.phase for spec in order] == [PRETRAIN] * 2 + [FINAL] * 8


def test_a_spec_read_back_from_json_keeps_its_name():
    for spec in run(TrialQueue(resolve(GRID, FACTS), {})):
        assert record_hash(from_json(TrialSpec, to_json(spec))) == record_hash(spec)
