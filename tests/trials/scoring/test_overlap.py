"""Counts, and the ratios derived from them, on boxes whose answer is known by hand."""

import math

import numpy as np
import pytest
import torch

from trials.records.result import dice, headline, iou
from trials.scoring.decision import device_labels, labels_of
from trials.scoring.overlap import (
    case_scores,
    device_counts,
    label_counts,
    mean_dice_by_label,
    read_counts,
)


def box(start, edge=4, size=12):
    labels = np.zeros((size,) * 3, np.uint8)
    labels[start : start + edge, 2 : 2 + edge, 2 : 2 + edge] = 1
    return labels


def test_dice_of_a_box_shifted_by_half_is_one_half_and_iou_one_third():
    counts = label_counts(box(2), box(4), 2)

    assert counts[1].tolist() == [64, 64, 32]
    assert dice(*map(int, counts[1])) == 0.5
    assert iou(*map(int, counts[1])) == pytest.approx(1 / 3)


def test_counts_of_all_labels_sum_to_the_voxels():
    generator = np.random.default_rng(0)
    pred, true = generator.integers(0, 4, (2, 9, 10, 11)).astype(np.uint8)

    counts = label_counts(pred, true, 4)

    assert counts[:, 0].sum() == counts[:, 1].sum() == pred.size
    for label in range(4):
        assert counts[label].tolist() == [
            (true == label).sum(),
            (pred == label).sum(),
            ((true == label) & (pred == label)).sum(),
        ]


def test_voxels_labelled_k_count_nowhere_on_either_device_path():
    generator = np.random.default_rng(0)
    pred, true = generator.integers(0, 4, (2, 9, 10, 11)).astype(np.uint8)
    logits = torch.nn.functional.one_hot(torch.from_numpy(pred % 3).long(), 3).movedim(-1, 0)

    counts = label_counts(pred % 3, true, 3)

    kept = true < 3
    assert counts.tolist() == label_counts((pred % 3)[kept][None], true[kept][None], 3).tolist()
    assert counts[:, 0].sum() == counts[:, 1].sum() == kept.sum()
    on_device = device_counts(logits[None].float(), torch.from_numpy(true)[None], 3)
    assert on_device[0].tolist() == counts.tolist()


def test_ratios_of_nothing_are_not_numbers():
    assert math.isnan(dice(0, 0, 0))
    assert math.isnan(iou(0, 0, 0))
    assert dice(5, 0, 0) == 0
    assert dice(0, 5, 0) == 0


def test_dice_and_iou_agree_by_their_identity():
    generator = np.random.default_rng(1)
    for true_voxels, pred_voxels in generator.integers(1, 1000, (200, 2)):
        overlap = int(generator.integers(0, min(true_voxels, pred_voxels) + 1))
        of_iou = iou(int(true_voxels), int(pred_voxels), overlap)
        assert dice(int(true_voxels), int(pred_voxels), overlap) == pytest.approx(
            2 * of_iou / (1 + of_iou), abs=1e-15
        )


def test_argmax_takes_the_lowest_label_of_equal_scores_and_equals_torch():
    logits = torch.randn((5, 6, 7, 8), generator=torch.Generator().manual_seed(0))

    assert torch.equal(labels_of(logits).long(), logits.argmax(0))
    assert not labels_of(torch.ones(4, 2, 2, 2)).any()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_output_does_not_pass_for_background(value):
    logits = torch.zeros(3, 4, 4, 4)
    logits[1, 2, 3, 0] = value

    with pytest.raises(FloatingPointError):
        labels_of(logits)


def tied_batch(shape, num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    logits = torch.randint(-2, 3, (3, num_classes, *shape), generator=generator).float()
    return logits, torch.randint(
        0, num_classes, (3, *shape), generator=generator, dtype=torch.uint8
    )


@pytest.mark.parametrize("shape", [(9, 10, 11), (30, 33)])
@pytest.mark.parametrize("num_classes", [2, 3, 4, 5])
def test_counts_on_the_device_are_those_of_the_labels(shape, num_classes):
    logits, labels = tied_batch(shape, num_classes)

    counts = device_counts(logits, labels, num_classes)

    assert counts.dtype == torch.int64
    for item, (scores, true) in enumerate(zip(logits, labels, strict=True)):
        pred = labels_of(scores)
        assert torch.equal(pred.long(), scores.argmax(0))
        assert np.array_equal(
            counts[item].numpy(), label_counts(pred.numpy(), true.numpy(), num_classes)
        )


def test_counts_of_strided_logits_are_those_of_their_copy():
    logits, labels = tied_batch((6, 7, 8), 4)
    strided = logits.movedim(2, 4).contiguous().movedim(4, 2)

    assert torch.equal(device_counts(strided, labels, 4), device_counts(logits, labels, 4))


def test_counts_on_the_device_need_no_value_on_the_cpu():
    # A meta tensor has no values, so whatever would wait for one raises.
    logits, labels = tied_batch((6, 7, 8), 4)

    assert device_counts(logits.to("meta"), labels.to("meta"), 4).shape == (3, 4, 3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_counts_of_a_diverged_item_cannot_be_read(value):
    logits, labels = tied_batch((6, 7, 8), 4)
    logits[1, 2, 3, 0, 5] = value

    _, is_finite = device_labels(logits)
    counts = device_counts(logits, labels, 4)

    assert is_finite.tolist() == [True, False, True]
    assert read_counts(counts[::2]).sum() > 0
    for unreadable in (counts, counts.sum(0)):
        with pytest.raises(FloatingPointError, match="not finite"):
            read_counts(unreadable)


def test_mean_dice_is_over_the_cases_that_hold_the_label():
    held = label_counts(box(2), box(4), 3)
    empty = label_counts(box(2), np.zeros_like(box(2)), 3)

    means = mean_dice_by_label([held, empty], ["a", "b"])

    assert means == {1: 0.5, 2: None}
    assert headline(means) == 0.5


def test_a_patients_scans_are_averaged_before_the_patients():
    # Patient a's scans have a Dice of 1 and 0, and one that lacks the label; b's scan has 1.
    scans = [box(2), box(2), np.zeros_like(box(2)), box(2)]
    counts = [
        label_counts(pred, true, 2)
        for pred, true in zip([box(2), np.zeros_like(box(2)), box(2), box(2)], scans, strict=True)
    ]

    assert mean_dice_by_label(counts, ["a", "a", "a", "b"]) == {1: 0.75}
    assert mean_dice_by_label(counts, ["a", "b", "c", "d"]) == {1: pytest.approx(2 / 3)}


def test_scores_keep_the_counts_of_every_label():
    scores = case_scores(label_counts(box(2), box(4), 2), "case_00001", "test", "prepared")

    assert [
        (score.label, score.true_voxels, score.pred_voxels, score.overlap_voxels)
        for score in scores
    ] == [
        (0, 12**3 - 64, 12**3 - 64, 12**3 - 96),
        (1, 64, 64, 32),
    ]
