"""Every comparison on the page, made again from the Parquet files: pairs, levels, ranks,
conventions.
"""

import itertools
import json
import re

import numpy as np
import pytest
from page_tables import agrees, numbers
from printed_run import STRANGER
from recomputed import arranged, block, by_patient, crossed, drawn, flips, holm, luck_of, wilcoxon
from scipy import stats

pytest_plugins = ("printed_fixture",)

CLASSES = {1: "kidney", 2: "tumor", 3: "cyst"}


@pytest.fixture(scope="module")
def blocks(printed):
    return {label: block(printed, label) for label in CLASSES}


def p_agrees(text, p, slack=0.0):
    if text == "below 0.001":
        assert p < 0.001 + slack
    else:
        assert float(text) == pytest.approx(p, abs=0.0005001 + slack)


def in_family(contrasts, patients):
    """Contrast (name to weights [C]) to its p, the larger of both tests, and that p after Holm,
    each test on its own.
    """
    means, (seed_effect, df) = patients.mean(1), luck_of(patients)
    over_cases = {name: wilcoxon(weights @ means) for name, weights in contrasts.items()}
    over_both = {
        name: crossed(weights @ means, seed_effect * (weights**2).sum() / patients.shape[1], df)
        for name, weights in contrasts.items()
    }
    adjusted = [holm(over_cases), holm(over_both)]
    return {
        name: (
            max(over_cases[name], over_both[name]),
            max(of[name] for of in adjusted),
            over_cases[name],
        )
        for name in contrasts
    }


def test_pairs(printed, blocks):
    texts, small = printed.texts["pairs-table"], printed.small["pairs-table"]
    patients = by_patient(blocks)
    means, signs = patients.mean(1), flips(16)
    eye = dict(zip(printed.names, np.eye(len(printed.names)), strict=True))
    found = in_family(
        {pair: eye[pair[0]] - eye[pair[1]] for pair in itertools.combinations(printed.names, 2)},
        patients,
    )
    sums = (flips(16) > 0) @ np.arange(1, 17)
    outside = max(k for k in range(70) if (sums < k).mean() <= 0.025)

    assert len(texts) == len(found)
    for row, (better, worse) in enumerate(zip(texts.better, texts.worse, strict=True)):
        differences = (eye[better] - eye[worse]) @ means
        walsh = np.sort([(a + b) / 2 for i, a in enumerate(differences) for b in differences[i:]])
        p, adjusted, _ = found.get((better, worse)) or found[worse, better]
        wins = (differences > 0).mean()
        agrees(texts["mean difference"][row], differences.mean())
        agrees(texts["shift"][row], np.median(walsh))
        agrees(small["shift"][row], walsh[outside - 1], walsh[-outside])
        agrees(texts["chance to win"][row], wins, digits=2)
        wilson = stats.binomtest(round(16 * wins), 16).proportion_ci(method="wilson")
        agrees(small["chance to win"][row], *wilson, digits=2)
        p_agrees(texts["p"][row], p)
        p_agrees(texts["Holm p"][row], adjusted)
        # All 65,536 flips against the page's 10,000: four standard errors of a share.
        exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9).mean()
        p_agrees(
            texts["sign-flip p"][row], exact, slack=4 * np.sqrt(exact * (1 - exact) / 10_000) + 1e-4
        )
        assert texts.verdict[row] == ("resolved" if adjusted < 0.05 else "not resolved")


def test_the_chosen_against_every_other_class_by_class(printed, blocks):
    selected = next(name for name in printed.names if f"{name}<span" in printed.page)
    eye = dict(zip(printed.names, np.eye(len(printed.names)), strict=True))
    over_cases, over_both = {}, {}
    for label, values in blocks.items():
        held = values[:, :, ~np.isnan(values[0, 0])]
        seed_effect, df = luck_of(values)
        for first, second in itertools.combinations(printed.names, 2):
            differences = (eye[first] - eye[second]) @ held.mean(1)
            over_both[first, second, label] = crossed(differences, seed_effect, df)
            if selected in (first, second):
                over_cases[first, second, label] = wilcoxon(differences)
    cases, both = holm(over_cases), holm(over_both)

    for first, second, label in over_cases:
        rival = second if first == selected else first
        texts, _ = printed.table(f"leaderboard-class-{label}")
        p_agrees(
            texts.loc[rival, "p against selected"],
            max(cases[first, second, label], both[first, second, label]),
        )


