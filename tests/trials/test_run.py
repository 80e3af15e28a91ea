"""One trial, without Ray and without a grid: what it leaves, how it resumes, what becomes of its failures."""

import hashlib
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from trials.attempt import TRACEBACK, attempt
from trials.data.cache import open_cache
from trials.divergence import not_finite
from trials.job import Job, best_path, result_path, trial_folder
from trials.losses import LOSSES
from trials.parts import Part
from trials.records import from_json, record_hash
from trials.result import COMPLETE, FAILED, TrialResult, headline
from trials.run import run_trial
from trials.setup import make_network
from trials.spec import FINAL, PRETRAIN, TUNE, Cell, Preparation, Recipe, TrialSpec

RECIPE = Recipe(
    epochs=3,
    steps_per_epoch=2,
    batch_size=2,
    preparation=Preparation(cube=32),
    width=4,
    pretrain_epochs=3,
    pretrain_lr=3e-3,
    optimizer="adamw",
    schedule="onecycle",
    clip_gradient=5.0,
    augment=True,
    train_cases_scored=1,
)
# What makes each model small.
SMALL = {
    "unet3d": {"width": 4},
    "vnet": {"width": 4},
    "segresnet": {"width": 8},
    "unet2d_resnet18": {"width": None, "weights": "random", "model_options": (("depth", 3.0),)},
}
CELL = Cell(model="unet3d", loss="combined", sampling="none")


def make_job(cache: Path, out: Path, cell=CELL, recipe=RECIPE, phase=FINAL, hyper=None, **more) -> Job:
    cases = sorted(open_cache(cache).cases)
    spec = TrialSpec(
        dataset="phantoms",
        data=open_cache(cache).digest,
        splits="sequential",
        fold=0,
        cell=cell,
        hyper=hyper or {"lr": 0.01},
        recipe=recipe,
        seed=0,
        phase=phase,
    )
    test = tuple(cases[10:]) if phase == FINAL else ()
    trial = record_hash(spec)
    return Job(
        trial=trial,
        spec=spec,
        out=str(out),
        cache=str(cache),
        train=tuple(cases[:8]),
        val=tuple(cases[8:10]),
        test=test,
        **more,
    )


def comparable(result: TrialResult) -> TrialResult:
    """A result without what differs from run to run: clocks and memory."""
    curve = tuple(replace(score, seconds=0.0) for score in result.curve)
    return replace(result, curve=curve, seconds=0.0, peak_gib=0.0, started="", facts={})


def test_a_final_trial_leaves_counts_of_every_case_label_and_space(small_cache, tmp_path):
    job = make_job(small_cache, tmp_path, save_predictions=True)

    result = attempt(job)

    assert result.state == COMPLETE, result.error
    keys = [(score.split, score.case, score.space, score.label) for score in result.scores]
    assert len(set(keys)) == len(keys) == (2 + 2) * 2 * 4
    assert from_json(TrialResult, result_path(tmp_path, job.trial).read_text()) == result
    cache = open_cache(small_cache)
    for score in result.scores:
        record = cache.cases[score.case]
        truth = record.class_voxels if score.space == "native" else record.cube_class_voxels
        assert score.true_voxels == truth[score.label]
        assert score.overlap_voxels <= min(score.true_voxels, score.pred_voxels)
    assert_surfaces_agree_with_the_counts(result, job.test)
    assert {"num_items", "draws", "class_counts", "threads", "device"} <= set(result.facts)
    assert 0 < result.facts["share_beside_model"] < 1
    assert result.num_parameters == result.num_trainable > 0
    assert result.multiply_adds > 0


