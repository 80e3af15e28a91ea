"""Every interval on the page, drawn again from the Parquet files by the written rule of
the draws."""

import re

import numpy as np
import pytest
from page_tables import agrees, numbers
from recomputed import block, by_patient, drawn, luck_of, shares, surface_block, unit
from scipy import stats

pytest_plugins = ("printed_fixture",)

CLASSES = {1: "kidney", 2: "tumor", 3: "cyst"}


@pytest.fixture(scope="module")
def dice(printed):
    return drawn({label: block(printed, label) for label in CLASSES})


def matches(printed, table, column, of, digits=3):
    texts, small = printed.table(table)
    for place, name in enumerate(printed.names):
        value, low, high = of.interval(unit(len(printed.names), place))
        agrees(texts.loc[name, column], value, digits=digits, what=(table, column, name))
        agrees(
            small.loc[name, column],
            max(low, 0),
            min(high, 1),
            digits=digits,
            what=(table, column, name),
        )


def test_of_the_leaderboard_and_of_every_class(printed, dice):
    for label, name in {**CLASSES, "mean": "mean of classes"}.items():
        matches(printed, "leaderboard-table", name, dice[label])
        matches(printed, "forest-table", name, dice[label])
    iou = drawn({label: block(printed, label, "iou") for label in CLASSES})
    cube = drawn({label: block(printed, label, space="cube") for label in CLASSES})
    surface = drawn({label: surface_block(printed, name) for label, name in CLASSES.items()})
    matches(printed, "leaderboard-table", "Surface Dice", surface["mean"])
    for label in CLASSES:
        table = f"leaderboard-class-{label}"
        for column, of in (
            ("Dice", dice),
            ("IoU", iou),
            ("Dice on the cube", cube),
            ("Surface Dice", surface),
        ):
            matches(printed, table, column, of[label])


def test_an_independent_bootstrap_gives_nearly_the_same(printed, dice):
    """Other draws than the page's, percentiles alone: two bootstraps of 10,000 differ by about
    0.002 at either end here.
    """
    _, small = printed.table("leaderboard-class-1")
    values, rng = block(printed, 1), np.random.default_rng(1)
    variance, _ = luck_of(values)
    for place, name in enumerate(printed.names):
        own = values[place].mean(0)
        means = own[rng.integers(0, len(own), (10_000, len(own)))].mean(1) + rng.normal(
            0, np.sqrt(variance / 2), 10_000
        )
        low, high = np.quantile(means, [0.025, 0.975])
        printed_low, printed_high = numbers(small.loc[name, "Dice"])
        # Student's t of the few patients and seeds makes the page's interval the wider one, by a
        # quarter at most here.
        assert printed_high - printed_low == pytest.approx(1.13 * (high - low), rel=0.12)
        assert (printed_low + printed_high) / 2 == pytest.approx((low + high) / 2, abs=0.004)


def chosen_of(printed):
    """The highest mean validation Dice over classes."""
    validation = np.mean(
        [np.nanmean(block(printed, label, split="val"), axis=2).mean(1) for label in CLASSES],
        axis=0,
    )
    return int(np.argmax(validation)), validation


def test_of_the_chosens_lead_over_every_rival(printed, dice):
    selected, _ = chosen_of(printed)
    texts, _ = printed.table("differences-table", "rival")
    for place, name in enumerate(printed.names):
        if place != selected:
            weights = unit(len(printed.names), selected) - unit(len(printed.names), place)
            agrees(
                texts.loc[name, "difference [95 % interval]"],
                *dice["mean"].interval(weights),
                what=name,
            )
    first, _ = printed.table("leaderboard-table")
    draws = dice["mean"].draws
    share = (draws == np.nanmax(draws, axis=1, keepdims=True))[~np.isnan(draws).any(axis=1)].mean(0)
    for place, name in enumerate(printed.names):
        agrees(first.loc[name, "ranks first"], share[place], digits=2, what=name)


def test_of_the_answer_and_of_its_sentences(printed, dice):
    selected, validation = chosen_of(printed)
    section, num = re.sub(r"<[^>]+>", " ", printed.section("answer")), len(printed.names)
    runner_up = int(np.argsort(-validation, kind="stable")[1])
    lead = dice["mean"].interval(unit(num, selected) - unit(num, runner_up))
    mean = dice["mean"].interval(unit(num, selected))

    def said(pattern, *values, digits=3):
        (text,) = set(re.findall(pattern, section))
        agrees(text, *values, digits=digits, what=pattern)

    said(r"highest mean Dice over kidney, tumor and cyst: ([\d.]+\d)", validation[selected])
    said(r"selection, it reaches (.*?\])\.", *mean)
    said(rf"{printed.names[runner_up]}, is (.*?\])\. The chance", *lead)
    differences = np.diff(
        by_patient({k: block(printed, k) for k in CLASSES}).mean(1)[[runner_up, selected]], axis=0
    )[0]
    wins = ((differences > 1e-12) + (np.abs(differences) < 1e-12) / 2).mean()
    wilson = stats.binomtest(round(wins * 16), 16).proportion_ci(method="wilson")
    said(r"scores higher on a new patient is (.*?)\.", wins, *wilson, digits=2)
    rivals = [place for place in range(num) if place != selected]
    errors = [
        np.nanstd(dice["mean"].draws[:, selected] - dice["mean"].draws[:, place])
        for place in rivals
    ]
    said(
        r"a difference of about ([\d.]+\d) Dice",
        (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * np.median(errors),
    )
    table, small = printed.table("answer-by-class", "class")
    iou = drawn({label: block(printed, label, "iou") for label in CLASSES})
    for label, name in CLASSES.items():
        for column, of in (("Dice", dice), ("IoU", iou)):
            value, low, high = of[label].interval(unit(num, selected))
            agrees(table.loc[name, column], value)
            agrees(small.loc[name, column], max(0, low), min(1, high))


def test_of_every_level_of_a_factor(printed, dice):
    texts, _ = printed.table("effects-levels-table", "level")
    pairs, small = printed.texts["effects-pairs"], printed.small["effects-pairs"]
    for factor, place in (("model", 0), ("loss", 1)):
        levels = sorted({cell[place] for cell in printed.cells})
        of_level = {one: np.array([cell[place] == one for cell in printed.cells]) for one in levels}
        weights = {one: inside / inside.sum() for one, inside in of_level.items()}
        average = np.mean(list(weights.values()), axis=0)
        for one in levels:
            agrees(texts.loc[one, "mean Dice"], dice["mean"].estimates @ weights[one])
            agrees(
                texts.loc[one, "from the average [95 % interval]"],
                *dice["mean"].interval(weights[one] - average),
            )
        for row in np.flatnonzero(pairs.factor == factor):
            better, worse = pairs.better[row], pairs.worse[row]
            gap, low, high = dice["mean"].interval(weights[better] - weights[worse])
            agrees(pairs["gap [95 % interval]"][row], gap)
            agrees(small["gap [95 % interval]"][row], low, high)


def test_the_shares_of_patients_average_to_the_means(printed, dice):
    blocks = {label: block(printed, label) for label in CLASSES}

    assert shares(blocks).mean((1, 2)) == pytest.approx(dice["mean"].estimates)