def test_levels_of_a_factor(printed, blocks):
    pairs, levels = printed.texts["effects-pairs"], printed.texts["effects-levels-table"]
    ranks = printed.texts["effects-ranks"].set_index("factor")
    patients = by_patient(blocks)
    weights = {}
    for factor, place in (("model", 0), ("loss", 1)):
        for level in {cell[place] for cell in printed.cells}:
            inside = np.array([cell[place] == level for cell in printed.cells])
            weights[factor, level] = inside / inside.sum()
    contrasts = {
        (first, second): weights[first] - weights[second]
        for first, second in itertools.combinations(weights, 2)
        if first[0] == second[0]
    }
    found = in_family(contrasts, patients)

    for row in range(len(pairs)):
        key = ((pairs.factor[row], pairs.better[row]), (pairs.factor[row], pairs.worse[row]))
        p, adjusted, _ = found.get(key) or found[key[::-1]]
        p_agrees(pairs["p"][row], p)
        p_agrees(pairs["Holm p"][row], adjusted)
    assert len(pairs) == len(found)
    for factor in ("model", "loss"):
        names = [level for of, level in weights if of == factor]
        scores = np.array([weights[factor, level] @ patients.mean(1) for level in names])
        mean_ranks = stats.rankdata(-np.round(scores, 12), axis=0).mean(1)
        for level, rank in zip(names, mean_ranks, strict=True):
            agrees(levels.set_index("level").loc[level, "mean rank"], rank, digits=2)
        num = len(names)
        limit = stats.studentized_range.ppf(0.95, num, np.inf) * np.sqrt(
            num * (num + 1) / (12 * 16)
        )
        agrees(ranks.loc[factor, "critical difference"], limit, digits=2)
    models = [weights[key] @ patients.mean(1) for key in weights if key[0] == "model"]
    p_agrees(ranks.loc["model", "Friedman p"], stats.friedmanchisquare(*models).pvalue)


def test_the_stability_of_the_ranking(printed, blocks):
    mean = drawn(blocks)["mean"]
    order = np.argsort(-mean.estimates, kind="stable")
    draws = (mean.draws - mean.seed_effect)[:, order]
    draws = draws[~np.isnan(draws).any(axis=1)]
    places = 1 + (draws[:, None, :] > draws[:, :, None] + 1e-12).sum(2)
    texts, _ = printed.table("stability-table")

    for row, at in enumerate(order):
        of, name = places[:, row], printed.names[at]
        low, high = np.quantile(of, [0.025, 0.975], method="inverted_cdf")
        agrees(texts.loc[name, "rank"], row + 1)
        agrees(texts.loc[name, "95 % of ranks"], *sorted({low, high}))
        agrees(texts.loc[name, "first"], (of == 1).mean(), digits=2)
        agrees(texts.loc[name, "among the first three"], (of <= 3).mean(), digits=2)
    pairs = list(itertools.combinations(range(len(order)), 2))
    taus = np.mean([np.sign(draws[:, i] - draws[:, j]) for i, j in pairs], axis=0)
    finding = re.search(
        r"is ([-\d.]+) on average, 95 % of them between ([-\d.]+) and ([-\d.]+);",
        printed.section("stability"),
    )
    for text, value in zip(
        finding.groups(), (taus.mean(), *np.quantile(taus, [0.025, 0.975])), strict=True
    ):
        agrees(text, value, digits=2)


def counts_by_convention(true, pred, overlap):
    """Convention to ([C, S, K] means by class, [C, S] means over all, [C, S, N, K] by case), from
    counts of these shapes.
    """
    with np.errstate(invalid="ignore"):
        dice = 2 * overlap / (true + pred)
        pooled = 2 * overlap.sum(2) / (true + pred).sum(2)
    of_case = {
        "positives": np.where(true > 0, dice, np.nan),
        "kits": np.where(true + pred == 0, 1.0, dice),
        "nnunet": dice,
        "monai": np.where(true > 0, dice, np.nan),
    }
    found = {
        name: (np.nanmean(of, 2), np.nanmean(np.nanmean(of, 2), 2), of)
        for name, of in of_case.items()
    }
    found["monai"] = (
        found["monai"][0],
        np.nanmean(np.nanmean(of_case["monai"], 3), 2),
        of_case["monai"],
    )
    return found | {"pooled": (pooled, pooled.mean(2), None)}