def assert_surfaces_agree_with_the_counts(result, test):
    regions = ["kidney_and_mass", "mass", "tumor", "kidney", "cyst"]
    assert [(surface.case, surface.region) for surface in result.surfaces] == [
        (case, name) for case in test for name in regions
    ]
    native = {(score.case, score.label): score for score in result.scores if score.space == "native"}
    for surface in result.surfaces:
        if surface.region in (labels := {"kidney": 1, "tumor": 2, "cyst": 3}):
            score = native[surface.case, labels[surface.region]]
            assert surface.true_voxels == score.true_voxels
            assert (surface.pred_voxels, surface.overlap_voxels) == (score.pred_voxels, score.overlap_voxels)
        assert (surface.true_mm2 > 0) == (surface.true_voxels > 0) == (surface.lesions > 0)
        assert surface.true_within_mm2 <= surface.true_mm2
        assert surface.pred_within_mm2 <= surface.pred_mm2


def test_f91_predictions_lie_under_their_trial_on_the_cases_own_grid_and_give_the_stored_counts(small_cache, tmp_path):
    import nibabel

    job = make_job(small_cache, tmp_path, save_predictions=True)

    result = attempt(job)

    cache = open_cache(small_cache)
    for case in job.test:
        written = nibabel.load(trial_folder(tmp_path, job.trial) / "predictions" / f"{case}.nii.gz")
        source = nibabel.load(cache.cases[case].labels.path)
        assert written.shape == source.shape
        assert written.get_data_dtype() == np.uint8
        assert np.array_equal(written.affine, source.affine)
        counted = np.bincount(np.asarray(written.dataobj).ravel(), minlength=4)
        stored = {s.label: s.pred_voxels for s in result.scores if s.case == case and s.space == "native"}
        assert counted.tolist() == [stored[label] for label in range(4)]


def test_final_trials_leave_slices_for_the_report_and_others_do_not(small_cache, tmp_path):
    job = make_job(small_cache, tmp_path)
    attempt(job)
    attempt(make_job(small_cache, tmp_path / "tune", phase=TUNE))

    for case in job.test:
        with np.load(tmp_path / "cases" / f"{case}.npz", allow_pickle=False) as kept:
            shape = kept["reference"].shape
            assert kept["image"].shape == shape == (len(kept["index"]), 32, 32)
            assert kept["reference"].max() > 0
        with np.load(trial_folder(tmp_path, job.trial) / "cases" / f"{case}.npz", allow_pickle=False) as kept:
            assert kept["prediction"].shape == shape
    assert not list((tmp_path / "tune").rglob("*.npz"))


