"""Each convention against its library's own function, on six cases that hold every way of being
empty; ranks by hand.
"""

import numpy as np
import pytest
from made_up import MadeUp, holds, write_run

from reports.build import build_report
from reports.sections.conventions import changes
from reports.stats.conventions import CONVENTIONS, kits_rank, mean_then_rank, rank_then_mean

# Reference and prediction, a digit a voxel. Label 3: in both, in neither, missed, made up, made up,
# in neither.
CASES = (
    ("1111222033300000", "1110222233000000"),
    ("1111112220000000", "1111100222200000"),
    ("1111000022203300", "1111100022200000"),
    ("1100000022000000", "1100000022000030"),
    ("1111100000000000", "1111000000000033"),
    ("0000000000000000", "0000000000000000"),
)
# Of nnunetv2 2.6.2, compute_metrics_on_folder: mean Dice of the labels, and foreground_mean.
NNUNET = ([0.908802308802309, 0.8571428571428571, 0.2], 0.6553150553150553)
# Of kits23 0.1.4, compute_metrics_for_label of each label, and their means over the cases.
KITS = (
    [[6 / 7, 6 / 7, 0.8], [10 / 11, 4 / 7, 1], [8 / 9, 1, 0], [1, 1, 0], [8 / 9, 1, 0], [1, 1, 1]],
    [0.924001924001924, 0.9047619047619048, 0.4666666666666666],
)


def volumes():
    return (np.array([[int(voxel) for voxel in case[side]] for case in CASES]) for side in (0, 1))


def counts():
    true, pred = volumes()
    masks = [np.stack([labels == label for label in (1, 2, 3)], axis=-1) for labels in (true, pred)]
    return [mask.sum(axis=1) for mask in (*masks, masks[0] & masks[1])]


def test_all_four_ways_of_being_empty_occur():
    true, pred, _ = counts()

    assert {(bool(t), bool(p)) for t, p in zip(true[:, 2], pred[:, 2], strict=True)} == {
        (a, b) for a in (0, 1) for b in (0, 1)
    }


def test_nnunets_means_are_its_own():
    by_label, over_all = NNUNET

    assert CONVENTIONS["nnunet"].by_label(*counts()) == pytest.approx(by_label, abs=1e-12)
    assert CONVENTIONS["nnunet"].over_all(*counts()) == pytest.approx(over_all, abs=1e-12)


def test_kits_scores_and_means_are_the_challenges_own():
    by_case, by_label = KITS

    assert CONVENTIONS["kits"].by_case(*counts()) == pytest.approx(np.array(by_case), abs=1e-12)
    assert CONVENTIONS["kits"].by_label(*counts()) == pytest.approx(by_label, abs=1e-12)


def test_monais_means_are_its_own():
    import torch
    from monai.metrics import DiceMetric

    true, pred = (
        torch.stack([torch.as_tensor(labels == k) for k in range(4)], 1).double()
        for labels in volumes()
    )
    theirs = {}
    for reduction in ("mean", "mean_batch"):
        metric = DiceMetric(include_background=False, reduction=reduction)
        metric(pred, true)
        theirs[reduction] = metric.aggregate().numpy()

    assert CONVENTIONS["monai"].by_label(*counts()) == pytest.approx(theirs["mean_batch"], rel=1e-6)
    assert CONVENTIONS["monai"].over_all(*counts()) == pytest.approx(
        theirs["mean"].item(), rel=1e-6
    )
    # Within each patient first: not the mean of the labels' means.
    assert CONVENTIONS["positives"].over_all(*counts()) != pytest.approx(
        theirs["mean"].item(), rel=1e-3
    )


def test_positives_only_leave_the_other_cases_out():
    by_case = CONVENTIONS["positives"].by_case(*counts())[:, 2]

    assert np.isnan(by_case).tolist() == [False, True, False, True, True, True]
    assert CONVENTIONS["positives"].by_label(*counts())[2] == pytest.approx((0.8 + 0) / 2)


