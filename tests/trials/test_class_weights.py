"""The weights of classes by their counts, on KiTS23's own: from equal to inverse frequency, and
what is refused.
"""

import pytest
from test_losses import ALPHA, HYPER, KITS, random_batch

from trials.data.sampling import ClassCounts
from trials.losses import (
    build_loss,
    class_balanced,
    class_balanced_weights,
    focal,
    inverse_frequency_weights,
    is_plain_focal,
    one_minus_beta_range,
    weighted_focal,
)


@pytest.mark.parametrize(
    ("one_minus_beta", "expected"),
    [
        (1e-4, (0.99997, 0.99997, 0.99997, 1.00009)),
        (1e-5, (0.854, 0.854, 0.854, 1.438)),
        (1e-6, (0.269, 0.271, 0.339, 3.121)),
        (1e-7, (0.0329, 0.0821, 0.2246, 3.660)),
        (1e-8, (0.00335, 0.0672, 0.2134, 3.716)),
        (1e-9, (0.00067, 0.0658, 0.2123, 3.721)),
    ],
)
def test_class_balanced_weights_on_the_voxels_of_kits(one_minus_beta, expected):
    weights = class_balanced_weights(KITS, one_minus_beta)

    assert weights == pytest.approx(expected, rel=2e-3, abs=5e-6)
    assert sum(weights) == pytest.approx(4, rel=1e-15)


@pytest.mark.parametrize("exponent", range(1, 19))
def test_class_balanced_weights_equal_those_of_sixty_digits(exponent):
    mpmath = pytest.importorskip("mpmath")
    weights = class_balanced_weights(KITS, 10.0**-exponent)

    with mpmath.workdps(60):
        small = mpmath.mpf(10.0**-exponent)
        raw = [small / (1 - (1 - small) ** count) for count in KITS.voxels]
        expected = [float(4 * weight / sum(raw)) for weight in raw]

    assert weights == pytest.approx(expected, rel=1e-14)


def test_class_balanced_weights_reach_from_equal_to_inverse_frequency():
    assert class_balanced_weights(KITS, 1.0) == (1, 1, 1, 1)
    assert class_balanced_weights(KITS, 1e-18) == pytest.approx(
        inverse_frequency_weights(KITS), rel=1e-9
    )


def test_class_balanced_focal_with_equal_weights_is_focal():
    logits, labels = random_batch()

    weighted = weighted_focal(KITS, 2.0, class_balanced_weights(KITS, 1.0))

    assert weighted(logits, labels) == focal(KITS, 2.0)(logits, labels)


def test_the_unit_of_the_counts_changes_the_weights():
    slices = ClassCounts(voxels=KITS.voxels, slices=KITS.slices, cases=KITS.cases, unit="slices")
    cases = ClassCounts(voxels=KITS.voxels, slices=KITS.slices, cases=KITS.cases, unit="cases")

    assert class_balanced_weights(slices, 1e-4) == pytest.approx(
        (0.440, 0.543, 0.916, 2.101), rel=2e-3
    )
    assert class_balanced_weights(cases, 1e-3) == pytest.approx(
        (0.825, 0.825, 0.825, 1.526), rel=2e-3
    )


def test_a_class_without_voxels_weighs_nothing_and_leaves_the_others_alone():
    with_empty = ClassCounts(voxels=(900, 90, 0, 10), slices=(1, 1, 0, 1), cases=(1, 1, 0, 1))
    without = ClassCounts(voxels=(900, 90, 10), slices=(1, 1, 1), cases=(1, 1, 1))

    for weights in (inverse_frequency_weights, lambda counts: class_balanced_weights(counts, 1e-2)):
        background, kidney, empty, cyst = weights(with_empty)
        assert empty == 0
        assert (background, kidney, cyst) == pytest.approx(weights(without), rel=1e-15)
        assert background + kidney + cyst == pytest.approx(3)


def test_the_useful_range_of_beta_lies_between_the_inverse_counts():
    low, high = one_minus_beta_range(KITS)

    assert (low, high) == (1 / 699_955_698, 1 / 90_180)
    assert not is_plain_focal(KITS, low)
    assert not is_plain_focal(KITS, high)


@pytest.mark.parametrize("one_minus_beta", [1e-1, 1e-2, 1e-3, 1e-4])
def test_a_class_balanced_loss_that_is_plain_focal_is_refused_with_the_range_that_works(
    one_minus_beta,
):
    with pytest.raises(
        ValueError, match=r"which is the focal loss; .* between 1\.4e-09 and 1\.1e-05"
    ):
        class_balanced(KITS, one_minus_beta, 2.0)


def test_classes_of_equal_count_are_refused_with_a_hint_at_the_unit():
    counts = ClassCounts(voxels=(900, 100), slices=(9, 5), cases=(8, 8), unit="cases")

    with pytest.raises(ValueError, match="another class_unit"):
        class_balanced(counts, 1e-2, 2.0)


def test_the_weights_in_use_can_be_read_from_the_loss():
    assert build_loss("class_balanced", KITS, HYPER).weights == class_balanced_weights(KITS, 1e-6)
    assert build_loss("weighted_focal", KITS, HYPER).weights == inverse_frequency_weights(KITS)
    assert build_loss("weighted_focal", KITS, HYPER | {"alpha": ALPHA}).weights == ALPHA