@pytest.mark.parametrize("model", ["unet3d", "vnet", "segresnet", "unet2d_resnet18"])
def test_f64_resumed_equals_straight_bit_for_bit(small_cache, tmp_path, model):
    recipe = replace(RECIPE, epochs=2, **SMALL[model])
    cell = replace(CELL, model=model)
    straight = make_job(small_cache, tmp_path / "straight", cell, recipe)
    broken = make_job(small_cache, tmp_path / "broken", cell, recipe)

    whole = attempt(straight)
    with pytest.raises(KeyboardInterrupt):
        run_trial(broken, lambda score, reached: interrupt())
    resumed = attempt(broken)

    assert whole.state == COMPLETE, whole.error
    assert comparable(resumed) == comparable(whole)
    weights = [torch.load(best_path(job.out, job.trial), weights_only=True)["state_dict"] for job in (straight, broken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def interrupt():
    raise KeyboardInterrupt


def test_pretraining_lowers_its_loss_and_a_fine_tuned_model_keeps_the_frozen_tensors(small_cache, tmp_path):
    pretraining = Cell(model="segresnet", loss="restoration", sampling="none")
    recipe = replace(RECIPE, width=8, steps_per_epoch=6)
    first = make_job(small_cache, tmp_path, pretraining, recipe, PRETRAIN)
    learned = attempt(first)
    weights = best_path(tmp_path, first.trial)
    tuned = make_job(
        small_cache,
        tmp_path,
        replace(CELL, model="segresnet"),
        replace(recipe, epochs=1, steps_per_epoch=2),
        hyper={"lr": 0.01, "frozen_stages": 2},
        weights=str(weights),
    )

    result = attempt(tuned)

    assert learned.curve[-1].train_loss < 0.9 * learned.curve[0].train_loss
    assert result.state == COMPLETE, result.error
    assert result.num_trainable < result.num_parameters
    before = torch.load(weights, weights_only=True)["state_dict"]
    after = torch.load(best_path(tmp_path, tuned.trial), weights_only=True)["state_dict"]
    frozen = [name for name in after if name.startswith(("convInit.", "down_layers.0."))]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in after if name.startswith("down_layers.2."))


def test_a_network_that_is_to_be_compiled_keeps_the_names_of_its_tensors(small_cache, tmp_path):
    cache = open_cache(small_cache)
    plain, compiled = (
        make_network(make_job(small_cache, tmp_path, recipe=replace(RECIPE, compile=wanted)), cache) for wanted in (False, True)
    )

    assert compiled.module.state_dict().keys() == plain.module.state_dict().keys()
    assert compiled.module._compiled_call_impl is not None
    assert plain.module._compiled_call_impl is None


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
    """A loss that is infinite from its `good`-th training step on, and counts the steps that were tried."""

    def __init__(self, good: int):
        self.good, self.tried = good, 0

    def __call__(self, logits, labels):
        self.tried += logits.requires_grad
        return cross_entropy(logits, labels.long()) * (math.inf if self.tried > self.good else 1.0)


def bursting_after(good, monkeypatch):
    """Such a loss, under a name of its own."""
    loss = Bursting(good)
    monkeypatch.setitem(LOSSES, "bursting", Part(lambda counts: loss))
    return loss, replace(CELL, loss="bursting")


@pytest.mark.parametrize("phase", [TUNE, FINAL])
def test_f62_a_trial_stops_at_the_step_that_diverges_and_keeps_its_last_good_weights(small_cache, tmp_path, monkeypatch, phase):
    recipe = replace(RECIPE, schedule="fixed", train_cases_scored=0)
    loss, cell = bursting_after(2, monkeypatch)
    job = make_job(small_cache, tmp_path, cell, recipe, phase)

    result = attempt(job)

    assert (result.state, result.reason, loss.tried) == (FAILED, "diverged", 3)
    assert result.error == "epoch 2 of 3: step 1 of 2: the training loss became inf at learning rate 0.01"
    assert from_json(TrialResult, result_path(tmp_path, job.trial).read_text()) == result
    content = best_path(tmp_path, job.trial).read_bytes()
    assert result.facts == {"weights_kept": "best.pt, of epoch 1", "weights_sha256": hashlib.sha256(content).hexdigest()}
    short = make_job(small_cache, tmp_path / "short", bursting_after(9, monkeypatch)[1], replace(recipe, epochs=1))
    assert attempt(short).state == COMPLETE
    assert content == best_path(tmp_path / "short", short.trial).read_bytes()


def test_f62_where_losses_are_only_read_at_the_end_of_an_epoch_the_first_step_that_diverged_is_named():
    losses = [torch.tensor(value) for value in (0.5, math.inf, math.nan)]

    assert str(not_finite(losses, 3, 0.1)) == "step 2 of 3: the training loss became inf at learning rate 0.1"


def test_f62_divergence_before_a_first_score_keeps_nothing(small_cache, tmp_path):
    recipe = replace(RECIPE, schedule="fixed", clip_gradient=None)

    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, hyper={"lr": 1e30}))

    assert (result.state, result.reason, result.facts) == (FAILED, "diverged", {})
    assert re.match(r"epoch 1 of 3: step 2 of 2: the training loss became (inf|nan) at learning rate 1e\+30$", result.error)
    assert not list(tmp_path.rglob("*.pt"))


def test_f63_a_trial_that_raises_leaves_its_whole_traceback_beside_its_row(small_cache, tmp_path, monkeypatch):
    def broken_loss(logits, labels):
        raise RuntimeError("the loss is broken")

    monkeypatch.setitem(LOSSES, "broken", Part(lambda counts: broken_loss))
    job = make_job(small_cache, tmp_path, replace(CELL, loss="broken"))

    result = attempt(job)

    assert (result.state, result.reason) == (FAILED, "exception")
    assert re.match(r"RuntimeError: the loss is broken \(test_run.py:\d+\)$", result.error)
    text = (result_path(tmp_path, job.trial).parent / TRACEBACK).read_text()
    assert text.startswith("Traceback (most recent call last):\n")
    assert "in train_epoch" in text
    assert re.search(r'test_run.py", line \d+, in broken_loss\n.*\nRuntimeError: the loss is broken\n$', text)


