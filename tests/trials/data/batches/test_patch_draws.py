"""Where patches are drawn, and what is read there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trials.data.batches.patch_draws import PatchCases, crop, draw_facts, draws_of, is_forced
from trials.data.batches.patches import PatchFeed, PatchReader, on_gpu
from trials.data.batches.resident import network_input
from trials.data.prepared.spaced import class_voxel_index
from trials.data.spacing.intensities import BY_VOLUME, Scaling
from trials.records.spec import Recipe, Spacing

PATCH = (8, 8, 8)
RECIPE = Recipe(epochs=1, batch_size=2, preparation=Spacing(mm=(3.0, 2.0, 2.0)), patch=PATCH)
CPU = torch.device("cpu")


def cases():
    """Two volumes: the first holds class 1 in one corner and class 2 in another, the second is
    empty and smaller than a patch along its first axis.
    """
    first, second = np.zeros((20, 30, 40), np.uint8), np.zeros((5, 30, 40), np.uint8)
    first[:4, :5, :6], first[19, 29, 39] = 1, 2
    labels = [first, second]
    return PatchCases(
        labels=labels,
        index=[class_voxel_index(one, 4) for one in labels],
        class_voxels=np.array([np.bincount(one.ravel(), minlength=4) for one in labels]),
    )


def labels_at(place):
    return crop(cases().labels[place[0]], place[1:], PATCH, 0)


@pytest.mark.parametrize(
    ("share", "forced"), [(1 / 3, [2, 5, 8]), (0.5, [1, 3, 5, 7, 9]), (0, []), (0.25, [3, 7])]
)
def test_the_forced_patches_are_exactly_the_share_and_evenly_spread(share, forced):
    assert [number for number in range(10) if is_forced(number, share)] == forced
    assert sum(is_forced(number, share) for number in range(3000)) == round(3000 * share)


@pytest.mark.parametrize("batch_size", [1, 2, 6])
def test_a_forced_patch_holds_a_class_of_its_case_whatever_the_batch(batch_size):
    draws = draws_of(cases(), "oversample", replace(RECIPE, batch_size=batch_size))

    places = np.concatenate([draws.batch(0, step) for step in range(120 // batch_size)])

    forced = places[2::3]
    with_foreground = forced[forced[:, 0] == 0]
    assert 10 < len(with_foreground) < 30
    assert all(labels_at(place).any() for place in with_foreground)
    # Each class of the case is drawn as often, though one has 120 times as many voxels.
    assert 5 < sum((labels_at(place) == 2).any() for place in with_foreground) < 25


def test_a_class_of_the_set_is_drawn_from_a_case_that_holds_it():
    draws = draws_of(
        cases(), "oversample", replace(RECIPE, oversample_share=1.0, oversample_classes="set")
    )

    places = np.concatenate([draws.batch(0, step) for step in range(10)])

    assert set(places[:, 0]) == {0}
    assert all(labels_at(place).any() for place in places)


def test_a_step_draws_the_same_patches_whatever_came_before():
    draws = draws_of(cases(), "none", RECIPE)

    again = draws.batch(7, 5)

    assert np.array_equal(draws.batch(7, 5), again)
    assert not np.array_equal(draws.batch(7, 6), again)
    assert not np.array_equal(draws.batch(8, 5), again)


def test_uniform_places_reach_every_border_and_leave_none():
    draws = draws_of(cases(), "none", replace(RECIPE, batch_size=500))

    places = draws.batch(0, 0)

    first, second = (places[places[:, 0] == case, 1:] for case in (0, 1))
    assert first.min(0).tolist() == [0, 0, 0]
    assert first.max(0).tolist() == [12, 22, 32]
    # Three voxels are missing along the first axis: one before the case, two behind it.
    assert set(second[:, 0]) == {-1}
    assert second[:, 1:].max(0).tolist() == [22, 32]


def test_patches_with_too_much_background_are_drawn_again():
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[:10] = 1
    half = PatchCases(
        labels=[labels],
        index=[class_voxel_index(labels, 2)],
        class_voxels=np.array([[12_000, 12_000]]),
    )
    recipe = replace(RECIPE, subsample_background=0.5, batch_size=40)

    first_planes = [
        draws_of(half, name, recipe).batch(0, 0)[:, 1].max() for name in ("none", "subsample")
    ]

    # A patch of eight planes from the seventh on has four of the first ten.
    assert first_planes == [12, 6]


def test_a_sampling_without_a_rule_for_patches_weighs_the_cases(monkeypatch):
    from trials.data.sampling import SAMPLINGS
    from trials.records.registry import Entry

    monkeypatch.setitem(SAMPLINGS, "presence", Entry("trials.data.sampling:subsample"))

    draws = draws_of(cases(), "presence", replace(RECIPE, subsample_background=0.999))

    assert draws.weights.tolist() == [1, 0]
    assert set(draws.batch(0, 0)[:, 0]) == {0}


def test_facts_count_what_the_patches_hold():
    draws = draws_of(cases(), "oversample", replace(RECIPE, oversample_share=1.0))

    facts = draw_facts(draws, 0, 40)

    assert facts["patches_counted"] == 40
    assert sum(facts["voxel_share"]) == pytest.approx(1)
    assert facts["draw_holds_class"][3] == 0 < facts["draw_holds_class"][1] < 1


def feed_of(threads=0):
    images = [
        np.random.default_rng(case).integers(-900, 900, (2, *one.shape)).astype(np.int16)
        for case, one in enumerate(cases().labels)
    ]
    pads = np.array([-100, 0], np.int16)[:, None, None, None]
    reader = PatchReader(images=images, labels=cases().labels, patch=PATCH, pads=pads)
    draws = draws_of(cases(), "none", RECIPE)
    return PatchFeed(source=reader, draws=draws, device=CPU, threads=threads)


def test_batches_are_the_same_whoever_reads_them():
    feed = feed_of()
    resident = replace(feed, source=on_gpu(feed.source, CPU))

    epochs = [
        list(one.epoch(7, np.random.default_rng(0)))
        for one in (feed, replace(feed, threads=3), resident)
    ]

    assert [len(epoch) for epoch in epochs] == [7] * 3
    for steps in zip(*epochs, strict=True):
        for images, labels in steps:
            assert (images.dtype, images.shape) == (torch.int16, (2, 2, *PATCH))
            assert torch.equal(images, steps[0][0])
            assert torch.equal(labels, steps[0][1])


def test_beyond_a_border_lie_the_pad_of_each_channel_and_background():
    images, labels = feed_of().source.batch(np.array([[1, -1, 22, 32]]))

    outside = [0, 6, 7]
    assert set(images[0, 0, outside].flatten().tolist()) == {-100}
    assert set(images[0, 1, outside].flatten().tolist()) == {0}
    assert not labels[0, outside].any()
    assert images[0, :, 1:6].abs().float().mean() > 300


def test_a_channel_is_cut_and_scaled_on_its_way_into_the_network():
    stored = torch.tensor([[[-900, 100, 900]], [[-900, 100, 900]]], dtype=torch.int16)[None]

    made = network_input(stored, (Scaling(0, 300, 100, 50, 0), BY_VOLUME))

    assert made[0, 0].tolist() == [[-2, 0, 4]]
    assert made[0, 1].flatten().tolist() == pytest.approx([-0.9, 0.1, 0.9])
    assert network_input(stored, ()).dtype == torch.float32
