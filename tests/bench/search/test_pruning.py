"""Successive halving told with curves made by hand: who goes on, what Optuna is told, and that a
restart changes nothing.
"""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState
from test_trial_queue import FACTS, GRID

from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import resolve
from bench.grids import Tuning
from bench.search.propose import Tried, distributions_of, frozen_trial, propose, rungs, tried_of
from bench.spaces import Range
from trials.records.codec import record_hash
from trials.records.job import Rung
from trials.records.result import COMPLETE, FAILED, PRUNED, EpochScore, TrialResult
from trials.records.spec import FINAL, TUNE

EACH = {name: replace(recipe, validate_every=1) for name, recipe in GRID.recipes.items()}
PRUNING = replace(GRID, recipes=EACH, tuning=Tuning(trials=9, epochs=9), seeds=(0,))


def result(due, prune=True):
    """A trial whose score grows to a height set by its learning rate, and which stops where a rung
    is missed.
    """
    height = 1 / (1 + abs(due.spec.hyper["lr"] - 0.01))
    curve, state = [], COMPLETE
    for epoch in range(due.spec.recipe.epochs):
        dice = {1: height * (1 - 0.5 ** (epoch + 1))}
        curve.append(
            EpochScore(
                epoch=epoch,
                lr=0.1,
                train_loss=1,
                val_loss=1,
                train_dice={},
                val_dice=dice,
                seconds=1,
            )
        )
        if prune and any(rung.epochs == epoch + 1 and dice[1] < rung.least for rung in due.rungs):
            state = PRUNED
            break
    score = None if due.spec.phase not in (TUNE, FINAL) else curve[-1].val_dice[1]
    return TrialResult(
        trial=due.trial, spec=due.spec, state=state, val_score=score, curve=tuple(curve)
    )


def run(queue, of=result, stop=None):
    """Run an queue one trial after the other; returns what was due, in order."""
    order = []
    while len(order) != stop and (due := queue.next(())) is not None:
        order.append(due)
        queue.add(of(due))
    return order


def test_the_best_third_of_those_at_a_rung_goes_on():
    curves = [[0.1, 0.2, 0.3], [0.2], [0.3], [0.4, 0.1, 0.1], [0.5]]

    # Six at epoch 1, the new one counted: two go on, so the second best of the five before must be
    # matched. Three at epoch 3: the best goes on; the fourth trial stands there with the 0.4 of its
    # first epoch.
    assert rungs(curves, epochs=9) == (Rung(epochs=1, least=0.4), Rung(epochs=3, least=0.4))


def test_the_first_two_at_a_rung_always_go_on_and_the_last_epoch_is_no_rung():
    assert rungs([], epochs=27) == ()
    assert rungs([[0.9] * 27], epochs=27) == ()
    assert [rung.epochs for rung in rungs([[0.9] * 27] * 2, epochs=27)] == [1, 3, 9]
    assert rungs([[0.9]] * 5, epochs=1) == ()


def test_where_not_every_epoch_is_validated_the_rungs_are_epochs_that_are():
    curves = [[0.1, 0.2, 0.3], [0.2, 0.4, 0.4]]

    assert rungs(curves, epochs=8, every=2) == (
        Rung(epochs=2, least=0.2),
        Rung(epochs=6, least=0.4),
    )
    assert rungs(curves, epochs=6, every=2) == (Rung(epochs=2, least=0.2),)


def test_trials_are_pruned_in_every_cell_and_never_the_first():
    queue = TrialQueue(resolve(PRUNING, FACTS), {})
    run(queue)

    for cell in PRUNING.cells:
        study = sorted(
            (r for r in queue.results.values() if r.spec.cell == cell and r.spec.phase == TUNE),
            key=number_of,
        )
        assert len(study) == 9
        assert study[0].state == COMPLETE
        assert 2 <= sum(one.state == PRUNED for one in study) <= 7
        final = next(
            r for r in queue.results.values() if r.spec.cell == cell and r.spec.phase == FINAL
        )
        assert (
            final.spec.hyper
            == max((r for r in study if r.state == COMPLETE), key=lambda r: r.val_score).spec.hyper
        )


def number_of(result):
    return result.spec.number


def test_a_pruned_trial_is_never_the_best_however_well_it_stood():
    queue = TrialQueue(resolve(replace(PRUNING, cells=PRUNING.cells[:1]), FACTS), {})

    def praised(due):
        one = result(due)
        return replace(one, val_score=9.0) if one.state == PRUNED else one

    run(queue, praised)

    assert any(one.state == PRUNED for one in queue.results.values())
    cell = queue.resolved.cells[0]
    assert queue.results[queue._study(cell)[queue.best(cell)[0]].trial].state == COMPLETE


