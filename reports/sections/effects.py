"""Marginal means of the models, losses and samplings, over settings of the other two factors that
every level shares.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reports.analysis.context import Context
from reports.analysis.patients import patient_dice
from reports.analysis.questions import Answered
from reports.analysis.summary import MEAN
from reports.answer.questions import RULE, setting
from reports.elements import Block, Column, Figure, Section, Stated, Table, TableCell, Text
from reports.estimands import states_difference
from reports.figures.cells import p_cell
from reports.figures.forest import FRAME, NAMES, PANEL, ROW, panels, points
from reports.formatting import (
    distinct,
    listed,
    many,
    number,
    plain,
    signed,
    signed_interval,
    signed_range,
)
from reports.stats.effects import complete_blocks, contrast, level_weights
from reports.stats.intervals import nan_mean
from reports.stats.tests import critical_difference, friedman, mean_ranks
from trials.records.questions import FACTORS, MEAN_OF_CLASSES
from trials.records.result import NATIVE

PLURALS = {"model": "models", "loss": "losses", "sampling": "samplings"}
BLOCKS = (
    "The figure averages over the other factors, so it hides an effect that depends on them; the "
    "table of comparisons does not. A block is one setting of the other two factors. Only complete "
    "blocks are used, in which every level has a score, so that all levels are averaged over the "
    "same settings. Mean ranks and Friedman's test use each patient's mean over the classes it "
    "has, so a class that few patients have has less weight there."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The levels of one factor over its complete blocks: mean is the marginal mean Dice, away the
    difference from the average of the levels, each [L] with 95 % bounds. ranks, limit and p come
    from Friedman's test over patients and Nemenyi's critical difference.
    """

    factor: str
    levels: list[str]
    blocks: int
    mean: np.ndarray
    away: tuple[np.ndarray, np.ndarray, np.ndarray]
    ranks: np.ndarray
    limit: float
    p: float


def effects(context: Context) -> Section | None:
    """One row per level; None if no factor has two levels with a score."""
    varied = _levels(context)
    if not varied:
        return None
    found = [
        effect
        for factor, levels in varied.items()
        if (effect := _effect(context, factor, levels)) is not None
    ]
    blocks: list[Block] = [_figure(context, found), _rank_table(found)] if found else []
    answered = [one for answer in context.answers for one in answer.found]
    missing = [factor for factor in varied if factor not in {effect.factor for effect in found}]
    holes = (
        f" No setting of the other factors has a score for every {' or '.join(missing)}."
        if missing
        else ""
    )
    return Section(
        id="effects",
        title="Effect of each factor",
        question="Which factor affects the score most?",
        finding=_finding(answered) + holes,
        blocks=(*blocks, _pair_table(context, answered), Text((RULE, BLOCKS))),
        states=_states(answered),
    )


def _states(answered: list[Answered]) -> tuple[Stated, ...]:
    widest = _widest(answered)
    return () if widest is None else tuple(filter(None, (_stated(widest),)))


def _stated(one: Answered) -> Stated | None:
    """The difference in the direction in which it is printed."""
    if one.comparison.question.score != MEAN_OF_CLASSES:
        return None
    sign = 1 if one.gap >= 0 else -1
    return states_difference(sign * one.weights, abs(one.gap))


def _widest(answered: list[Answered]) -> Answered | None:
    return max(answered, key=lambda one: (one.resolved, abs(one.gap)), default=None)


def _levels(context: Context) -> dict[str, list[str]]:
    """The levels with a score by factor, for factors with at least two of them."""
    cells = [cell for cell, has in zip(context.run.cells, _scored(context), strict=True) if has]
    found = {factor: distinct(getattr(cell, factor) for cell in cells) for factor in FACTORS}
    return {factor: levels for factor, levels in found.items() if len(levels) > 1}


def _scored(context: Context) -> np.ndarray:
    return ~np.isnan(context.resampled.estimates[MEAN][: len(context.run.cells)])


def _effect(context: Context, factor: str, levels: list[str]) -> Effect | None:
    blocks = complete_blocks(context.run.cells, factor, levels, _scored(context))
    if not blocks:
        return None
    weights = level_weights(blocks, len(context.all_predictions.names))
    estimates = contrast(weights, context.resampled.estimates[MEAN])
    from_average = weights - weights.mean(axis=0)
    low, high = context.resampled.contrast_interval(MEAN, from_average)
    counts = context.all_predictions.counts
    by_patient = contrast(weights, nan_mean(patient_dice(counts, MEAN), 1).T)
    return Effect(
        factor=factor,
        levels=levels,
        blocks=len(blocks),
        mean=estimates,
        away=(estimates - estimates.mean(), low, high),
        ranks=mean_ranks(by_patient),
        limit=critical_difference(len(levels), len(by_patient)),
        p=friedman(by_patient),
    )


def _finding(answered: list[Answered]) -> str:
    widest = _widest(answered)
    if widest is None:
        return (
            "No two levels of a factor that the run compares have a score in the same setting of "
            "the other factors."
        )
    resolved = sum(one.resolved for one in answered)
    verdict = "resolved" if widest.resolved else "not resolved"
    plural, where = PLURALS[widest.comparison.question.factor], setting(widest)
    return (
        f"The largest difference is between the {plural} {widest.higher} and {widest.lower}"
        f"{f' {where}' if where else ''}: {_span(widest)} Dice ({verdict}). {resolved} of "
        f"{many(len(answered), 'declared comparison')} "
        f"{'is' if resolved == 1 or len(answered) == 1 else 'are'} resolved."
    )


