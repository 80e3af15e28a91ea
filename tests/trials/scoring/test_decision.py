"""Labels from the channels of a network that predicts regions, and their counts, against a table by
hand, nnU-Net's rules and torch.
"""

import numpy as np
import pytest
import torch
from small_jobs import NESTED
from torch.nn.functional import interpolate

from trials.inference.predict import on_native_grid, slabs_on_native_grid, summed_on_native_grid
from trials.records.targets import Targets
from trials.scoring.decision import certainty, labels_of
from trials.scoring.overlap import device_counts, label_counts

ORDER = Targets(4, NESTED).order


def nnunet_labels(probs):
    """nnU-Net's convert_probabilities_to_segmentation: later regions overwrite, above 1/2."""
    labels = np.zeros(probs.shape[1:], np.uint8)
    for region, label in zip(probs, (1, 3, 2), strict=True):
        labels[np.asarray(region) > 0.5] = label
    return labels


def waves(shape):
    numbers = torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape)
    return 4 * torch.sin(numbers * 0.37) + torch.cos(numbers * 0.011)


@pytest.mark.parametrize(
    ("kidney_and_mass", "mass", "tumor", "label"),
    [
        (0.4, 0.4, 0.4, 0),
        (0.6, 0.4, 0.4, 1),
        (0.6, 0.6, 0.4, 3),
        (0.6, 0.6, 0.6, 2),
        # Regions that do not lie in one another: the last one counts.
        (0.4, 0.6, 0.4, 3),
        (0.4, 0.4, 0.6, 2),
        (0.6, 0.4, 0.6, 2),
        (0.4, 0.6, 0.6, 2),
        # One half is not above one half.
        (0.5, 0.5, 0.5, 0),
        (0.6, 0.5, 0.5, 1),
    ],
)
def test_a_voxel_takes_the_label_of_the_last_region_above_one_half(
    kidney_and_mass, mass, tumor, label
):
    probs = torch.tensor([kidney_and_mass, mass, tumor], dtype=torch.float64)[:, None]

    assert labels_of(certainty(probs.logit(), ORDER), ORDER).tolist() == [label]
    assert labels_of(probs.logit(), ORDER).tolist() == [label]
    assert nnunet_labels(probs).tolist() == [label]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_diverged_network_predicts_no_region(value):
    logits = torch.zeros(3, 2, 2)
    logits[1, 0, 0] = value

    for decide in (labels_of, certainty):
        with pytest.raises(FloatingPointError, match="not finite"):
            decide(logits, ORDER)


def test_counts_of_regions_are_those_of_nnunets_evaluation():
    true = np.random.default_rng(0).integers(0, 5, (6, 5, 4)).astype(np.uint8)
    logits = waves((3, 6, 5, 4))
    pred = labels_of(logits, ORDER).numpy()

    counts = label_counts(pred, true, 4, NESTED)

    # nnU-Net's compute_metrics: the masks are unions of labels, ignored voxels (4) are in neither.
    for found, region in zip(counts, [(0,), (1, 2, 3), (2, 3), (2,)], strict=True):
        in_true, in_pred = (np.isin(of, region) & (true != 4) for of in (true, pred))
        assert found.tolist() == [in_true.sum(), in_pred.sum(), (in_true & in_pred).sum()]
    on_device = device_counts(logits[None], torch.from_numpy(true)[None], 4, NESTED)
    assert on_device[0].tolist() == counts.tolist()


def test_a_label_in_no_region_is_background():
    true, pred = np.array([[[0, 1, 2, 3]]], np.uint8), np.array([[[0, 0, 2, 0]]], np.uint8)

    assert label_counts(pred, true, 4, NESTED[2:]).tolist() == [[3, 3, 3], [1, 1, 1]]


@pytest.mark.parametrize("shape", [(9, 14, 11), (3, 4, 5), (6, 7, 8)])
def test_probabilities_of_regions_are_interpolated_before_they_become_labels(shape):
    logits = waves((3, 6, 7, 8))
    values = certainty(logits, ORDER)

    whole = on_native_grid(values, shape, ORDER)
    slabs = slabs_on_native_grid(values.split((2, 3, 1), 1), (6, 7, 8), shape, ORDER)

    fine = interpolate(logits.sigmoid()[None], shape, mode="trilinear", align_corners=False)[0]
    assert np.array_equal(whole, slabs)
    is_near = ((fine - 0.5).abs() < 1e-5).any(0).numpy()
    assert np.array_equal(whole[~is_near], nnunet_labels(fine)[~is_near])
    assert set(np.unique(whole)) == {0, 1, 2, 3}


def test_an_ensemble_has_the_labels_of_the_mean_probability():
    several, shape = [waves((3, 6, 7, 8)), waves((3, 4, 5, 5)).neg()], (9, 8, 7)

    found = summed_on_native_grid([certainty(one, ORDER) for one in several], shape, ORDER)

    fine = [
        interpolate(one.sigmoid()[None], shape, mode="trilinear", align_corners=False)[0]
        for one in several
    ]
    mean = (fine[0] + fine[1]) / 2
    is_near = ((mean - 0.5).abs() < 1e-5).any(0).numpy()
    assert np.array_equal(found[~is_near], nnunet_labels(mean)[~is_near])