def test_rungs_of_a_cell_come_from_its_own_study():
    alone = run(TrialQueue(resolve(replace(PRUNING, cells=PRUNING.cells[:1]), FACTS), {}))
    together = run(TrialQueue(resolve(PRUNING, FACTS), {}))

    assert [due for due in together if due.spec.cell == PRUNING.cells[0]] == alone


def test_rungs_and_proposals_are_the_same_after_a_restart_at_any_trial():
    grid = replace(PRUNING, cells=PRUNING.cells[:2])
    straight = run(TrialQueue(resolve(grid, FACTS), {}))

    for stop in range(len(straight)):
        queue = TrialQueue(
            resolve(grid, FACTS), {due.trial: result(due) for due in straight[:stop]}
        )
        assert queue.next(()) == straight[stop]


def test_rungs_are_no_part_of_a_trials_name():
    pruned = [due for due in run(TrialQueue(resolve(PRUNING, FACTS), {})) if due.rungs]

    assert pruned
    assert all(due.trial == record_hash(due.spec) for due in pruned)


def test_without_pruning_every_trial_is_whole_and_an_earlier_pruned_one_counts_as_not_done():
    pruning, pure = (
        TrialQueue(resolve(PRUNING, FACTS), {}),
        replace(PRUNING, tuning=replace(PRUNING.tuning, prune=False)),
    )
    run(pruning)

    queue = TrialQueue(resolve(pure, FACTS), pruning.results)

    assert {one.state for one in queue.results.values()} == {COMPLETE}
    assert all(due.rungs == () for due in run(queue))
    assert {one.state for one in queue.results.values()} == {COMPLETE}


def test_optuna_is_told_of_pruned_and_failed_trials_as_such():
    queue = TrialQueue(resolve(PRUNING, FACTS), {})
    run(queue)
    pruned = tried_of(next(one for one in queue.results.values() if one.state == PRUNED))
    distributions = distributions_of({"lr": Range(low=1e-5, high=1, log=True)})

    told = frozen_trial(pruned, distributions)

    assert told.state == TrialState.PRUNED
    assert told.intermediate_values == dict(enumerate(pruned.curve, 1))
    assert told.value == pruned.curve[-1]
    assert told.params == {"lr": pruned.hyper["lr"]}
    assert (
        frozen_trial(Tried(hyper={"lr": 0.1}, state=FAILED, score=None), distributions).state
        == TrialState.FAIL
    )


def test_optuna_would_prune_by_the_same_rule_had_it_been_asked():
    """Optuna's own successive halving from epoch 1 by thirds, on one study: the same trials pass
    the first rung.
    """
    scores = [0.30, 0.10, 0.20, 0.35, 0.32, 0.31, 0.33, 0.34, 0.40, 0.05]
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    curves = []

    for score in scores:
        trial = study.ask()
        trial.report(score, 1)
        theirs = trial.should_prune()
        ours = any(score < rung.least for rung in rungs(curves, epochs=2))
        # It cannot let the first eta - 1 wait either; of these it keeps the best so far, we keep
        # both.
        if len(curves) >= 2:
            assert ours == theirs
        curves.append([score])
        study.tell(trial, score)


@pytest.mark.parametrize("parallel", [2, 3])
def test_a_study_with_several_open_trials_does_not_depend_on_their_order(parallel):
    grid = replace(
        PRUNING, cells=PRUNING.cells[:1], tuning=Tuning(trials=7, epochs=9, parallel=parallel)
    )
    forward, backward = TrialQueue(resolve(grid, FACTS), {}), TrialQueue(resolve(grid, FACTS), {})

    orders = [waves(forward, list), waves(backward, lambda open_ones: open_ones[::-1])]

    assert [len(wave) for wave in orders[0]][:2] == [parallel, parallel]
    assert forward.results == backward.results


def waves(queue, order):
    """Let every trial that is due run side by side and end in an order of ours; returns what ran
    together.
    """
    found = []
    while True:
        wave = []
        while (due := queue.next({one.trial for one in wave})) is not None:
            wave.append(due)
        if not wave:
            return found
        found.append(wave)
        for due in order(wave):
            queue.add(result(due))


def test_proposals_of_one_batch_differ():
    space = {"lr": Range(low=1e-5, high=1e-2, log=True)}

    assert propose("study", 0, space, []) != propose("study", 1, space, [])
    assert propose("study", 1, space, []) == propose("study", 1, space, [])
