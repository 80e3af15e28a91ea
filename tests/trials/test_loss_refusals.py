"""What no loss takes: labels that do not fit the logits, and numbers outside their formula."""

import pytest
from test_losses import HYPER, KITS, random_batch

from trials.losses import LOSSES, build_loss, combined, focal


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("label", [4, 7, -1])
def test_a_label_out_of_range_is_refused_by_its_value(name, label):
    logits, labels = random_batch()
    labels = labels.long()
    labels[0, 0, 0, 0] = label

    with pytest.raises(ValueError, match=rf"0\.\.3; got {label}"):
        build_loss(name, KITS, HYPER)(logits, labels)


def test_labels_with_a_channel_or_with_fractions_are_refused():
    logits, labels = random_batch()

    with pytest.raises(ValueError, match=r"shape \[3, 8, 8, 8\]"):
        combined(KITS)(logits, labels.unsqueeze(1))
    with pytest.raises(ValueError, match=r"torch\.float32"):
        focal(KITS, 2.0)(logits, labels.float())


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("focal", {"lr": 1e-3}, "'focal' needs gamma; got lr"),
        ("focal", {"gamma": -0.5}, "gamma must be at least 0; got -0.5"),
        ("class_balanced", {"gamma": 2.0, "one_minus_beta": 0.0}, r"must lie in \(0, 1\]; got 0.0"),
        (
            "weighted_focal",
            {"gamma": 2.0, "alpha": (1.0, 2.0)},
            "one weight for each of 4 classes; got 2",
        ),
        ("weighted_focal", {"gamma": 2.0, "alpha": (1.0, 2.0, -1.0, 1.0)}, "at least 0"),
    ],
)
def test_illegal_hyperparameters_are_refused(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        build_loss(name, KITS, hyper)
