"""Augmentation moves image and labels together, repeats itself, and samples where torch's and
scipy's functions would.
"""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import trials.data.batches.augment as augment_module
from trials.data.batches.augment import (
    TURN_DEGREES,
    ZOOM,
    augment,
    inverse_maps,
    moves,
    nearest,
    sampling_grid,
    turned,
)

SHAPES = [(12, 14, 16), (20, 18)]
# An edge of 17 voxels is the shortest that is shifted at all.
SHIFTED_SHAPES = [(17, 40, 34), (50, 36)]


class OperationCount(TorchDispatchMode):
    """Counts what torch dispatches, kernels and views alike."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        return function(*args, **kwargs or {})


def batch(shape, size=3):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 1, *shape, generator=generator)
    return images, (images[:, 0] > 0.5).to(torch.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sampling_grid_is_that_of_torch(shape):
    generator = np.random.default_rng(1)
    dims = len(shape)
    matrices = torch.from_numpy(inverse_maps(2, dims, generator)).float()
    theirs = F.affine_grid(
        torch.cat([matrices, torch.zeros(2, dims, 1)], 2), [2, 1, *shape], align_corners=False
    )

    torch.testing.assert_close(
        sampling_grid(matrices, shape, slice(0, shape[0])), theirs, rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        sampling_grid(matrices, shape, slice(5, 9)), theirs[:, 5:9], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_nearest_labels_are_those_of_grid_sample(shape):
    generator = np.random.default_rng(2)
    _, labels = batch(shape)
    matrices = torch.from_numpy(inverse_maps(3, len(shape), generator)).float()
    grid = sampling_grid(matrices, shape, slice(0, shape[0]))
    theirs = F.grid_sample(
        labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False
    )

    assert torch.equal(nearest(labels, grid), theirs[:, 0].to(torch.uint8))


@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_are_augmented_as_the_whole_is(shape, monkeypatch):
    whole = augment(*batch(shape), np.random.default_rng(8), 0.7)

    monkeypatch.setattr(augment_module, "PIECE", 3 * 50)
    pieces = augment(*batch(shape), np.random.default_rng(8), 0.7)

    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turn_is_the_affine_transform_of_scipy(shape):
    images, labels = batch(shape)
    again = np.random.default_rng(9)
    is_chosen = again.random(3) < 0.7
    maps = iter(inverse_maps(int(is_chosen.sum()), len(shape), again))

    moved_images, moved_labels = turned(images, labels, np.random.default_rng(9), 0.7)

    assert 0 < is_chosen.sum() < 3
    edges = np.array(shape)
    for item in range(3):
        if not is_chosen[item]:
            assert torch.equal(moved_images[item], images[item])
            assert torch.equal(moved_labels[item], labels[item])
            continue
        # From -1..1, x first, to voxels in the order of the array, about the centre of the volume.
        matrix = edges[:, None] * next(maps)[::-1, ::-1] / edges
        how = {"offset": (edges - 1) / 2 - matrix @ (edges - 1) / 2, "mode": "nearest"}
        image = ndimage.affine_transform(images[item, 0].double().numpy(), matrix, order=1, **how)
        label = ndimage.affine_transform(labels[item].numpy(), matrix, order=0, **how)
        assert np.abs(moved_images[item, 0].numpy() - image).max() < 1e-4
        assert (moved_labels[item].numpy() == label).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_maps_turn_and_zoom_within_their_limits(dims):
    maps = inverse_maps(500, dims, np.random.default_rng(10))

    zooms = np.linalg.det(maps) ** (-1 / dims)
    turns = maps * zooms[:, None, None]

    assert np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(dims)).max() < 1e-12
    assert 1 - ZOOM <= zooms.min() < 1 - 0.9 * ZOOM
    assert 1 + 0.9 * ZOOM < zooms.max() <= 1 + ZOOM
    # The one entry that is the sine of a single angle, in 2D as in 3D.
    largest = np.degrees(np.arcsin(np.abs(turns[:, -1, 0]).max()))
    assert 0.9 * TURN_DEGREES < largest <= TURN_DEGREES + 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turned_image_and_its_labels_stay_together(shape):
    images = torch.zeros(1, 1, *shape)
    middle = tuple(slice(edge // 4, -(edge // 4)) for edge in shape)
    images[0, 0][middle] = 1.0
    moved_images, moved_labels = turned(
        images, images[:, 0].to(torch.uint8), np.random.default_rng(3), 1.0
    )

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


@pytest.mark.parametrize("shape", SHIFTED_SHAPES)
def test_every_item_is_flipped_shifted_and_scaled_as_numpy_does_it(shape):
    images, labels = batch(shape, size=8)
    again = np.random.default_rng(11)
    is_flipped = again.random((8, 1)) < 0.5
    reach = np.array([math.floor(0.06 * edge) for edge in shape])
    shifts = again.integers(-reach, reach + 1, (8, len(shape)))
    scale, offset = (np.array([1, 0]) + 0.08 * again.standard_normal((8, 2))).astype(np.float32).T

    moved_images, moved_labels = augment(images, labels, np.random.default_rng(11))

    assert 0 < is_flipped.sum() < 8
    assert (shifts != 0).any(0).all()
    axes = tuple(range(len(shape)))
    for item in range(8):
        image, label = images[item, 0].numpy(), labels[item].numpy()
        if is_flipped[item]:
            image, label = np.flip(image, -1), np.flip(label, -1)
        assert np.array_equal(
            moved_images[item, 0], np.roll(image, shifts[item], axes) * scale[item] + offset[item]
        )
        assert np.array_equal(moved_labels[item], np.roll(label, shifts[item], axes))


def test_half_the_items_are_flipped_and_all_are_shifted_within_their_reach():
    rows, columns = moves(1000, [50, 34], np.random.default_rng(12))

    steps = (columns[:, 1] - columns[:, 0]) % 34
    assert set(steps.tolist()) == {1, 33}
    assert 450 < (steps == 33).sum() < 550
    assert set(((rows[:, 0] + 3) % 50).tolist()) == set(range(7))
    assert set(((columns[steps == 1, 0] + 2) % 34).tolist()) == set(range(5))


@pytest.mark.parametrize("rotate_zoom_prob", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(5, 6, 7), (9, 8)])
def test_a_larger_batch_takes_no_more_operations(shape, rotate_zoom_prob):
    numbers = []
    for size in (4, 64):
        images, labels = batch(shape, size)
        with OperationCount() as count:
            augment(images, labels, np.random.default_rng(13), rotate_zoom_prob)
        numbers.append(count.number)

    assert numbers[0] == numbers[1] > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_augmentation_needs_no_value_of_the_batch_on_the_cpu(shape):
    # A meta tensor has no values, so whatever would wait for one raises.
    images, labels = (part.to("meta") for part in batch(shape))

    moved_images, moved_labels = augment(images, labels, np.random.default_rng(14), 1.0)

    assert moved_images.shape == images.shape
    assert moved_labels.dtype == labels.dtype


def test_a_strided_batch_is_augmented_as_its_copy_is():
    images, labels = batch((8, 20, 18))
    strided = (
        images.transpose(2, 4).contiguous().transpose(2, 4),
        labels.transpose(1, 3).contiguous().transpose(1, 3),
    )

    moved, copied = (
        augment(*parts, np.random.default_rng(15), 0.5) for parts in (strided, (images, labels))
    )

    assert all(torch.equal(a, b) for a, b in zip(moved, copied, strict=True))


@pytest.mark.parametrize("shape", SHIFTED_SHAPES)
def test_each_channel_moves_as_it_would_alone(shape):
    images, labels = batch(shape)
    pair = torch.cat([images, 2 * images], 1)

    together, _ = augment(pair, labels, np.random.default_rng(5), 0.5)

    for number in range(2):
        alone, _ = augment(pair[:, [number]], labels, np.random.default_rng(5), 0.5)
        assert torch.equal(together[:, [number]], alone)
