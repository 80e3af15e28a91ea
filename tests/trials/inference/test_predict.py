"""From the cube to the case's own grid: equal to interpolating every class at full size, and far
cheaper.
"""

import pytest
import torch
from torch.nn.functional import interpolate

from trials.inference.predict import on_native_grid, summed_on_native_grid


def blobs(num_classes, edge, seed):
    """Smooth random probabilities in which the background wins in most places."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((1, num_classes, 5, 5, 5), generator=generator) * 3
    coarse[:, 0] += 3
    return interpolate(coarse, size=(edge,) * 3, mode="trilinear")[0].softmax(0)


def full_size(probs, shape):
    """The slow way: every class at full size at once."""
    return interpolate(probs[None], size=shape, mode="trilinear", align_corners=False)[0].argmax(0)


@pytest.mark.parametrize("shape", [(40, 77, 51), (16, 16, 16), (9, 33, 20), (1, 5, 64)])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_labels_equal_those_of_interpolating_all_classes(shape, num_classes):
    for seed in range(5):
        probs = blobs(num_classes, 16, seed)

        labels = torch.from_numpy(on_native_grid(probs, shape))

        slow = full_size(probs, shape)
        assert int((labels != slow).sum()) == 0
        assert 0 < int((slow > 0).sum()) < slow.numel()


@pytest.mark.parametrize("shape", [(5, 4, 3), (1, 1, 1), (40, 2, 3), (3, 60, 1)])
def test_a_case_far_smaller_than_the_cube_equals_interpolating_it_too(shape):
    probs = torch.zeros(2, 32, 32, 32)
    probs[0] = 1
    kept = torch.Generator().manual_seed(0)
    # Single voxels, most of which lie between the samples of the small case.
    for d, h, w in torch.randint(0, 32, (3000, 3), generator=kept).tolist():
        probs[:, d, h, w] = torch.tensor([0.0, 1.0])

    labels = torch.from_numpy(on_native_grid(probs, shape))

    assert labels.shape == shape
    assert torch.equal(labels.long(), full_size(probs, shape))


def test_voxels_between_those_of_a_small_case_leave_background():
    probs = torch.zeros(2, 16, 16, 16)
    probs[0] = 1
    probs[:, 0, 0, 0] = torch.tensor([0.0, 1.0])

    assert not on_native_grid(probs, (3, 3, 3)).any()


def test_all_background_stays_background():
    probs = torch.zeros(3, 8, 8, 8)
    probs[0] = 1

    assert not on_native_grid(probs, (20, 30, 10)).any()


def test_a_single_confident_voxel_is_found_again():
    probs = torch.zeros(2, 8, 8, 8)
    probs[0] = 1
    probs[:, 3, 4, 5] = torch.tensor([0.0, 1.0])

    labels = on_native_grid(probs, (24, 24, 24))

    assert labels[3 * 3 + 1, 3 * 4 + 1, 3 * 5 + 1] == 1
    assert labels.sum() == full_size(probs, (24, 24, 24)).sum()


def test_several_grids_are_summed_on_the_native_one():
    shape = (40, 77, 51)
    fine, coarse = blobs(4, 16, 0), blobs(4, 9, 1)

    labels = torch.from_numpy(summed_on_native_grid([fine, coarse], shape))

    slow = sum(
        interpolate(probs[None], size=shape, mode="trilinear")[0] for probs in (fine, coarse)
    )
    assert int((labels != slow.argmax(0)).sum()) == 0
    assert int((labels != full_size(fine, shape)).sum()) > 0
