"""Deep supervision against a hand computation, torch and nnU-Net's, for every loss."""

import pytest
import torch
from torch.nn import functional as F

from trials.data.sampling import ClassCounts
from trials.losses import LOSSES, build_loss
from trials.training.tasks import downsampled, output_weights, supervised_loss

COUNTS = ClassCounts(voxels=(9000, 900, 100), slices=(90, 30, 10), cases=(9, 9, 5))
HYPER = {"gamma": 2.0, "one_minus_beta": 1e-3}


def waves(edge: int) -> torch.Tensor:
    numbers = torch.arange(2 * 3 * edge**3, dtype=torch.float64)
    return torch.sin(numbers * 0.37 * edge).reshape(2, 3, edge, edge, edge)


def stripes(edge: int = 16) -> torch.Tensor:
    return (torch.arange(2 * edge**3) * 7 % 11 % 3).reshape(2, edge, edge, edge)


def test_each_output_weighs_half_of_the_one_before_and_the_lowest_nothing():
    assert output_weights(1) == [1]
    assert output_weights(2) == [1, 0]
    assert output_weights(4) == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0])


def test_the_loss_is_that_of_nnunet():
    # nnunetv2 2.8.1: DeepSupervisionWrapper over its own downsampled labels, weights 1, 1/2, 1/4, 0
    # over their sum.
    outputs = [waves(edge) for edge in (16, 8, 4, 2)]

    found = supervised_loss(F.cross_entropy, outputs, stripes())

    assert found.item() == pytest.approx(1.2723859514680977, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_the_weighted_sum_by_hand_and_its_gradient_reaches_all_but_the_lowest(name):
    loss = build_loss(name, COUNTS, HYPER)
    outputs = [waves(edge).requires_grad_() for edge in (8, 4, 2)]
    labels = stripes(8)

    found = supervised_loss(loss, outputs, labels)
    found.backward()

    by_hand = (2 * loss(outputs[0], labels) + loss(outputs[1], labels[:, 1::2, 1::2, 1::2])) / 3
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-12)
    assert [output.grad is not None for output in outputs] == [True, True, False]


@pytest.mark.parametrize("name", LOSSES)
def test_a_network_of_one_output_has_the_loss_itself(name):
    loss = build_loss(name, COUNTS, HYPER)

    assert torch.equal(supervised_loss(loss, [waves(8)], stripes(8)), loss(waves(8), stripes(8)))


@pytest.mark.parametrize("edges", [(8, 8, 8), (16, 4, 2), (5, 7, 12)])
def test_labels_are_downsampled_as_torch_does_by_nearest_exact(edges):
    labels = stripes()

    theirs = F.interpolate(labels[:, None].double(), edges, mode="nearest-exact")[:, 0]

    assert torch.equal(downsampled(labels, edges), theirs.long())
