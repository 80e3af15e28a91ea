"""Intervals, tests and ranks on the page against scipy's own, from the Parquet files beside it."""

import itertools

import numpy as np
import pytest
from page_tables import agrees, numbers
from printed_run import STRANGER
from scipy import stats

pytest_plugins = ("printed_fixture",)

CLASSES = {1: "kidney", 2: "tumor", 3: "cyst"}


def by_training(printed, label, ratio="dice"):
    """A class's score in every patient that holds it, [C, S, N]."""
    rows = printed.scores.query(
        "phase == 'final' and split == 'test' and space == 'native' and label == @label"
    )
    rows = rows[rows.true_voxels > 0]
    both, overlap = rows.true_voxels + rows.pred_voxels, rows.overlap_voxels
    value = 2 * overlap / both if ratio == "dice" else overlap / (both - overlap)
    table = rows.assign(value=value).pivot(
        index=["model", "loss", "sampling", "seed"], columns="case", values="value"
    )
    return np.array([table.loc[cell].to_numpy() for cell in printed.cells])


def by_patient(printed, label):
    """Its mean over seeds, [C, N]."""
    return by_training(printed, label).mean(1)


@pytest.fixture(scope="module")
def patients(printed):
    """Mean over the classes that a patient holds, [C, N]: all hold a kidney and a tumour."""
    kidney, tumor, cyst = (by_patient(printed, label) for label in CLASSES)
    cases = sorted(printed.record["data"]["fold_cases"]["0"]["test"])
    geometry = printed.record["data"]["geometry"]
    total, counts = kidney + tumor, np.full(len(cases), 2)
    held = [place for place, case in enumerate(cases) if geometry[case]["class_voxels"][3]]
    total[:, held] += cyst
    counts[held] += 1
    return total / counts


@pytest.mark.parametrize(("ratio", "column"), [("dice", "Dice"), ("iou", "IoU")])
@pytest.mark.parametrize("label", CLASSES)
def test_intervals_of_a_class_are_as_wide_as_students_over_patients_and_seeds(
    printed, label, ratio, column
):
    texts, small = printed.table(f"leaderboard-class-{label}")
    scores = by_training(printed, label, ratio)
    of_seeds = scores.mean(2).var(1, ddof=1).mean() / scores.shape[1]

    for name, values in zip(printed.names, scores.mean(1), strict=True):
        error = np.hypot(stats.sem(values), np.sqrt(of_seeds))
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), error)
        printed_low, printed_high = numbers(small.loc[name, column])
        agrees(texts.loc[name, column], values.mean())
        assert (printed_high - printed_low) / (high - low) == pytest.approx(1, abs=0.25), name
        assert (printed_low + printed_high) / 2 == pytest.approx((low + high) / 2, abs=0.02), name


