"""One trial, without Ray and without a grid: what it leaves, and how it resumes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai import bundle
from small_jobs import CELL, NESTED, RECIPE, SMALL, comparable, interrupt, make_job

from trials.data.nifti.volume import read_labels, to_dhw
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.case_checks import rules_of
from trials.data.prepared.manifest import case_of
from trials.data.prepared.native_grid import native_labels
from trials.data.prepared.preprocess import image_headers
from trials.inference.bundle_files import write_bundle
from trials.inference.trained import load_trained, predict_labels
from trials.records.codec import from_json
from trials.records.job import Job, best_path, result_path, trial_folder
from trials.records.result import COMPLETE, TrialResult, headline
from trials.records.spec import PRETRAIN, TUNE, Cell, Spacing
from trials.training.attempt import attempt
from trials.training.run import run_trial
from trials.training.tasks import block_mask, restoration_loss


@pytest.fixture(scope="module")
def final(small_cache, tmp_path_factory) -> tuple[Job, TrialResult]:
    """A final trial that saves its predictions, and its result."""
    out = tmp_path_factory.mktemp("final")
    recipe = replace(RECIPE, epochs=1, log_frequency_bias=False)
    job = make_job(small_cache, out, recipe=recipe, save_predictions=True)
    return job, attempt(job)


def test_a_final_trial_leaves_counts_of_every_case_label_and_space(small_cache, final):
    job, result = final

    assert result.state == COMPLETE, result.error
    keys = [(score.split, score.case, score.space, score.label) for score in result.scores]
    assert len(set(keys)) == len(keys) == (2 + 2) * 2 * 4
    assert from_json(TrialResult, result_path(job.out, job.trial).read_text()) == result
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


LABELS = {"kidney": 1, "tumor": 2, "cyst": 3}


def assert_surfaces_agree_with_the_counts(result, test, labels=LABELS):
    regions = ["kidney_and_mass", "mass", "tumor", "kidney", "cyst"]
    assert [(surface.case, surface.region) for surface in result.surfaces] == [
        (case, name) for case in test for name in regions
    ]
    native = {
        (score.case, score.label): score for score in result.scores if score.space == "native"
    }
    for surface in result.surfaces:
        if surface.region in labels:
            score = native[surface.case, labels[surface.region]]
            assert surface.true_voxels == score.true_voxels
            assert (surface.pred_voxels, surface.overlap_voxels) == (
                score.pred_voxels,
                score.overlap_voxels,
            )
        assert (surface.true_mm2 > 0) == (surface.true_voxels > 0) == (surface.lesions > 0)
        assert surface.true_within_mm2 <= surface.true_mm2
        assert surface.pred_within_mm2 <= surface.pred_mm2


def test_f91_predictions_lie_under_their_trial_on_the_cases_own_grid_and_give_the_stored_counts(
    small_cache, final
):
    import nibabel

    job, result = final

    cache = open_cache(small_cache)
    for case in job.test:
        written = nibabel.load(trial_folder(job.out, job.trial) / "predictions" / f"{case}.nii.gz")
        source = nibabel.load(cache.cases[case].labels.path)
        assert written.shape == source.shape
        assert written.get_data_dtype() == np.uint8
        assert np.array_equal(written.affine, source.affine)
        counted = np.bincount(np.asarray(written.dataobj).ravel(), minlength=4)
        stored = {
            s.label: s.pred_voxels for s in result.scores if s.case == case and s.space == "native"
        }
        assert counted.tolist() == [stored[label] for label in range(4)]


def test_final_trials_leave_slices_of_the_cases_own_grid_for_the_report(small_cache, final):
    job, _ = final
    cache = open_cache(small_cache)

    for case in job.test:
        with np.load(Path(job.out) / "cases" / f"{case}.npz", allow_pickle=False) as kept:
            shape = kept["reference"].shape
            index = kept["index"]
            assert kept["image"].shape == shape == (len(index), *cache.cases[case].shape[1:])
            assert np.array_equal(kept["reference"], native_labels(cache.cases[case])[index])
            assert kept["volume"].shape == (32, 32, 32)
        with np.load(
            trial_folder(job.out, job.trial) / "cases" / f"{case}.npz", allow_pickle=False
        ) as kept:
            assert kept["prediction"].shape == shape
            assert np.array_equal(kept["index"], index)


@pytest.mark.parametrize("model", ["unet3d", "vnet", "segresnet", "unet2d_resnet18"])
def test_f64_resumed_equals_straight_bit_for_bit(small_cache, tmp_path, on_cpu, model):
    recipe = replace(RECIPE, epochs=2, steps_per_epoch=1, **SMALL[model])
    cell = replace(CELL, model=model)
    straight = make_job(small_cache, tmp_path / "straight", cell, recipe)
    broken = make_job(small_cache, tmp_path / "broken", cell, recipe)

    whole = attempt(straight)
    with pytest.raises(KeyboardInterrupt):
        run_trial(broken, lambda score, reached: interrupt())
    resumed = attempt(broken)

    assert whole.state == COMPLETE, whole.error
    assert comparable(resumed) == comparable(whole)
    weights = [
        torch.load(best_path(job.out, job.trial), weights_only=True)["state_dict"]
        for job in (straight, broken)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture(scope="module")
def spaced(small_cache, tmp_path_factory) -> Path:
    """The same cases at a spacing."""
    place, spacing = tmp_path_factory.mktemp("spaced"), Spacing(mm=(8.0, 5.0, 5.0))
    return prepare_dataset(open_cache(small_cache).dataset, spacing, place, workers=1)


def test_patches_train_resume_bit_for_bit_score_whole_cases_and_predict_them_as_new_scans(
    spaced, tmp_path, on_cpu
):
    recipe = replace(
        RECIPE,
        # A rule that gives another spacing for these cases: it must not be applied again.
        preparation=Spacing(mm="fullres"),
        patch=(16, 24, 24),
        epochs=2,
        steps_per_epoch=1,
        width=8,
        weights="random",
        validation_cases=1,
        log_frequency_bias=True,
        mirror_test=True,
    )
    cell = Cell(model="segresnet", loss="combined", sampling="oversample")
    straight, broken = (
        make_job(spaced, tmp_path / name, cell, recipe, save_predictions=True)
        for name in ("straight", "broken")
    )

    whole = attempt(straight)
    with pytest.raises(KeyboardInterrupt):
        run_trial(broken, lambda score, reached: interrupt())
    resumed = attempt(broken)

    assert whole.state == COMPLETE, whole.error
    assert comparable(resumed) == comparable(whole)
    cache = open_cache(spaced)
    assert {cache.shape(case) for case in straight.test} != {(16, 24, 24)}
    for score in whole.scores:
        record = cache.cases[score.case]
        truth = record.class_voxels if score.space == "native" else record.cube_class_voxels
        assert score.true_voxels == truth[score.label]
    assert_surfaces_agree_with_the_counts(whole, straight.test)
    assert whole.facts["draws"]["patches_counted"] == 2
    assert whole.facts["intensities"][0]["low"] < 0 < whole.facts["intensities"][0]["mean"]
    assert whole.facts["prediction_seconds_a_case"] > 0
    assert 0 < whole.facts["prediction_peak_gib"] <= whole.peak_gib
    native = [score for score in whole.scores if (score.split, score.space) == ("test", "native")]
    assert [replace(score, pred_voxels=0, overlap_voxels=0) for score in whole.mirrored] == [
        replace(score, pred_voxels=0, overlap_voxels=0) for score in native
    ]
    assert list(whole.mirrored) != native
    assert_predicts_its_own_labels(straight, whole, cache)


REGION_ARMS = {
    "slices": ("unet2d_resnet18", {**SMALL["unet2d_resnet18"], "class_unit": "slices"}, 1),
    # Deep supervision.
    "patches": (
        "segresnet_ds",
        {"preparation": Spacing(mm="fullres"), "patch": (16, 24, 24), **SMALL["segresnet_ds"]},
        2,
    ),
}


@pytest.mark.parametrize("arm", REGION_ARMS)
def test_networks_that_predict_regions_train_resume_bit_for_bit_score_and_predict_them(
    arm, small_cache, spaced, tmp_path, on_cpu
):
    (model, form, epochs), folder = REGION_ARMS[arm], spaced if arm == "patches" else small_cache
    recipe = replace(RECIPE, epochs=epochs, steps_per_epoch=1, **form)
    cell = Cell(model=model, loss="class_balanced", sampling="oversample")
    about = {"hyper": {"lr": 0.01, "gamma": 2.0, "one_minus_beta": 0.1}, "regions": NESTED}
    straight, broken = (
        make_job(folder, tmp_path / name, cell, recipe, save_predictions=True, **about)
        for name in ("straight", "broken")
    )

    whole = attempt(straight)
    if epochs > 1:
        with pytest.raises(KeyboardInterrupt):
            run_trial(broken, lambda score, reached: interrupt())
        assert comparable(attempt(broken)) == comparable(whole)

    assert whole.state == COMPLETE, whole.error
    assert whole.facts["targets"].startswith("regions kidney_and_mass (1+2+3), mass (2+3), tumor")
    assert len(whole.facts["class_weights"]) == 3
    best = whole.curve[whole.best_epoch].val_dice
    assert whole.val_score == headline(best)
    assert set(best) == {1, 2, 3}
    cache = open_cache(folder)
    assert_counts_are_those_of_regions(whole, cache)
    assert_surfaces_agree_with_the_counts(whole, straight.test, NAMED_REGIONS)
    if arm == "patches":
        assert_predicts_its_own_labels(straight, whole, cache, channels=3)
        assert_a_bundle_predicts_its_own_labels(straight, whole, cache)


# As they are numbered in the scores.
NAMED_REGIONS = {"kidney_and_mass": 1, "mass": 2, "tumor": 3}


def assert_counts_are_those_of_regions(result, cache):
    groups = [(0,), (1, 2, 3), (2, 3), (2,)]
    for score in result.scores:
        record = cache.cases[score.case]
        truth = record.class_voxels if score.space == "native" else record.cube_class_voxels
        assert score.true_voxels == sum(truth[label] for label in groups[score.label])


def assert_predicts_its_own_labels(job, result, cache, channels=4):
    rules, kept = rules_of(cache.dataset), trial_folder(job.out, job.trial) / "predictions"
    one = load_trained(Path(job.out), result, rules)
    # The same network, as if on a grid of its own: it is averaged on the scan's grid.
    apart = replace(one, statistics=(None,))
    for case in job.test:
        headers = image_headers(case_of(cache.cases[case]).images, rules)
        own = read_labels(kept / f"{case}.nii.gz", 4)
        for ensemble in ([one], [one, apart]):
            labels, _ = predict_labels(ensemble, headers, rules)
            assert np.array_equal(labels, to_dhw(own.voxels, own.affine))
        assert labels.any()
    # No mean of two is above that of the class of which one is certain; as channels are classes or
    # regions, the last one is label 3 or 2.
    module = certain_of_the_last(channels)
    certain = replace(one, network=replace(one.network, module=module, patch=(8, 24, 24)))
    labels, _ = predict_labels([one, certain], headers, rules)
    assert np.all(labels == {4: 3, 3: 2}[channels])


def assert_a_bundle_predicts_its_own_labels(job, result, cache):
    out, case = Path(job.out), job.test[0]
    data = {"dataset": "phantoms", "title": "phantoms", "licence": "ours"}
    write_bundle(out, [result], data, rules_of(cache.dataset), out / "bundle")
    image = Path(case_of(cache.cases[case]).images[0])
    config, metadata = (
        str(out / f"bundle/configs/{name}.json") for name in ("inference", "metadata")
    )
    bundle.verify_net_in_out("network_def", metadata, config, device="cpu")

    places = {"dataset_dir": str(image.parent), "output_dir": str(out / "by_monai")}
    bundle.run(config_file=config, bundle_root=str(out / "bundle"), **places)

    own = (trial_folder(out, job.trial) / "predictions" / f"{case}.nii.gz").read_bytes()
    assert (out / "by_monai" / f"{case}.nii.gz").read_bytes() == own


def certain_of_the_last(channels: int) -> torch.nn.Module:
    module = torch.nn.Conv3d(1, channels, 1)
    torch.nn.init.zeros_(module.weight)
    module.bias.data = torch.tensor([0.0] * (channels - 1) + [100.0])
    return module


def test_a_fine_tuned_model_keeps_the_frozen_tensors_of_its_pretraining(small_cache, tmp_path):
    pretraining = Cell(model="segresnet", loss="restoration", sampling="none")
    recipe = replace(RECIPE, width=8, pretrain_epochs=1, steps_per_epoch=1)
    first = make_job(small_cache, tmp_path, pretraining, recipe, PRETRAIN)
    attempt(first)
    weights = best_path(tmp_path, first.trial)
    tuned = make_job(
        small_cache,
        tmp_path,
        replace(CELL, model="segresnet"),
        replace(recipe, epochs=1),
        hyper={"lr": 0.01, "frozen_stages": 2},
        weights=str(weights),
    )

    result = attempt(tuned)

    assert result.state == COMPLETE, result.error
    assert result.num_trainable < result.num_parameters
    before = torch.load(weights, weights_only=True)["state_dict"]
    after = torch.load(best_path(tmp_path, tuned.trial), weights_only=True)["state_dict"]
    frozen = [name for name in after if name.startswith(("convInit.", "down_layers.0."))]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(
        not torch.equal(before[name], after[name])
        for name in after
        if name.startswith("down_layers.2.")
    )


def test_a_search_trial_scores_no_test_case_and_leaves_no_slices(small_cache, tmp_path):
    result = attempt(make_job(small_cache, tmp_path, recipe=replace(RECIPE, epochs=1), phase=TUNE))

    assert {score.split for score in result.scores} == {"val"}
    assert not result.surfaces
    assert not list(tmp_path.rglob("*.npz"))


def test_epochs_between_validations_change_nothing_but_what_is_known_of_them(
    small_cache, tmp_path, on_cpu
):
    recipe = replace(RECIPE, epochs=5, steps_per_epoch=1)
    every = attempt(make_job(small_cache, tmp_path, recipe=recipe))
    second = attempt(make_job(small_cache, tmp_path, recipe=replace(recipe, validate_every=2)))

    assert [epoch.epoch for epoch in second.curve if epoch.val_dice] == [1, 3, 4]
    assert [(epoch.val_loss, epoch.train_dice) for epoch in second.curve if not epoch.val_dice] == [
        (None, {})
    ] * 2
    assert [epoch.train_loss for epoch in second.curve] == [
        epoch.train_loss for epoch in every.curve
    ]
    known = {epoch.epoch: epoch.val_dice for epoch in every.curve}
    assert all(epoch.val_dice == known[epoch.epoch] for epoch in second.curve if epoch.val_dice)
    assert second.best_epoch in (1, 3, 4)
    assert second.val_score == headline(known[second.best_epoch])


def test_slices_across_any_axis_are_scored_as_volumes(small_cache, tmp_path):
    recipe = replace(
        RECIPE, slice_axis="coronal", epochs=1, steps_per_epoch=1, **SMALL["unet2d_resnet18"]
    )

    result = attempt(
        make_job(small_cache, tmp_path, replace(CELL, model="unet2d_resnet18"), recipe)
    )

    assert result.state == COMPLETE, result.error
    assert all(
        sum(s.pred_voxels for s in result.scores if (s.case, s.space) == (case, "prepared"))
        == 32**3
        for case in cases_of(result)
    )


def cases_of(result):
    return {score.case for score in result.scores}


def test_restoring_the_mean_of_z_scored_channels_costs_about_one():
    images = torch.randn(2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = block_mask(images.shape, np.random.default_rng(0))

    assert mask.shape == (2, 1, 16, 16, 16)
    assert restoration_loss(torch.zeros_like(images), images, mask) == pytest.approx(1, abs=0.02)
