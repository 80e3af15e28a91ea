"""Declared comparisons: what a run says, what is tested, and how often equal configurations are
told apart.
"""

import dataclasses
import json

import numpy as np
import pytest

from bench.grids import DEMO
from reports.analysis.comparisons import compare_family, members, read_families
from reports.analysis.levels import level_family, level_pairs
from reports.analysis.patients import patient_dice, patient_shares
from reports.analysis.summary import MEAN, resample_ratio
from reports.load.counts import Counts
from trials.records.comparisons import DEFAULT_FAMILIES as DEFAULT
from trials.records.spec import Cell

CELLS = tuple(
    Cell(model=m, loss=loss, sampling="none")
    for m in ("unet3d", "vnet")
    for loss in ("combined", "focal")
)


def counts_of(dice: np.ndarray) -> Counts:
    """Counts with these Dice values, [C, S, N, K] for the labels 1..K; a NaN patient does not hold
    the label.
    """
    num_cells, num_seeds, num_cases, num_labels = dice.shape
    true = np.zeros((num_cases, num_labels + 1), np.int64)
    true[:, 1:] = np.where(np.isnan(dice[0, 0]), 0, 10_000)
    overlap = np.zeros((num_cells, num_seeds, num_cases, num_labels + 1), np.int64)
    overlap[..., 1:] = np.rint(10_000 * np.nan_to_num(dice))
    pred = np.broadcast_to(true, overlap.shape).copy()
    names = tuple(f"case_{i}" for i in range(num_cases))
    return Counts(
        cases=names,
        true=true,
        pred=pred,
        overlap=overlap,
        available=np.ones((num_cells, num_seeds), bool),
    )


def null_counts(seed: int, num_cells: int, seed_effect: float, num_cases: int = 60) -> Counts:
    """Equal configurations: patients and the seed_effect of three seeds alone."""
    rng = np.random.default_rng(seed)
    trainings = rng.normal(0, seed_effect, (num_cells, 3, 1)) + rng.normal(
        0, 0.06, (num_cells, 3, num_cases)
    )
    return counts_of(np.clip(0.7 + rng.normal(0, 0.1, num_cases) + trainings, 0, 1)[..., None])


def test_what_a_grid_declares_by_itself_is_what_a_report_takes_by_itself():
    declared = json.loads(json.dumps([dataclasses.asdict(family) for family in DEMO.families]))

    assert read_families({"families": declared}) == DEFAULT == read_families({})


def test_a_run_with_an_unknown_family_is_refused():
    with pytest.raises(
        ValueError, match=r"unknown run.json families\[0\].score 'best'; known: classes, mean"
    ):
        read_families({"families": [{"name": "a", "pairs": "all", "score": "best"}]})


def test_a_family_that_varies_the_loss_holds_pairs_of_one_model():
    family = dataclasses.replace(DEFAULT[1], vary="loss")

    assert members(family, CELLS, None) == [(0, 1), (2, 3)]
    assert members(DEFAULT[0], CELLS, 2) == [(2, 0), (2, 1), (2, 3)]
    assert members(DEFAULT[0], CELLS, None) == []


def test_a_patients_shares_average_to_the_mean_of_the_classes():
    rng = np.random.default_rng(1)
    dice = rng.uniform(0.2, 1, (2, 3, 9, 2))
    dice[:, :, [0, 4, 5], 1] = np.nan
    counts = counts_of(dice)

    shares = patient_shares(counts)

    assert shares.mean(axis=(1, 2)) == pytest.approx(
        resample_ratio(counts, num_draws=10).estimates[MEAN]
    )
    assert patient_dice(counts, MEAN)[1, 2, 4] == pytest.approx(dice[1, 2, 4, 0], abs=1e-4)
    assert patient_dice(counts, MEAN)[1, 2, 3] == pytest.approx(dice[1, 2, 3].mean(), abs=1e-4)


def test_one_seed_resolves_nothing_however_small_its_p():
    dice = (
        np.repeat(np.array([0.5, 0.8])[:, None, None, None], 40, axis=2)
        + np.linspace(0, 0.1, 40)[:, None]
    )

    found = compare_family(DEFAULT[1], CELLS[:2], counts_of(dice), None)

    assert found.adjusted[0, 1, MEAN] < 1e-6
    assert not found.resolved(0, 1, MEAN)


@pytest.mark.parametrize("seed_effect", [0.0, 0.03], ids=["no seed_effect", "lucky seeds"])
def test_equal_configurations_are_rarely_told_apart(seed_effect):
    cells = tuple(Cell(model=str(i), loss="", sampling="") for i in range(16))

    found = [
        compare_family(DEFAULT[1], cells, null_counts(seed, 16, seed_effect), None)
        for seed in range(60)
    ]

    # A family-wise level of 5 % makes more than 7 of 60 a matter of one in a hundred.
    assert sum(any(p < 0.05 for p in of.adjusted.values()) for of in found) <= 7


def test_a_real_lead_is_told_apart_where_seeds_agree():
    counts = null_counts(3, 3, 0.005)
    better = dataclasses.replace(
        counts, overlap=counts.overlap + np.array([0, 0, 1500])[:, None, None, None] * [0, 1]
    )

    found = compare_family(DEFAULT[1], CELLS[:3], better, None)

    assert [found.resolved(*pair, MEAN) for pair in ((0, 1), (0, 2), (1, 2))] == [False, True, True]


def test_levels_are_tested_in_the_family_that_declares_them_alone():
    better = null_counts(4, 4, 0.005)
    better = dataclasses.replace(
        better, overlap=better.overlap + np.array([0, 0, 1500, 1500])[:, None, None, None] * [0, 1]
    )
    resampled = resample_ratio(better, num_draws=500)
    families = {"all": DEFAULT[2], "losses": dataclasses.replace(DEFAULT[2], vary="loss")}

    found = {
        name: level_pairs(CELLS, better, resampled, family) for name, family in families.items()
    }

    assert next((pair.factor, pair.first, pair.second, pair.blocks) for pair in found["all"]) == (
        "model",
        "vnet",
        "unet3d",
        2,
    )
    assert {name: [pair.resolved for pair in pairs] for name, pairs in found.items()} == {
        "all": [True, False],
        "losses": [False, False],
    }
    model, loss = found["all"]
    assert model.adjusted == pytest.approx(2 * model.p, rel=0.5)
    assert found["losses"][1].adjusted == loss.p
    assert level_family({"families": []}) == (DEFAULT[2], False)
    assert level_family({}) == (DEFAULT[2], True)


def test_levels_of_equal_configurations_are_rarely_told_apart():
    cells = tuple(Cell(model=m, loss=loss, sampling="none") for m in "abcd" for loss in "wxyz")

    found = []
    for seed in range(60):
        counts = null_counts(seed, 16, 0.03, 40)
        found.append(level_pairs(cells, counts, resample_ratio(counts, num_draws=200), DEFAULT[2]))

    # Twelve pairs of one family: its level of 5 % makes more than 7 of 60 a matter of one in a
    # hundred.
    assert sum(any(pair.adjusted < 0.05 for pair in pairs) for pairs in found) <= 7