def test_intervals_shift_with_the_skew_as_scipys_bootstrap_does(printed):
    _, small = printed.table("leaderboard-class-1")

    for name, values in zip(printed.names, by_patient(printed, 1), strict=True):
        found = stats.bootstrap(
            (values,), np.mean, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        printed_low, printed_high = numbers(small.loc[name, "Dice"])
        skew = (found.high - values.mean()) / (values.mean() - found.low)
        upper, lower = printed_high - values.mean(), values.mean() - printed_low
        assert upper / lower == pytest.approx(skew, abs=0.1), name


def test_the_selecteds_lead_lies_in_students_paired_interval_or_a_wider_one(printed):
    means = np.array([[by_patient(printed, k).mean(1)] for k in CLASSES]).mean(0)[0]
    texts, _ = printed.table("differences-table", "rival")
    selected = next(i for i, name in enumerate(printed.names) if name not in texts.index)

    for place, name in enumerate(printed.names):
        if place != selected:
            lead, low, high = numbers(texts.loc[name, "difference [95 % interval]"])
            assert lead == pytest.approx(means[selected] - means[place], abs=0.0005001)
            assert low < lead < high
            resolved = texts.loc[name, "verdict"] == "resolved"
            assert not resolved or low > 0


def added(printed):
    """What each patient adds to the mean of the classes, [C, N]: all 16 hold a kidney and a tumour,
    8 a cyst.
    """
    kidney, tumor, cyst = (by_patient(printed, label) for label in CLASSES)
    cases = sorted(printed.record["data"]["fold_cases"]["0"]["test"])
    geometry = printed.record["data"]["geometry"]
    total = (kidney + tumor) / 3
    held = [place for place, case in enumerate(cases) if geometry[case]["class_voxels"][3]]
    total[:, held] += cyst * 16 / 8 / 3
    return total


def test_pairs(printed, patients):
    texts, small = printed.texts["pairs-table"], printed.small["pairs-table"]
    scores = dict(zip(printed.names, patients, strict=True))
    parts = dict(zip(printed.names, added(printed), strict=True))
    pairs = set(itertools.combinations(printed.names, 2))

    # Six configurations and one set of external predictions: 21 pairs.
    assert len(texts) == len(pairs) + len(printed.names) == 21
    ours = ~(texts.higher.eq(STRANGER) | texts.lower.eq(STRANGER))
    texts, small = (of[ours].reset_index(drop=True) for of in (texts, small))
    for row, pair in enumerate(zip(texts.higher, texts.lower, strict=True)):
        assert pair in pairs or pair[::-1] in pairs
        differences = parts[pair[0]] - parts[pair[1]]
        walsh = [(a + b) / 2 for i, a in enumerate(differences) for b in differences[i:]]
        agrees(texts["mean difference"][row], differences.mean())
        agrees(texts["median difference"][row], np.median(walsh))
        low, high = numbers(small["median difference"][row])
        assert low < np.median(walsh) < high
        higher = (scores[pair[0]] > scores[pair[1]]).sum()
        agrees(texts["patients with a higher score"][row], higher, 16, digits=0)
        # The larger of Wilcoxon's p and of a t test that also counts the trainings.
        least = max(
            stats.wilcoxon(differences, zero_method="pratt", method="exact").pvalue,
            stats.ttest_1samp(differences, 0).pvalue,
        )
        p, adjusted = (numbers(texts[column][row])[0] for column in ("p", "Holm p"))
        assert least - 0.002 <= p <= adjusted <= 21 * (p + 0.0005) + 0.0005
        flips = stats.permutation_test(
            (differences, 0 * differences),
            lambda a, b, axis: np.mean(a - b, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2000,
            rng=np.random.default_rng(0),
        )
        assert numbers(texts["sign-flip p"][row])[0] == pytest.approx(flips.pvalue, abs=0.06)
        assert adjusted < 0.05 or texts.verdict[row] == "not resolved"


def test_levels_of_a_factor(printed, patients):
    levels = printed.texts["effects-levels-table"].set_index("level")
    ranks = printed.texts["effects-ranks"].set_index("factor")

    for factor, place in (("model", 0), ("loss", 1)):
        names = sorted({cell[place] for cell in printed.cells})
        scores = [patients[[cell[place] == one for cell in printed.cells]].mean(0) for one in names]
        mean_ranks = stats.rankdata(-np.round(scores, 12), axis=0).mean(1)
        num = len(names)
        limit = stats.studentized_range.ppf(0.95, num, np.inf)
        agrees(
            ranks.loc[factor, "critical difference"],
            limit * np.sqrt(num * (num + 1) / (12 * 16)),
            digits=2,
        )
        for one, rank in zip(names, mean_ranks, strict=True):
            agrees(levels.loc[one, "mean rank"], rank, digits=2)
        if num > 2:
            agrees(ranks.loc[factor, "Friedman p"], stats.friedmanchisquare(*scores).pvalue)


def test_the_distribution_of_patients(printed, patients):
    for table, scores in {"mean": patients, **{k: by_patient(printed, k) for k in CLASSES}}.items():
        texts, _ = printed.table(f"distribution-{table}")
        for name, own in zip(printed.names, scores, strict=True):
            mean = "mean of the patients" if table == "mean" else "mean"
            agrees(texts.loc[name, mean], own.mean())
            agrees(texts.loc[name, "middle half"], stats.trim_mean(own, 0.25))
            agrees(texts.loc[name, "median"], np.median(own))
            agrees(texts.loc[name, "worst"], own.min())
            for threshold in (0.5, 0.7, 0.9):
                share = (own >= threshold).mean()
                agrees(texts.loc[name, f"at least {threshold}"], share, digits=2)


def test_a_training_is_the_mean_of_its_patients(printed):
    texts, _ = printed.table("seeds-table")
    finals = printed.scores.query(
        "phase == 'final' and split == 'test' and space == 'native' and label > 0"
    )
    finals = finals[finals.true_voxels > 0]
    value = 2 * finals.overlap_voxels / (finals.true_voxels + finals.pred_voxels)
    cell = ["model", "loss", "sampling"]
    by_class = finals.assign(value=value).groupby([*cell, "seed", "label"]).value.mean()
    by_seed = by_class.groupby([*cell, "seed"]).mean().unstack("seed")

    for name, one in zip(printed.names, printed.cells, strict=True):
        agrees(texts.loc[name, "seed 0"], by_seed.loc[one, 0])
        agrees(texts.loc[name, "seed 1"], by_seed.loc[one, 1])
        agrees(texts.loc[name, "highest minus lowest"], np.ptp(by_seed.loc[one]))