def test_f94_a_clock_that_jumps_back_leaves_no_negative_duration(small_cache, tmp_path, monkeypatch):
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    recipe = replace(RECIPE, epochs=1, steps_per_epoch=1, limit_minutes=10.0)

    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, checkpoint_minutes=0.0))

    assert result.state == COMPLETE, result.error
    durations = [result.seconds, result.curve[0].seconds, result.facts["train_seconds"], result.facts["score_seconds"]]
    assert all(0 <= seconds < 600 for seconds in durations)
    assert result.seconds > 0


def test_a_search_trial_scores_no_test_case(small_cache, tmp_path):
    result = attempt(make_job(small_cache, tmp_path, phase=TUNE))

    assert {score.split for score in result.scores} == {"val"}
    assert not result.surfaces


def test_patience_stops_early_and_ties_go_to_the_earlier_epoch(small_cache, tmp_path):
    recipe = replace(RECIPE, epochs=6, patience=2, schedule="fixed", train_cases_scored=0, augment=False)

    # A step of 1e-12 changes no prediction: every epoch scores alike.
    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, hyper={"lr": 1e-12}))

    assert result.best_epoch == 0
    assert len(result.curve) == 3


def test_epochs_between_validations_change_nothing_but_what_is_known_of_them(small_cache, tmp_path):
    every = attempt(make_job(small_cache, tmp_path, recipe=replace(RECIPE, epochs=5)))
    second = attempt(make_job(small_cache, tmp_path, recipe=replace(RECIPE, epochs=5, validate_every=2)))

    assert [epoch.epoch for epoch in second.curve if epoch.val_dice] == [1, 3, 4]
    assert [(epoch.val_loss, epoch.train_dice) for epoch in second.curve if not epoch.val_dice] == [(None, {})] * 2
    assert [epoch.train_loss for epoch in second.curve] == [epoch.train_loss for epoch in every.curve]
    known = {epoch.epoch: epoch.val_dice for epoch in every.curve}
    assert all(epoch.val_dice == known[epoch.epoch] for epoch in second.curve if epoch.val_dice)
    assert second.best_epoch in (1, 3, 4)
    assert second.val_score == headline(known[second.best_epoch])


def test_patience_ends_a_training_at_a_validation(small_cache, tmp_path):
    recipe = replace(RECIPE, epochs=9, patience=1, validate_every=2, schedule="fixed", train_cases_scored=0, augment=False)

    result = attempt(make_job(small_cache, tmp_path, recipe=recipe, hyper={"lr": 1e-12}))

    assert (result.best_epoch, len(result.curve)) == (1, 4)


def test_a_trial_past_its_limit_is_a_failed_result_with_that_reason(small_cache, tmp_path):
    result = attempt(make_job(small_cache, tmp_path, recipe=replace(RECIPE, limit_minutes=0.0)))

    assert (result.state, result.reason) == (FAILED, "timeout")
    assert "recipe.limit_minutes is 0" in result.error


def test_slices_across_any_axis_are_scored_as_volumes(small_cache, tmp_path):
    recipe = replace(RECIPE, slice_axis="coronal", epochs=1, **SMALL["unet2d_resnet18"])

    result = attempt(make_job(small_cache, tmp_path, replace(CELL, model="unet2d_resnet18"), recipe))

    assert result.state == COMPLETE, result.error
    assert all(
        sum(s.pred_voxels for s in result.scores if (s.case, s.space) == (case, "cube")) == 32**3 for case in cases_of(result)
    )


def cases_of(result):
    return {score.case for score in result.scores}
