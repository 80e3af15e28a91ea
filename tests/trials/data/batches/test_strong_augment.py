"""nnU-Net's augmentation: each change against batchgeneratorsv2, and what is drawn against its
probabilities.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trials.data.batches.draws import Draws, draw_batch, window_edges
from trials.data.batches.strong_augment import (
    augment_strongly,
    blurred,
    brightened,
    coarsened,
    contrasted,
    mirrored,
    raised,
    turn,
)
from trials.records.spec import Augmentation

PROBABILITIES = tuple(Augmentation.__dataclass_fields__)
NEVER = Augmentation(**dict.fromkeys(PROBABILITIES, 0.0))
# Of batchgeneratorsv2 0.3.6, for wave(8, 9, 10): the voxels PLACES, and the sum of absolute values.
PLACES = ((0, 0, 0), (3, 4, 5), (7, 8, 9), (2, 8, 0))
PEER = {
    "blur": (0.670052, 0.356493, -0.200333, -0.434675, 345.1797),
    "contrast_0.8": (0.23977, 0.204897, 0.276258, -0.396239, 375.3955),
    "contrast_1.2": (0.36023, 0.307919, 0.414962, -0.593785, 550.2935),
    "inverted_gamma_1.4": (0.382911, 0.342486, 0.424457, -0.450318, 470.5796),
    "gamma_1.4": (0.228893, 0.180714, 0.279868, -0.55553, 470.5777),
    "low_resolution_0.6": (0.3, 0.732349, 0.34561, -0.461795, 365.8285),
}
CHANGES = {
    "blur": lambda x: blurred(x, np.array([[0.7, 1.0, 0.6]] * 2)),
    "contrast_0.8": lambda x: contrasted(x, np.array([0.8, 0.8])),
    "contrast_1.2": lambda x: contrasted(x, np.array([1.2, 1.2])),
    "inverted_gamma_1.4": lambda x: -raised(-x, np.array([1.4, 1.4])),
    "gamma_1.4": lambda x: raised(x, np.array([1.4, 1.4])),
    "low_resolution_0.6": lambda x: coarsened(x, np.array([0.6, 0.6])),
}


def wave(*shape: int) -> torch.Tensor:
    numbers = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (torch.sin(numbers * 0.7) + 0.3 * torch.cos(numbers * 0.11)).float().reshape(shape)


def still(batch: int, channels: int = 1, axes: int = 3) -> Draws:
    return draw_batch(NEVER, 0, 0, (batch, channels, *[8] * axes))


def items(count: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = wave(count, 1, *shape)
    return images, (images[:, 0] > 0.5).to(torch.uint8)


@pytest.mark.parametrize("name", PEER)
def test_each_change_has_the_values_of_batchgeneratorsv2_in_every_row(name):
    rows = torch.stack([wave(8, 9, 10)] * 2)

    changed = CHANGES[name](rows)

    for row in changed:
        found = [row[place].item() for place in PLACES]
        assert found == pytest.approx(PEER[name][:4], abs=2e-6)
        assert row.double().abs().sum().item() == pytest.approx(PEER[name][4], abs=1e-3)
    assert torch.equal(rows, torch.stack([wave(8, 9, 10)] * 2))


def test_a_turn_has_the_values_of_batchgeneratorsv2():
    # Rotated by 0.3 about every axis and zoomed by 1.2, from 14 x 14 x 18 to 8 x 8 x 10 voxels.
    matrix = [
        [1.09520137, -0.23866753, 0.42845277],
        [0.33878548, 1.12617148, -0.23866753],
        [-0.35462425, 0.33878548, 1.09520137],
    ]
    draws = dict.fromkeys(Draws.__dataclass_fields__, np.zeros(1))
    draws |= {"turned": np.array([0]), "maps": np.array([matrix])}
    window = wave(1, 14, 14, 18)[None]
    labels = (torch.arange(14 * 14 * 18) * 7 % 11 % 3).reshape(1, 14, 14, 18).to(torch.uint8)
    images, turned = torch.zeros(1, 1, 8, 8, 10), torch.zeros(1, 8, 8, 10, dtype=torch.uint8)

    turn(images, turned, Draws(**draws), (window, labels))

    places = ((1, 2, 3), (3, 4, 5), (7, 7, 9), (6, 1, 8))
    found = [images[0, 0][place].item() for place in places]
    assert found == pytest.approx([0.531048, -0.148019, 0.538064, 0.36438], abs=2e-6)
    assert turned.flatten().bincount().tolist() == [228, 235, 177]
    assert [turned[0][place].item() for place in ((0, 0, 0), (3, 4, 5), (7, 7, 9), (2, 7, 0))] == [
        2,
        1,
        0,
        1,
    ]


def test_a_window_shows_what_lies_beyond_the_patch():
    zoomed_out = np.eye(3)[None] * 1.25
    draws = still(2)
    draws = replace(draws, turned=np.array([1]), maps=zoomed_out)
    coordinates = torch.arange(16.0)[:, None, None].expand(16, 16, 16)
    images = coordinates[4:12, 4:12, 4:12].expand(2, 1, 8, 8, 8)
    labels = (images[:, 0] > 7.5).to(torch.uint8)
    windows = (coordinates[None, None], (coordinates[None] > 7.5).to(torch.uint8))

    moved, moved_labels = augment_strongly(images, labels, draws, windows)

    assert torch.equal(moved[0], images[0])
    along_depth = 7.5 + 1.25 * (torch.arange(8.0) - 3.5)
    torch.testing.assert_close(moved[1, 0, :, 3, 3], along_depth, rtol=0, atol=1e-5)
    assert torch.equal(moved_labels[1, :, 3, 3], (along_depth > 7.5).to(torch.uint8))


@pytest.mark.parametrize("shape", [(8, 6, 10), (8, 6)])
def test_no_draws_change_nothing_and_the_batch_is_never_changed_in_place(shape):
    images, labels = items(3, *shape)
    before = images.clone(), labels.clone()

    for probs in (NEVER, Augmentation()):
        draws = draw_batch(probs, 3, 4, images.shape)
        moved = augment_strongly(images, labels, draws)
        assert torch.equal(images, before[0])
        assert torch.equal(labels, before[1])
        assert [part.shape for part in moved] == [images.shape, labels.shape]
    unchanged = augment_strongly(images, labels, draw_batch(NEVER, 3, 4, images.shape))
    assert all(torch.equal(a, b) for a, b in zip(unchanged, before, strict=True))


def test_an_items_result_depends_on_seed_step_and_item_alone():
    always = Augmentation(**{name: 1.0 for name in NEVER.__dataclass_fields__ if name != "mirror"})
    images, labels = items(3, 8, 8, 8)

    def augmented(seed, step, count):
        draws = draw_batch(always, seed, step, (count, 1, 8, 8, 8))
        return augment_strongly(images[:count], labels[:count], draws)[0]

    torch.testing.assert_close(augmented(1, 2, 3)[:2], augmented(1, 2, 2))
    assert torch.equal(augmented(1, 2, 3), augmented(1, 2, 3))
    assert not torch.allclose(augmented(1, 2, 3), augmented(1, 3, 3))
    assert not torch.allclose(augmented(1, 2, 3), augmented(2, 2, 3))


def test_the_draws_have_nnunets_probabilities_and_ranges():
    draws = draw_batch(Augmentation(), 0, 0, (1500, 2, 8, 8, 8))

    shares = {
        "turned": len(draws.turned) / 1500,
        "mirrored": draws.mirrored.mean(),
        "noise": (draws.noise > 0).mean(),
        "blur": (draws.blur > 0).mean(),
        "brightness": (draws.brightness != 1).mean(),
        "contrast": (draws.contrast != 1).mean(),
        "low_resolution": (draws.low_resolution != 1).mean(),
        "inverted_gamma": (draws.inverted_gamma != 1).mean(),
        "gamma": (draws.gamma != 1).mean(),
    }
    expected = [1 - 0.8**2, 0.5, 0.1, 0.2 / 2, 0.15, 0.15, 0.25 / 2, 0.1, 0.3]
    assert list(shares.values()) == pytest.approx(expected, abs=0.035)
    zooms = np.linalg.det(draws.maps) ** (1 / 3)
    assert (zooms.min(), zooms.max()) == pytest.approx((0.7, 1.4), abs=0.02)
    assert 0.7 < draws.gamma.min() < 0.75 < 1.45 < draws.gamma.max() < 1.5
    assert 0.5 < draws.blur[draws.blur > 0].min() < draws.blur.max() < 1
    assert 0.09 < draws.noise.max() < 0.1


def test_noise_has_the_drawn_deviation_and_its_own_seed():
    images, labels = torch.zeros(2, 1, 16, 16, 16), torch.zeros(2, 16, 16, 16, dtype=torch.uint8)
    draws = draw_batch(replace(NEVER, noise=1.0), 5, 6, images.shape)

    noisy, _ = augment_strongly(images, labels, draws)

    assert noisy.std((1, 2, 3, 4)).tolist() == pytest.approx(draws.noise.tolist(), rel=0.05)
    assert not torch.equal(noisy[0], noisy[1])


def test_brightness_multiplies_and_mirroring_reverses_image_and_labels_alike():
    images, labels = items(2, 4, 5, 6)
    which = np.array([[True, False, True], [False, False, False]])

    bright = brightened(images[:, 0], np.array([1.2, 0.8]))
    flipped, flipped_labels = mirrored(images.clone(), which), mirrored(labels.clone(), which)

    torch.testing.assert_close(bright, images[:, 0] * torch.tensor([1.2, 0.8]).view(2, 1, 1, 1))
    assert torch.equal(flipped, torch.stack([images[0].flip(1, 3), images[1]]))
    assert torch.equal(flipped_labels, torch.stack([labels[0].flip(0, 2), labels[1]]))


def test_a_window_is_that_of_nnunet_with_the_centre_of_its_patch():
    # nnU-Net reads 205 for 128; one more keeps the centre.
    assert window_edges((128, 160, 48)) == (206, 258, 78)
