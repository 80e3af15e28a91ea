"""The losses of networks that predict regions, against MONAI, torch and figures by hand."""

import pytest
import torch
from monai.losses import DiceLoss, FocalLoss
from small_jobs import NESTED
from torch.nn import functional as F
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from trials.data.sampling import ClassCounts
from trials.losses import LOSSES, build_target_loss, is_plain_focal, one_minus_beta_range
from trials.records.registry import Entry
from trials.records.targets import Targets
from trials.training.tasks import supervised_loss
from trials.voxel_losses import OnAnnotated

TARGETS = Targets(4, NESTED)
HYPER = {"lr": 1e-3, "gamma": 2.0, "one_minus_beta": 1e-3}


def pair(inside, total=1000, slices=(9, 5)):
    voxels = (total - inside, inside)
    return ClassCounts(voxels=voxels, slices=slices, cases=(3, 2), is_region=True)


# 1000 voxels: 100 of them kidney or mass, 20 mass, 10 tumour.
COUNTS = ClassCounts(
    voxels=(900, 100, 20, 10),
    slices=(9, 5, 5, 5),
    cases=(3, 2, 2, 2),
    regions=(pair(100), pair(20), pair(10)),
)


def loss_of(name, **hyper):
    return build_target_loss(name, COUNTS, HYPER | hyper, TARGETS)


def batch(shape=(2, 3, 4, 5, 3), num_labels=4):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(
        0, num_labels, (shape[0], *shape[2:]), generator=generator, dtype=torch.uint8
    )
    return logits, labels


def masks_of(labels):
    """The regions of NESTED as channels, written out: 1 kidney, 2 tumour, 3 cyst."""
    return torch.stack([labels > 0, labels > 1, labels == 2], 1).double()


def test_combined_is_half_the_dice_of_the_regions_and_half_their_binary_cross_entropy():
    logits, labels = batch()
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=0, smooth_dr=1e-12)

    expected = 0.5 * dice(logits, masks_of(labels)) + 0.5 * bce(logits, masks_of(labels))

    assert float(loss_of("combined")(logits, labels)) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_is_that_of_monai_with_a_sigmoid(gamma):
    logits, labels = batch()

    expected = FocalLoss(gamma=gamma)(logits, masks_of(labels))

    found = loss_of("focal", gamma=gamma)(logits, labels)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        # 1 / 900 and 1 / 100, summing to 2; 1 / 980 and 1 / 20; 1 / 990 and 1 / 10.
        ("weighted_focal", ((0.2, 1.8), (0.04, 1.96), (0.02, 1.98))),
        # By (1 - beta) / (1 - beta^n), beta 0.999: 1 / 624.87 and 1 / 19.811 of the mass.
        ("class_balanced", ((0.276437, 1.723563), (0.061460, 1.938540), (0.031180, 1.968820))),
    ],
)
def test_the_voxels_of_a_region_are_weighed_against_the_rest(name, weights):
    loss, (logits, labels) = loss_of(name, gamma=0.0), batch()
    masks = masks_of(labels)

    assert [pytest.approx(pair, abs=1e-6) for pair in weights] == list(loss.weights)
    rest, inside = torch.tensor(loss.weights, dtype=torch.float64).T[:, None, :, None, None, None]
    expected = bce(logits, masks, weight=rest * (1 - masks) + inside * masks)
    assert float(loss(logits, labels)) == pytest.approx(float(expected), rel=1e-10)


def test_the_effective_numbers_of_a_region_are_those_of_the_formula():
    # Cui et al. 2019, equation 2, for the kidney: 900 voxels of the rest and 100 inside.
    effective = [(1 - 0.999**count) / (1 - 0.999) for count in (900, 100)]
    scale = 2 / sum(1 / number for number in effective)

    found = loss_of("class_balanced").weights[0]

    assert found == pytest.approx([scale / number for number in effective], rel=1e-9)


def test_alpha_is_the_weight_of_the_rest_and_then_of_each_region():
    loss = loss_of("weighted_focal", alpha=(0.3, 1.0, 1.2, 1.5))

    assert loss.weights == ((0.3, 1.0), (0.3, 1.2), (0.3, 1.5))
    with pytest.raises(ValueError, match="one weight for the rest and one for each of 3 regions"):
        loss_of("weighted_focal", alpha=(1.0, 2.0))


def test_a_setting_is_plain_focal_loss_only_if_it_is_so_in_every_region():
    assert one_minus_beta_range(COUNTS) == (1 / 990, 1 / 10)
    # At 0.1 the effective number of 100 voxels and of 900 is 10, that of 10 voxels 6.5.
    assert not is_plain_focal(COUNTS, 0.1)
    assert is_plain_focal(COUNTS, 0.9)
    assert loss_of("class_balanced", one_minus_beta=0.1).weights[0] == pytest.approx(
        (1, 1), abs=1e-4
    )


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_every_loss_is_right_and_it_prefers_the_truth(name):
    loss, (logits, labels) = loss_of(name), batch((1, 3, 3, 2, 2))
    certain = 10 * (2 * masks_of(labels) - 1)

    assert torch.autograd.gradcheck(lambda at: loss(at, labels), logits.requires_grad_())
    assert loss(certain, labels) < loss(-certain, labels)


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_voxels_have_no_gradient_and_no_part_in_the_loss_of_regions(name):
    logits, labels = batch()
    is_ignored = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    wild = logits.masked_fill(is_ignored[:, None], 1e3).requires_grad_()
    one_row = logits.movedim(1, -1)[~is_ignored].T[None], labels[~is_ignored][None]

    value = OnAnnotated(loss_of(name), 4)(wild, labels.masked_fill(is_ignored, 4))
    value.backward()

    assert value.item() == pytest.approx(loss_of(name)(*one_row).item(), rel=1e-12)
    assert not wild.grad.movedim(1, -1)[is_ignored].any()
    assert wild.grad.movedim(1, -1)[~is_ignored].any(1).all()


def test_a_loss_of_ones_own_is_given_each_region_as_two_classes_at_every_resolution(monkeypatch):
    built = []

    def own(counts, smoothing):
        built.append((counts.voxels, counts.is_region))
        return lambda logits, labels: F.cross_entropy(
            logits, labels.long(), label_smoothing=smoothing
        )

    monkeypatch.setitem(LOSSES, "own", Entry(own, tuned=("smoothing",)))
    outputs = [batch((2, 3, 8, 8, 8))[0], batch((2, 3, 4, 4, 4))[0], batch((2, 3, 2, 2, 2))[0]]
    labels = batch((2, 3, 8, 8, 8))[1]

    found = supervised_loss(loss_of("own", smoothing=0.2), outputs, labels)

    # Smoothed over two classes, a mask of 0 and 1 becomes one of 0.1 and 0.9.
    full, half = (masks_of(of) * 0.8 + 0.1 for of in (labels, labels[:, 1::2, 1::2, 1::2]))
    by_hand = (2 * bce(outputs[0], full) + bce(outputs[1], half)) / 3
    assert float(found) == pytest.approx(float(by_hand), rel=1e-12)
    assert built == [((900, 100), True), ((980, 20), True), ((990, 10), True)]


def test_half_precision_and_extreme_logits_stay_finite():
    logits, labels = batch()
    extreme = (logits.sign() * 1e4).bfloat16().requires_grad_()

    for name in LOSSES:
        value = loss_of(name)(extreme, labels)
        (gradient,) = torch.autograd.grad(value, extreme)
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert gradient.isfinite().all()
