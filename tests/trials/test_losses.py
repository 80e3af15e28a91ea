"""The losses against closed forms, against MONAI and torch, and at the edges of what floats can
hold.
"""

import math
import subprocess
import sys

import pytest
import torch
from monai.losses import DiceCELoss, FocalLoss
from torch.nn import functional as F

from trials import voxel_losses
from trials.data.sampling import ClassCounts
from trials.losses import (
    LOSSES,
    build_loss,
    class_balanced,
    combined,
    focal,
    weighted_focal,
)

# KiTS23, the paper's 337 training cases on a cube of 128: voxels of background, kidney, tumour,
# cyst.
KITS = ClassCounts(
    voxels=(699_955_698, 5_112_370, 1_581_976, 90_180),
    slices=(43_136, 16_064, 6_421, 2_315),
    cases=(337, 337, 337, 168),
)
HYPER = {"lr": 1e-3, "gamma": 2.0, "one_minus_beta": 1e-6}
GAMMAS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
ALPHA = (0.1, 0.6, 1.3, 2.0)


def random_batch(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (3, 4, 8, 8, 8)):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(
        0, shape[1], (shape[0], *shape[2:]), generator=generator, dtype=torch.uint8
    )
    return logits, labels


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_annotated_voxels_is_that_of_a_batch_without_the_others(name):
    logits, labels = random_batch(shape=(2, 4, 6, 5, 4))
    is_ignored = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    masked = labels.masked_fill(is_ignored, 4)
    one_row = logits.movedim(1, -1)[~is_ignored].T[None].contiguous(), labels[~is_ignored][None]
    wild = logits.masked_fill(is_ignored[:, None], 1e3).requires_grad_()
    loss = build_loss(name, KITS, HYPER)

    value = voxel_losses.OnAnnotated(loss, 4)(wild, masked)
    value.backward()

    assert float(value) == pytest.approx(float(loss(*one_row)), rel=1e-12)
    assert not wild.grad.movedim(1, -1)[is_ignored].any()
    assert wild.grad.movedim(1, -1)[~is_ignored].any(1).all()


def test_a_batch_without_an_annotated_voxel_has_loss_and_gradient_zero():
    logits, labels = random_batch()
    logits.requires_grad_()

    value = voxel_losses.OnAnnotated(build_loss("focal", KITS, HYPER), 4)(logits, labels * 0 + 4)
    value.backward()

    assert value == 0
    assert not logits.grad.any()


def logits_for(labels, certainty=100.0):
    return certainty * F.one_hot(labels.long(), 4).movedim(-1, 1).float()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_prefers_the_truth(name):
    _, labels = random_batch()
    loss = build_loss(name, KITS, HYPER)

    right, wrong = loss(logits_for(labels, 5), labels), loss(logits_for(3 - labels, 5), labels)

    assert right < wrong


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_costs_nothing(name):
    _, labels = random_batch()

    assert build_loss(name, KITS, HYPER)(logits_for(labels), labels).item() == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_added_to_all_logits_changes_nothing(name):
    logits, labels = random_batch()
    loss = build_loss(name, KITS, HYPER)

    assert loss(logits + 7.5, labels).item() == pytest.approx(
        loss(logits, labels).item(), rel=1e-12
    )


