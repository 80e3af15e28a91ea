"""How a trial ends before its last epoch: by patience, past its limit, diverged or broken; and what
it leaves then.
"""

import hashlib
import math
import re
import time
from dataclasses import replace

import pytest
import torch
from small_jobs import CELL, RECIPE, make_job
from torch.nn.functional import cross_entropy

from trials.losses import LOSSES
from trials.records.codec import from_json
from trials.records.job import best_path, result_path
from trials.records.registry import Entry
from trials.records.result import COMPLETE, FAILED, TrialResult
from trials.records.spec import FINAL, TUNE
from trials.training.attempt import TRACEBACK, attempt
from trials.training.loop import divergence_error


def test_freezing_without_weights_is_a_failed_result_that_says_so(small_cache, tmp_path):
    job = make_job(
        small_cache,
        tmp_path,
        replace(CELL, model="segresnet"),
        replace(RECIPE, width=8),
        hyper={"lr": 0.01, "frozen_stages": 2},
    )

    result = attempt(job)

    assert (result.state, result.reason) == (FAILED, "exception")
    assert "frozen_stages=2 needs weights" in result.error
    assert from_json(TrialResult, result_path(tmp_path, job.trial).read_text()) == result


class Bursting:
    """A loss that is infinite from its `good`-th training step on, and counts the steps that were
    tried.
    """

    def __init__(self, good: int):
        self.good, self.tried = good, 0

    def __call__(self, logits, labels):
        self.tried += logits.requires_grad
        return cross_entropy(logits, labels.long()) * (math.inf if self.tried > self.good else 1.0)


def bursting_after(good, monkeypatch):
    """Such a loss, under a name of its own."""
    loss = Bursting(good)
    monkeypatch.setitem(LOSSES, "bursting", Entry(lambda counts: loss))
    return loss, replace(CELL, loss="bursting")


@pytest.mark.parametrize("phase", [TUNE, FINAL])
def test_f62_a_trial_stops_at_the_step_that_diverges_and_keeps_its_last_good_weights(
    small_cache, tmp_path, monkeypatch, on_cpu, phase
):
    recipe = replace(RECIPE, schedule="fixed", train_cases_scored=0)
    loss, cell = bursting_after(2, monkeypatch)
    job = make_job(small_cache, tmp_path, cell, recipe, phase)

    result = attempt(job)

    assert (result.state, result.reason, loss.tried) == (FAILED, "diverged", 3)
    assert (
        result.error
        == "epoch 2 of 3: step 1 of 2: the training loss became inf at learning rate 0.01"
    )
    assert from_json(TrialResult, result_path(tmp_path, job.trial).read_text()) == result
    content = best_path(tmp_path, job.trial).read_bytes()
    assert result.facts == {
        "weights_kept": "best.pt, of epoch 1",
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    short = make_job(
        small_cache,
        tmp_path / "short",
        bursting_after(9, monkeypatch)[1],
        replace(recipe, epochs=1),
    )
    assert attempt(short).state == COMPLETE
    assert content == best_path(tmp_path / "short", short.trial).read_bytes()


def test_f62_losses_read_at_the_end_of_an_epoch_name_the_first_step_that_diverged():
    losses = [torch.tensor(value) for value in (0.5, math.inf, math.nan)]

    assert (
        str(divergence_error(losses, 3, 0.1))
        == "step 2 of 3: the training loss became inf at learning rate 0.1"
    )


def test_f62_divergence_before_a_first_score_keeps_nothing(small_cache, tmp_path):
    recipe = replace(RECIPE, schedule="fixed", clip_gradient=None)

    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, hyper={"lr": 1e30}))

    assert (result.state, result.reason, result.facts) == (FAILED, "diverged", {})
    assert re.match(
        r"epoch 1 of 3: step 2 of 2: the training loss became (inf|nan) at learning rate 1e\+30$",
        result.error,
    )
    assert not list(tmp_path.rglob("*.pt"))


def test_f63_a_trial_that_raises_leaves_its_whole_traceback_beside_its_row(
    small_cache, tmp_path, monkeypatch
):
    def broken_loss(logits, labels):
        raise RuntimeError("the loss is broken")

    monkeypatch.setitem(LOSSES, "broken", Entry(lambda counts: broken_loss))
    job = make_job(small_cache, tmp_path, replace(CELL, loss="broken"))

    result = attempt(job)

    assert (result.state, result.reason) == (FAILED, "exception")
    assert re.match(r"RuntimeError: the loss is broken \(test_endings.py:\d+\)$", result.error)
    text = (result_path(tmp_path, job.trial).parent / TRACEBACK).read_text()
    assert text.startswith("Traceback (most recent call last):\n")
    assert "in train_epoch" in text
    assert re.search(
        r'test_endings.py", line \d+, in broken_loss\n.*\nRuntimeError: the loss is broken\n$', text
    )


def test_f94_a_clock_that_jumps_back_leaves_no_negative_duration(
    small_cache, tmp_path, monkeypatch
):
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    recipe = replace(RECIPE, epochs=1, steps_per_epoch=1, limit_minutes=10.0)

    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, checkpoint_minutes=0.0))

    assert result.state == COMPLETE, result.error
    parts = [
        result.facts[name] for name in ("seconds_to_first_step", "train_seconds", "score_seconds")
    ]
    durations = [result.seconds, result.curve[0].seconds, *parts]
    assert all(0 <= seconds < 600 for seconds in durations)
    assert result.seconds > 0


def test_patience_stops_early_and_ties_go_to_the_earlier_epoch(small_cache, tmp_path):
    recipe = replace(
        RECIPE,
        epochs=6,
        steps_per_epoch=1,
        patience=2,
        schedule="fixed",
        train_cases_scored=0,
        augment=False,
    )

    # A step of 1e-12 changes no prediction: every epoch scores alike.
    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, hyper={"lr": 1e-12}))

    assert result.best_epoch == 0
    assert len(result.curve) == 3


def test_patience_ends_a_training_at_a_validation(small_cache, tmp_path):
    recipe = replace(
        RECIPE,
        epochs=9,
        steps_per_epoch=1,
        patience=1,
        validate_every=2,
        schedule="fixed",
        train_cases_scored=0,
        augment=False,
    )

    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, hyper={"lr": 1e-12}))

    assert (result.best_epoch, len(result.curve)) == (1, 4)


def test_a_trial_past_its_limit_is_a_failed_result_with_that_reason(small_cache, tmp_path):
    result = attempt(make_job(small_cache, tmp_path, recipe=replace(RECIPE, limit_minutes=0.0)))

    assert (result.state, result.reason) == (FAILED, "timeout")
    assert "recipe.limit_minutes is 0" in result.error
