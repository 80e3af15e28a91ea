"""A trial that misses a rung stops there, unscored, and is the same trial if it was killed on the
way.
"""

from dataclasses import replace

import pytest
from small_jobs import RECIPE, comparable, interrupt, make_job

from trials.records.codec import from_json
from trials.records.job import Rung, result_path, trial_folder
from trials.records.result import COMPLETE, PRUNED, TrialResult, headline
from trials.records.result_file import write_result
from trials.records.spec import TUNE
from trials.training.attempt import attempt
from trials.training.run import run_trial

SHORT = replace(RECIPE, steps_per_epoch=1, train_cases_scored=0)
OUT_OF_REACH = Rung(epochs=2, least=1.1)


@pytest.fixture(scope="module")
def whole(small_cache, module_on_cpu, tmp_path_factory):
    return attempt(
        make_job(small_cache, tmp_path_factory.mktemp("whole"), recipe=SHORT, phase=TUNE)
    )


@pytest.fixture(scope="module")
def pruned(small_cache, tmp_path_factory, whole):
    """The same trial; it just reaches its first rung and misses the second."""
    rungs = (Rung(epochs=1, least=headline(whole.curve[0].val_dice)), OUT_OF_REACH)
    job = make_job(
        small_cache, tmp_path_factory.mktemp("pruned"), recipe=SHORT, phase=TUNE, rungs=rungs
    )
    return job, attempt(job)


def test_a_trial_below_a_rung_stops_there_with_its_curve_and_its_score_so_far(whole, pruned):
    job, result = pruned

    assert (whole.state, result.state) == (COMPLETE, PRUNED)
    assert len(whole.curve) == 3
    assert comparable(result).curve == comparable(whole).curve[:2]
    assert result.val_score == max(headline(epoch.val_dice) for epoch in result.curve)
    assert whole.scores != result.scores == ()
    assert from_json(TrialResult, result_path(job.out, job.trial).read_text()) == result
    assert not list(trial_folder(job.out, job.trial).glob("*.pt"))


def test_a_trial_killed_at_its_rung_is_pruned_when_it_goes_on(small_cache, tmp_path, pruned):
    job, straight = pruned
    broken = replace(job, out=str(tmp_path), checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        run_trial(broken, lambda score, reached: interrupt() if score.epoch == 1 else None)

    assert comparable(attempt(broken)) == comparable(straight)


def test_a_pruned_trial_of_a_grid_that_prunes_no_more_is_trained_to_its_end(
    tmp_path, whole, pruned
):
    job, result = pruned
    write_result(tmp_path, result)

    assert attempt(replace(job, out=str(tmp_path))) == result
    assert comparable(attempt(replace(job, out=str(tmp_path), rungs=()))) == comparable(whole)