@pytest.mark.parametrize("name", LOSSES)
def test_the_scale_of_a_loss_does_not_depend_on_the_batch_size(name):
    logits, labels = random_batch(shape=(1, 4, 6, 6, 6))
    loss = build_loss(name, KITS, HYPER)

    twice = loss(torch.cat([logits, logits]), torch.cat([labels, labels]))

    assert twice.item() == pytest.approx(loss(logits, labels).item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_slices_and_wide_labels_give_the_loss_of_the_same_voxels(name):
    logits, labels = random_batch()
    loss = build_loss(name, KITS, HYPER)

    flat = loss(logits.flatten(3), labels.flatten(2).long())

    assert flat.item() == pytest.approx(loss(logits, labels).item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_float32_scalar_for_half_precision_logits_under_autocast(name):
    logits, labels = random_batch(torch.bfloat16)
    loss = build_loss(name, KITS, HYPER)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(logits, labels)

    assert (half.dtype, half.shape) == (torch.float32, ())
    assert half.item() == loss(logits.float(), labels).item()


def test_a_float16_sum_over_a_whole_cube_does_not_overflow():
    labels = torch.zeros(1, 64, 64, 64, dtype=torch.uint8)
    logits = torch.zeros(1, 4, 64, 64, 64, dtype=torch.float16)

    # p = 1/4: Dice of background 2 (1/4) / (1/4 + 1), of the absent classes 0.
    assert combined(KITS)(logits, labels).item() == pytest.approx(
        0.5 * (1 - 0.4 / 4) + 0.5 * math.log(4), rel=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_stay_finite_for_extreme_logits(name, gamma, dtype):
    logits, labels = random_batch(torch.float32)
    extreme = (logits.sign() * 1e4).to(dtype)
    extreme[0] = (logits_for(labels[:1]) * 100)[0]
    extreme.requires_grad_()

    value = build_loss(name, KITS, HYPER | {"gamma": gamma})(extreme, labels)
    value.backward()

    assert torch.isfinite(value)
    assert torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize(
    "loss",
    [
        combined(KITS),
        focal(KITS, 2.0),
        focal(KITS, 0.5),
        weighted_focal(KITS, 2.0, ALPHA),
        class_balanced(KITS, 1e-6, 2.0),
    ],
    ids=["combined", "focal", "focal below 1", "weighted_focal", "class_balanced"],
)
def test_gradients_are_the_derivatives(loss):
    logits, labels = random_batch(shape=(2, 4, 3, 2, 2))

    assert torch.autograd.gradcheck(lambda logits: loss(logits, labels), logits.requires_grad_())


def test_combined_equals_monai_dice_and_cross_entropy_over_the_pooled_batch():
    logits, labels = random_batch()
    labels[1][labels[1] == 3] = 0
    theirs = DiceCELoss(
        softmax=True,
        to_onehot_y=True,
        batch=True,
        lambda_dice=0.5,
        lambda_ce=0.5,
        smooth_nr=0,
        smooth_dr=1e-12,
    )

    expected = theirs(logits, labels.unsqueeze(1).long())

    assert combined(KITS)(logits, labels).item() == pytest.approx(expected.item(), abs=1e-14)


@pytest.mark.parametrize(
    "piece", [5, 20, 10_000], ids=["parts of a volume", "one item", "all at once"]
)
@pytest.mark.parametrize(
    "loss", [combined(KITS), weighted_focal(KITS, 2.0, ALPHA)], ids=["combined", "weighted_focal"]
)
def test_the_pieces_of_a_batch_make_no_difference(monkeypatch, loss, piece):
    logits, labels = random_batch(shape=(3, 4, 3, 2, 3))
    whole = loss(at := logits.clone().requires_grad_(), labels)
    (by_logits,) = torch.autograd.grad(whole, at)

    monkeypatch.setattr(voxel_losses, "CPU_CHUNK_VOXELS", piece)
    value = loss(
        in_pieces := logits.to(memory_format=torch.channels_last_3d).requires_grad_(), labels
    )
    value.backward()

    assert value.item() == pytest.approx(whole.item(), rel=1e-12)
    torch.testing.assert_close(in_pieces.grad, by_logits, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize(
    ("loss", "planes"), [(combined(KITS), 0), (focal(KITS, 2.0), 1)], ids=["combined", "focal"]
)
def test_a_loss_keeps_no_probabilities_for_its_gradient(loss, planes):
    logits, labels = random_batch(torch.float32)
    kept: dict[int, torch.Tensor] = {}

    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.setdefault(tensor.data_ptr(), tensor), lambda kept: kept
    ):
        loss(logits.requires_grad_(), labels)

    large = [
        tensor
        for place, tensor in kept.items()
        if tensor.numel() >= labels.numel() and place != logits.data_ptr()
    ]
    assert (
        sum(tensor.numel() for tensor in large if tensor.is_floating_point())
        == planes * labels.numel()
    )


def test_float32_bears_the_sums_over_a_whole_cube():
    logits, labels = random_batch(torch.float32, (1, 4, 64, 64, 64))

    for loss in (combined(KITS), focal(KITS, 2.0)):
        assert loss(logits, labels).item() == pytest.approx(
            loss(logits.double(), labels).item(), rel=2e-7
        )


def test_combined_has_the_gradient_of_monai():
    logits, labels = random_batch()
    theirs = DiceCELoss(
        softmax=True,
        to_onehot_y=True,
        batch=True,
        lambda_dice=0.5,
        lambda_ce=0.5,
        smooth_nr=0,
        smooth_dr=1e-12,
    )
    ours_at, theirs_at = logits.clone().requires_grad_(), logits.clone().requires_grad_()

    combined(KITS)(ours_at, labels).backward()
    theirs(theirs_at, labels.unsqueeze(1).long()).backward()

    torch.testing.assert_close(ours_at.grad, theirs_at.grad, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_focal_equals_monai_times_the_number_of_classes(gamma):
    logits, labels = random_batch()
    theirs = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma)

    expected = 4 * theirs(logits, labels.unsqueeze(1))

    assert focal(KITS, gamma)(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_weighted_focal_equals_monai_with_the_same_weights():
    logits, labels = random_batch()
    theirs = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0, weight=torch.tensor(ALPHA))

    expected = 4 * theirs(logits, labels.unsqueeze(1))

    assert weighted_focal(KITS, 2.0, ALPHA)(logits, labels).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_focal_at_gamma_zero_is_cross_entropy():
    logits, labels = random_batch()

    expected = F.cross_entropy(logits, labels.long())

    assert focal(KITS, 0.0)(logits, labels).item() == pytest.approx(expected.item(), abs=1e-12)


def test_weighted_focal_at_gamma_zero_is_cross_entropy_summed_and_divided_by_the_voxels():
    logits, labels = random_batch()

    expected = F.cross_entropy(
        logits, labels.long(), weight=torch.tensor(ALPHA, dtype=torch.float64), reduction="sum"
    )

    assert weighted_focal(KITS, 0.0, ALPHA)(logits, labels).item() == pytest.approx(
        expected.item() / labels.numel(), abs=1e-12
    )


def test_weights_of_one_are_no_weights():
    logits, labels = random_batch()

    assert weighted_focal(KITS, 2.0, (1, 1, 1, 1))(logits, labels) == focal(KITS, 2.0)(
        logits, labels
    )


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [(0, 1.3862943611), (1, 1.0397207708), (2, 0.7797905781), (5, 0.3289741502)],
)
def test_focal_of_four_equal_logits_has_the_closed_form(gamma, expected):
    _, labels = random_batch()

    assert focal(KITS, gamma)(torch.zeros(3, 4, 8, 8, 8).double(), labels).item() == pytest.approx(
        expected, abs=1e-10
    )


def test_permuting_classes_with_their_weights_changes_nothing():
    logits, labels = random_batch()
    order = torch.tensor([2, 0, 3, 1])
    permuted = torch.argsort(order)[labels.long()]
    weights = [ALPHA[i] for i in order]

    assert weighted_focal(KITS, 2.0, weights)(logits[:, order], permuted).item() == pytest.approx(
        weighted_focal(KITS, 2.0, ALPHA)(logits, labels).item(), rel=1e-12
    )
    assert combined(KITS)(logits[:, order], permuted).item() == pytest.approx(
        combined(KITS)(logits, labels).item(), rel=1e-12
    )


def test_a_class_absent_from_the_batch_has_dice_zero():
    labels = torch.tensor([[0, 1]], dtype=torch.uint8)
    logits = torch.full((1, 3, 2), -200.0)
    logits[0, 0, 0] = logits[0, 1, 1] = 200.0

    # Both present classes are perfect, the third is neither there nor predicted: (1 + 1 + 0) / 3.
    assert combined(KITS)(logits, labels).item() == pytest.approx(0.5 * (1 - 2 / 3), abs=1e-6)


def test_reading_the_registry_loads_no_torch():
    script = (
        "import sys, trials.losses, trials.data.sampling, trials.models.registry; "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