def everyone(printed):
    """Counts [C, S, N, K] of all contestants; of the one from outside only the first
    seed counts."""
    rows = printed.scores.query("phase == 'final' and split == 'test' and space == 'native'")
    theirs = json.loads((printed.out / "external" / "one.json").read_text())["scores"]
    counts = []
    for name in ("true_voxels", "pred_voxels", "overlap_voxels"):
        ours = np.stack(
            [
                arranged(rows[rows.label == k], rows[rows.label == k][name], printed.cells)
                for k in CLASSES
            ],
            -1,
        )
        one = [
            [of[name] for of in sorted(theirs, key=lambda of: of["case"]) if of["label"] == k]
            for k in CLASSES
        ]
        counts.append(np.concatenate([ours, np.broadcast_to(np.array(one).T, ours[:1].shape)]))
    return [*printed.names, STRANGER], counts


def test_conventions(printed):
    names, counts = everyone(printed)
    places = printed.texts["convention-places"].set_index("contestant")
    heads = {
        "positives": "positives only",
        "kits": "KiTS",
        "nnunet": "nnU-Net",
        "monai": "MONAI",
        "pooled": "pooled voxels",
    }

    for convention, (by_class, over_all, by_case) in counts_by_convention(*counts).items():
        texts = printed.texts[f"convention-{convention}"].set_index("contestant")
        means = over_all.mean(1)
        order = stats.rankdata(-means, method="min")
        for row, name in enumerate(names):
            agrees(texts.loc[name, "mean"], means[row], what=(convention, name))
            for k, title in enumerate(CLASSES.values()):
                agrees(texts.loc[name, title], by_class[row, :, k].mean())
            agrees(texts.loc[name, "place"], order[row])
            agrees(places.loc[name, heads[convention]], order[row])
        if by_case is not None:
            # A case counts for a contestant if it does under any of its seeds.
            counted = ~np.isnan(by_case)
            of_case = np.where(counted, by_case, 0).sum(1) / np.where(
                counted.any(1), counted.sum(1), np.nan
            )
            ranks = stats.rankdata(-of_case, axis=0, nan_policy="omit")
            by_rank = stats.rankdata(np.round(np.nanmean(np.nanmean(ranks, 1), 1), 9), method="min")
            assert [
                numbers(text)[0] for text in texts.loc[names, "place, rank then mean"]
            ] == by_rank.tolist()


def test_the_challenges_own_place(printed):
    names, tables = printed.names, {}
    rows = printed.surfaces.query("phase == 'final' and split == 'test'")
    theirs = json.loads((printed.out / "external" / "one.json").read_text())["surfaces"]
    for kind, (above, below) in {
        "dice": (("overlap_voxels", "overlap_voxels"), ("true_voxels", "pred_voxels")),
        "surface": (("true_within_mm2", "pred_within_mm2"), ("true_mm2", "pred_mm2")),
    }.items():
        for region in ("kidney_and_mass", "mass", "tumor"):
            of = rows[rows.region == region]
            value = (of[list(above)].sum(axis=1) / of[list(below)].sum(axis=1)).fillna(1.0)
            outside = [one for one in theirs if one["region"] == region]
            if kind == "dice":
                value = (2 * of.overlap_voxels / (of.true_voxels + of.pred_voxels)).fillna(1.0)
            ends = [
                (sum(one[name] for name in above), sum(one[name] for name in below))
                for one in outside
            ]
            last = np.mean([part / whole if whole else 1.0 for part, whole in ends])
            tables[kind, region] = np.append(arranged(of, value, printed.cells).mean((1, 2)), last)
    by = [
        stats.rankdata(
            -np.mean([of for (kind, _), of in tables.items() if kind == one], axis=0), method="min"
        )
        for one in ("dice", "surface")
    ]
    average, tumor = np.mean(by, axis=0), tables["dice", "tumor"]

    places = printed.texts["convention-places"].set_index("contestant").challenge
    for row, name in enumerate([*names, STRANGER]):
        ahead = sum(
            (average[i], -tumor[i]) < (average[row], -tumor[row]) for i in range(len(average))
        )
        assert int(places[name]) == 1 + ahead, name
