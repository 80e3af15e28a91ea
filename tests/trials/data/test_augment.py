"""Augmentation moves image and labels together, repeats itself, and samples where torch's own functions would."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import trials.data.augment as augment_module
from trials.data.augment import augment, inverse_map, nearest, sampling_grid, turned

SHAPES = [(12, 14, 16), (20, 18)]


def batch(shape, size=3):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 1, *shape, generator=generator)
    return images, (images[:, 0] > 0.5).to(torch.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sampling_grid_is_that_of_torch(shape):
    generator = np.random.default_rng(1)
    dims = len(shape)
    matrices = torch.from_numpy(np.stack([inverse_map(dims, generator) for _ in range(2)])).float()
    theirs = F.affine_grid(torch.cat([matrices, torch.zeros(2, dims, 1)], 2), [2, 1, *shape], align_corners=False)

    torch.testing.assert_close(sampling_grid(matrices, shape, slice(0, shape[0])), theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(sampling_grid(matrices, shape, slice(5, 9)), theirs[:, 5:9], rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_nearest_labels_are_those_of_grid_sample(shape):
    generator = np.random.default_rng(2)
    _, labels = batch(shape)
    matrices = torch.from_numpy(np.stack([inverse_map(len(shape), generator) for _ in range(3)])).float()
    grid = sampling_grid(matrices, shape, slice(0, shape[0]))
    theirs = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)

    assert torch.equal(nearest(labels, grid), theirs[:, 0].to(torch.uint8))


@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_are_turned_as_the_whole_is(shape, monkeypatch):
    whole = turned(*batch(shape), np.random.default_rng(8), 0.7)

    monkeypatch.setattr(augment_module, "PIECE", 3 * 50)
    pieces = turned(*batch(shape), np.random.default_rng(8), 0.7)

    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turned_image_and_its_labels_stay_together(shape):
    images = torch.zeros(1, 1, *shape)
    middle = tuple(slice(edge // 4, -(edge // 4)) for edge in shape)
    images[0, 0][middle] = 1.0
    moved_images, moved_labels = turned(images, images[:, 0].to(torch.uint8), np.random.default_rng(3), 1.0)

    assert not torch.equal(moved_images, images)
    assert ((moved_images[:, 0] > 0.5) == moved_labels.bool()).float().mean() > 0.97


def test_only_the_drawn_share_is_turned():
    images, labels = batch((8, 8, 8), size=200)
    moved, _ = turned(images, labels, np.random.default_rng(4), 0.3)
    changed = (moved != images).flatten(1).any(1)

    assert 40 <= int(changed.sum()) <= 80
    assert torch.equal(moved[~changed], images[~changed])


def test_no_share_turns_nothing_and_draws_nothing():
    images, labels = batch((8, 8))
    generator = np.random.default_rng(5)

    same_images, same_labels = turned(images, labels, generator, 0.0)

    assert same_images is images
    assert same_labels is labels
    assert generator.random() == np.random.default_rng(5).random()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_generator_gives_the_same_batch(shape):
    first, second = (augment(*batch(shape), np.random.default_rng(6), 0.5) for _ in range(2))

    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_item_keeps_its_labels_when_flipped_and_shifted():
    images, labels = batch((16, 16, 16))
    _, moved = augment(images, labels, np.random.default_rng(7))

    assert moved.flatten(1).sum(1).tolist() == labels.flatten(1).sum(1).tolist()
