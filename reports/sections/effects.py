"""Marginal means of the models, losses and samplings, over settings of the other two factors that
every level shares.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reports.analysis.context import Context
from reports.analysis.levels import LevelPair, level_family, level_pairs, scored_levels
from reports.analysis.patients import patient_dice
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Figure, Section, Table, TableCell, Text
from reports.figures.cells import p_cell
from reports.figures.forest import FRAME, NAMES, PANEL, ROW, panels, points
from reports.formatting import interval, listed, many, number, plain, signed, signed_range
from reports.stats.effects import FACTORS, complete_blocks, contrast, level_weights
from reports.stats.intervals import nan_mean
from reports.stats.tests import critical_difference, friedman, mean_ranks
from trials.records.comparisons import Family
from trials.records.result import NATIVE

PLURALS = {"model": "models", "loss": "losses", "sampling": "samplings"}
RULE = (
    "A block is one setting of the other two factors. Only complete blocks are used, in which "
    "every level has a score, so that all levels are averaged over the same settings. Intervals "
    "are 95 % over patients and seeds, each pair on its own. Each pair has two tests: Wilcoxon's "
    "signed-rank test over patients (each patient averaged over blocks and seeds), and a t test "
    "that treats patients and trainings as random. The table shows the larger of the two p "
    "values. A pair is resolved if its interval excludes zero, its Holm-corrected p is below "
    "0.05, and any configuration has two seeds. The difference is in the mean of the classes, "
    "where each class has the same weight; the tests use each patient's mean over the classes it "
    "has, so a class that few patients have has less weight."
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
    varied = scored_levels(context.run.cells, _scored(context))
    if not varied:
        return None
    found = [
        effect
        for factor, levels in varied.items()
        if (effect := _effect(context, factor, levels)) is not None
    ]
    family, is_declared = level_family(context.run.record)
    pairs = level_pairs(context.run.cells, context.test[NATIVE], context.resampled, family)
    blocks: list[Block] = [_figure(context, found), _rank_table(found)] if found else []
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
        finding=_finding(pairs) + holes,
        blocks=(*blocks, _pair_table(pairs), Text((RULE, _declared(family, is_declared, pairs)))),
    )


def _declared(family: Family, is_declared: bool, pairs: list[LevelPair]) -> str:
    """A sentence on which pairs Holm's correction covers."""
    if not is_declared:
        return (
            "The run declared no family for levels, so Holm's correction covers all "
            f"{many(len(pairs), 'pair')} of this section."
        )
    tested = sum(not math.isnan(pair.p) for pair in pairs)
    alone = f", which varies the {family.vary} only" if family.vary else ""
    return (
        f"Holm's correction covers the {many(tested, 'pair')} of the declared family "
        f"'{family.name}'{alone}."
    )


def _scored(context: Context) -> np.ndarray:
    return ~np.isnan(context.resampled.estimates[MEAN])


def _effect(context: Context, factor: str, levels: list[str]) -> Effect | None:
    blocks = complete_blocks(context.run.cells, factor, levels, _scored(context))
    if not blocks:
        return None
    weights = level_weights(blocks, len(context.run.cells))
    estimates = contrast(weights, context.resampled.estimates[MEAN])
    from_average = weights - weights.mean(axis=0)
    low, high = context.resampled.contrast_interval(MEAN, from_average)
    by_patient = contrast(weights, nan_mean(patient_dice(context.test[NATIVE], MEAN), 1).T)
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


def _finding(pairs: list[LevelPair]) -> str:
    if not pairs:
        return (
            "No two levels of a factor have a score in the same setting of the other factors, so "
            "no factor can be compared on its own."
        )
    widest = max(pairs, key=lambda pair: (pair.resolved, pair.gap))
    resolved = sum(pair.resolved for pair in pairs)
    verdict = "" if widest.resolved else " (not resolved)"
    return (
        f"The largest difference is between the {PLURALS[widest.factor]} {widest.first} and "
        f"{widest.second}: {signed_range(widest.gap, widest.low, widest.high)} Dice over "
        f"{many(widest.blocks, 'shared setting')}{verdict}. {resolved} of "
        f"{many(len(pairs), 'pair')} of levels "
        f"{'is' if resolved == 1 or len(pairs) == 1 else 'are'} resolved."
    )


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
            f"Highest minus lowest marginal mean Dice over complete blocks: {spread}. Each point "
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
        Column("mean Dice", True, "marginal mean over complete blocks"),
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
        caption="Marginal means over complete blocks.",
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


def _pair_table(pairs: list[LevelPair]) -> Table:
    names = ("factor", "higher", "lower")
    columns = (
        *map(Column, names),
        Column("shared settings", True),
        Column("difference [95 % interval]", True),
    )
    columns = (*columns, Column("p", True), Column("Holm p", True), Column("verdict"))
    rows = tuple(
        (
            TableCell(pair.factor),
            TableCell(pair.first),
            TableCell(pair.second),
            TableCell(str(pair.blocks), pair.blocks),
            TableCell(f"{signed(pair.gap)}", pair.gap, small=interval(pair.low, pair.high)),
            *(p_cell(p) for p in (pair.p, pair.adjusted)),
            TableCell(
                "resolved" if pair.resolved else "not resolved",
                look="" if pair.resolved else "quiet",
            ),
        )
        for pair in sorted(pairs, key=lambda pair: (FACTORS.index(pair.factor), -pair.gap))
    )
    caption = (
        "Every pair of levels, over the settings of the other factors that both have in common."
    )
    return Table(id="effects-pairs", caption=caption, columns=columns, rows=rows)