def _span(one: Answered) -> str:
    low, high = _bounds(one)
    return signed_range(abs(one.gap), low, high)


def _bounds(one: Answered) -> tuple[float, float]:
    """The interval of the higher level minus the lower one."""
    return (one.low, one.high) if one.gap >= 0 else (-one.high, -one.low)


def _figure(context: Context, found: list[Effect]) -> Figure:
    rows, data = [], []
    for effect, colour in zip(found, ("var(--accent)", "var(--good)", "var(--m4)"), strict=False):
        order = np.argsort(-effect.away[0], kind="stable")
        names = [plain(f"{effect.factor}: {effect.levels[i]}") for i in order]
        values = [
            (float(effect.away[0][i]), float(effect.away[1][i]), float(effect.away[2][i]))
            for i in order
        ]
        rows += names
        data.append(points(names, values, colour, ["circle"] * len(names), 0))
    spread = listed(
        [
            f"{effect.factor} {number(float(np.ptp(effect.mean)))} ({many(effect.blocks, 'block')})"
            for effect in found
        ]
    )
    patients = context.summaries[NATIVE][0, MEAN].n
    zero = {"type": "line", "x0": 0, "x1": 0, "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    return Figure(
        id="effects-levels",
        caption=(
            "Difference between the highest and the lowest level of each factor, in mean Dice "
            f"over the settings that all its levels share (complete blocks): {spread}. Each point "
            "is a level's difference from the average of its factor, with 95 % interval; n = "
            f"{patients} patients, averaged over seeds, native grid."
        ),
        data=tuple(data),
        layout=panels(["Dice minus the average of the factor"], rows[::-1])
        | {"shapes": [zero | {"line": {"color": "var(--muted)", "width": 1}}]},
        table=_level_table(found),
        height=FRAME + ROW * len(rows),
        least_width=NAMES + 2 * PANEL,
    )


def _level_table(found: list[Effect]) -> Table:
    columns = (
        Column("factor"),
        Column("level"),
        Column("blocks", True),
        Column("mean Dice", True, "over the settings that all levels share"),
        Column("from the average [95 % interval]", True),
        Column("mean rank", True, "mean over patients of the rank; 1 is best"),
    )
    rows = []
    for effect in found:
        for i, level in enumerate(effect.levels):
            away, low, high = (float(of[i]) for of in effect.away)
            mean, rank = float(effect.mean[i]), float(effect.ranks[i])
            head = (
                TableCell(effect.factor),
                TableCell(level),
                TableCell(str(effect.blocks), effect.blocks),
                TableCell(number(mean), mean),
            )
            rows.append(
                (
                    *head,
                    TableCell(signed_range(away, low, high), away),
                    TableCell(number(rank, 2), rank),
                )
            )
    return Table(
        id="effects-levels-table",
        caption="The mean of each level over the settings that all levels share (complete blocks).",
        columns=columns,
        rows=tuple(rows),
    )


def _rank_table(found: list[Effect]) -> Table:
    columns = (
        Column("factor"),
        Column("levels", True),
        Column("Friedman p", True, "in this test each patient is a block"),
        Column("critical difference", True, "of the mean ranks at the 5 % level (Nemenyi)"),
        Column("pairs that differ by more"),
    )
    rows = []
    for effect in found:
        apart = [
            f"{effect.levels[i]} and {effect.levels[j]}"
            for i, j in combinations(np.argsort(effect.ranks, kind="stable").tolist(), 2)
            if effect.ranks[j] - effect.ranks[i] > effect.limit and effect.p < 0.05
        ]
        p = (
            TableCell("two levels only: see the pairs", math.nan)
            if math.isnan(effect.p)
            else p_cell(effect.p)
        )
        rows.append(
            (
                TableCell(effect.factor),
                TableCell(str(len(effect.levels)), len(effect.levels)),
                p,
                TableCell(number(effect.limit, 2), effect.limit),
                TableCell(listed(apart) or "none", look="" if apart else "quiet"),
            )
        )
    caption = (
        "Friedman's test: whether the levels have equal ranks over the patients, and how much "
        "two mean ranks must differ to be significant. It uses these trainings only: variance "
        "between seeds is not included."
    )
    return Table(id="effects-ranks", caption=caption, columns=columns, rows=tuple(rows))


def _pair_table(context: Context, answered: list[Answered]) -> Table:
    """One row for each comparison that the run declared."""
    columns = (
        Column("factor"),
        Column("setting"),
        Column("higher"),
        Column("lower"),
        Column("shared settings", True, "settings of the remaining factors that both levels have"),
        Column("difference [95 % interval]", True),
        Column("p", True),
        Column("Holm p", True, "corrected over all comparisons that the run declared"),
        Column("verdict"),
    )
    rows = tuple(
        (
            TableCell(one.comparison.question.factor),
            TableCell(", ".join(level for _, level in one.comparison.at) or "all"),
            TableCell(one.higher),
            TableCell(one.lower),
            TableCell(str(len(one.comparison.pairs)), len(one.comparison.pairs)),
            TableCell(
                signed(abs(one.gap)),
                abs(one.gap),
                small=signed_interval(*_bounds(one)),
                states=_stated(one),
            ),
            p_cell(one.p),
            p_cell(one.adjusted),
            TableCell(
                "resolved" if one.resolved else "not resolved", look="" if one.resolved else "quiet"
            ),
        )
        for one in answered
    )
    caption = (
        f"The {many(len(answered), 'comparison')} that the run declared, with the mean over the "
        "settings that both levels have in common."
    )
    return Table(id="effects-pairs", caption=caption, columns=columns, rows=rows)