def test_pooled_voxels_are_one_volume():
    true, pred, overlap = counts()

    assert CONVENTIONS["pooled"].by_label(true, pred, overlap)[2] == 2 * 2 / (5 + 5)
    assert CONVENTIONS["pooled"].by_case is None


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_perfect_prediction_scores_one_and_nothing_anywhere_is_no_number_or_one(name):
    true = np.array([[4, 0], [2, 0]])

    by_label = CONVENTIONS[name].by_label(true, true, true)

    assert by_label[0] == 1
    assert by_label[1] == 1 if name == "kits" else np.isnan(by_label[1])


def test_who_never_predicts_a_cyst_scores_as_the_conventions_say():
    # The published test split: a cyst in 44 of 81 cases.
    true = np.array([[100]] * 44 + [[0]] * 37)
    nothing = np.zeros_like(true)

    scores = {
        name: float(convention.by_label(true, nothing, nothing)[0])
        for name, convention in CONVENTIONS.items()
    }

    assert scores == {
        "positives": 0,
        "kits": pytest.approx(37 / 81),
        "nnunet": 0,
        "monai": 0,
        "pooled": 0,
    }


def test_equal_means_share_the_better_place_and_no_mean_has_none():
    assert mean_then_rank(np.array([0.5, 0.7, 0.5, np.nan])).tolist()[:3] == [2, 1, 2]
    assert np.isnan(mean_then_rank(np.array([np.nan]))[0])


def test_ranking_within_cases_may_turn_the_order_around():
    # The second is better by a hair in two of three patients, the first by far in one.
    by_case = np.array([[[0.50], [0.50], [0.9]], [[0.51], [0.51], [0.1]]])

    assert mean_then_rank(by_case.mean(axis=(1, 2))).tolist() == [1, 2]
    assert rank_then_mean(by_case).tolist() == [2, 1]


def test_a_case_is_ranked_among_those_it_counts_for():
    by_case = np.array([[[0.9], [0.2]], [[0.8], [np.nan]], [[0.7], [0.3]]])

    # Ranks 1, 2, 3 in the first case and 2, none, 1 in the second: 1.5, 2 and 2 on average.
    assert rank_then_mean(by_case).tolist() == [1, 2, 2]


def test_the_challenges_rank_breaks_ties_by_the_tumor():
    dice, surface_dice = np.array([0.9, 0.8, 0.7]), np.array([0.7, 0.8, 0.6])

    assert kits_rank(dice, surface_dice, np.array([0.1, 0.2, 0.9])).tolist() == [2, 1, 3]
    assert kits_rank(dice, surface_dice, np.array([0.2, 0.2, 0.9])).tolist() == [1, 1, 3]


def test_changes_are_told_largest_first():
    names = ("a", "b", "c")

    assert changes(names, np.array([1, 2, 3]), np.array([1, 2, 3])) == "No rank changes."
    assert changes(names, np.array([1, 2, 3]), np.array([3, 2, 1])).startswith(
        "2 ranks change: c rises from 3 to 1; a falls from 1 to 3"
    )


def cautious_or_bold(cell, seed, case, label):
    """vnet finds cysts and makes some up; unet3d never predicts one, but its kidneys are a little
    better.
    """
    if label == 3:
        return 0.5 if cell.model == "vnet" else 0.0
    return 0.80 if cell.model == "vnet" else 0.81


def test_the_section_says_which_places_change(tmp_path):
    page = build_report(
        write_run(tmp_path, MadeUp(losses=("focal",), quality=cautious_or_bold))
    ).read_text()

    section = page.split('<section id="conventions"')[1].split("</section>")[0]
    assert (
        section.count('<input type="radio"')
        == section.count('class="selection"')
        == len(CONVENTIONS)
    )
    # Half of the patients have no cyst: under KiTS who never predicts one scores 1 in them, who
    # makes some up 0.
    assert not all(holds(case, 3) for case in MadeUp().splits["test"])
    assert "unet3d / focal / none rises from 2 to 1" in section
    assert "Ranks change under" in section
