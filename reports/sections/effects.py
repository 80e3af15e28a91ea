"""Which factor matters: marginal means of models, losses and samplings, paired over the other factors."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reports.board import Board
from reports.families import luck_known
from reports.forest import FRAME, NAMES, PANEL, ROW, panels, points
from reports.palette import distinct
from reports.patients import patient_dice
from reports.section import Block, Column, Entry, Figure, Section, Table, Text
from reports.stats.effects import FACTORS, complete_blocks, contrast, level_weights
from reports.stats.intervals import nan_mean
from reports.stats.tests import critical_difference, friedman, mean_ranks
from reports.summary import MEAN
from reports.wording import interval, listed, many, number, plain, signed, signed_range
from trials.result import NATIVE

PLURALS = {"model": "models", "loss": "losses", "sampling": "samplings"}
RULE = (
    "A block is one setting of the other two factors; only blocks that hold every level compared count, so that each level is "
    "seen with the same partners. Intervals are 95 % over patients and seeds; a pair of levels is resolved where its interval, "
    "widened for the number of pairs of its factor (Bonferroni), clears zero and any configuration has two seeds."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The levels of one factor over its complete blocks: marginal mean Dice and its distance from their average, [L] each,
    with 95 % bounds; ranks, limit and p are of Friedman's test over patients with Nemenyi's critical difference."""

    factor: str
    levels: list[str]
    blocks: int
    mean: np.ndarray
    away: tuple[np.ndarray, np.ndarray, np.ndarray]
    ranks: np.ndarray
    limit: float
    p: float


def effects(board: Board) -> Section | None:
    """One row a level; nothing where no factor has two levels with a score."""
    varied = {factor: levels for factor in FACTORS if len(levels := _levels(board, factor)) > 1}
    if not varied:
        return None
    found = [effect for factor, levels in varied.items() if (effect := _effect(board, factor, levels)) is not None]
    pairs = [row for factor, levels in varied.items() for row in _pairs(board, factor, levels)]
    blocks: list[Block] = [_figure(board, found), _rank_table(found)] if found else []
    missing = [factor for factor in varied if factor not in {effect.factor for effect in found}]
    holes = f" No setting of the other factors holds every {' or every '.join(missing)}." if missing else ""
    return Section(
        id="effects",
        title="Effects",
        question="Which factor matters?",
        finding=_finding(pairs) + holes,
        blocks=(*blocks, _pair_table(pairs), Text((RULE,))),
    )


def _levels(board: Board, factor: str) -> list[str]:
    scored = [cell for i, cell in enumerate(board.run.cells) if _scored(board)[i]]
    return distinct(getattr(cell, factor) for cell in scored)


def _scored(board: Board) -> np.ndarray:
    return ~np.isnan(board.resampled.estimates[MEAN])


def _effect(board: Board, factor: str, levels: list[str]) -> Effect | None:
    blocks = complete_blocks(board.run.cells, factor, levels, _scored(board))
    if not blocks:
        return None
    weights = level_weights(blocks, len(board.run.cells))
    estimates = contrast(weights, board.resampled.estimates[MEAN])
    from_average = weights - weights.mean(axis=0)
    low, high = board.resampled.contrast_interval(MEAN, from_average)
    by_patient = contrast(weights, nan_mean(patient_dice(board.test[NATIVE], MEAN), 1).T)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two levels of a factor over the blocks that hold both; first is the better one."""

    factor: str
    first: str
    second: str
    blocks: int
    gap: float
    low: float
    high: float
    resolved: bool


def _pairs(board: Board, factor: str, levels: list[str]) -> list[Pair]:
    found, several = [], len(levels) * (len(levels) - 1) // 2
    for names in combinations(levels, 2):
        blocks = complete_blocks(board.run.cells, factor, names, _scored(board))
        if not blocks:
            continue
        weights = level_weights(blocks, len(board.run.cells))
        gap = float(np.diff(contrast(weights, board.resampled.estimates[MEAN]))[0])
        first, second = names if gap < 0 else names[::-1]
        ahead = weights[:1] - weights[1:] if gap < 0 else weights[1:] - weights[:1]
        low, high = board.resampled.contrast_interval(MEAN, ahead)
        strict = board.resampled.contrast_interval(MEAN, ahead, 1 - 0.05 / several)[0][0]
        sure = bool(strict > 0) and luck_known(board.test[NATIVE])
        bounds = {"low": float(low[0]), "high": float(high[0])}
        found.append(Pair(factor=factor, first=first, second=second, blocks=len(blocks), gap=abs(gap), resolved=sure, **bounds))
    return found


def _finding(pairs: list[Pair]) -> str:
    if not pairs:
        return "No two levels of a factor share a setting of the other factors: nothing can be compared alone."
    widest = max(pairs, key=lambda pair: (pair.resolved, pair.gap))
    resolved = sum(pair.resolved for pair in pairs)
    verdict = "" if widest.resolved else ", which is not resolved"
    return (
        f"The widest gap is between the {PLURALS[widest.factor]} {widest.first} and {widest.second}: "
        f"{signed_range(widest.gap, widest.low, widest.high)} Dice over {many(widest.blocks, 'shared setting')}{verdict}. "
        f"{resolved} of {many(len(pairs), 'pair')} of levels {'is' if resolved == 1 or len(pairs) == 1 else 'are'} resolved."
    )


def _figure(board: Board, found: list[Effect]) -> Figure:
    rows, data = [], []
    for effect, colour in zip(found, ("var(--accent)", "var(--good)", "var(--m4)"), strict=False):
        order = np.argsort(-effect.away[0], kind="stable")
        names = [plain(f"{effect.factor}: {effect.levels[i]}") for i in order]
        values = [(float(effect.away[0][i]), float(effect.away[1][i]), float(effect.away[2][i])) for i in order]
        rows += names
        data.append(points(names, values, colour, ["circle"] * len(names), 0))
    spread = listed([f"{effect.factor} {number(float(np.ptp(effect.mean)))} over {effect.blocks}" for effect in found])
    patients = board.standings[NATIVE][0, MEAN].n
    zero = {"type": "line", "x0": 0, "x1": 0, "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    return Figure(
        id="effects-levels",
        caption=(
            f"Best minus worst level, in mean Dice over complete blocks: {spread}. Each level's distance from the average of "
            f"its factor with 95 % interval, n = {patients} patients, seeds averaged, native grid."
        ),
        data=tuple(data),
        layout=panels(["Dice above the average level"], rows[::-1])
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
        Column("mean rank", True, "over patients, 1 is best"),
    )
    rows = []
    for effect in found:
        for i, level in enumerate(effect.levels):
            away, low, high = (float(of[i]) for of in effect.away)
            mean, rank = float(effect.mean[i]), float(effect.ranks[i])
            head = (Entry(effect.factor), Entry(level), Entry(str(effect.blocks), effect.blocks), Entry(number(mean), mean))
            rows.append((*head, Entry(signed_range(away, low, high), away), Entry(number(rank, 2), rank)))
    return Table(id="effects-levels-table", caption="Marginal means over complete blocks.", columns=columns, rows=tuple(rows))


def _rank_table(found: list[Effect]) -> Table:
    columns = (
        Column("factor"),
        Column("levels", True),
        Column("Friedman p", True, "patients are the blocks of this test"),
        Column("critical difference", True, "of mean ranks at 5 %, Nemenyi"),
        Column("further apart than it"),
    )
    rows = []
    for effect in found:
        apart = [
            f"{effect.levels[i]} and {effect.levels[j]}"
            for i, j in combinations(np.argsort(effect.ranks, kind="stable").tolist(), 2)
            if effect.ranks[j] - effect.ranks[i] > effect.limit and effect.p < 0.05
        ]
        p = "two levels: see the pairs" if math.isnan(effect.p) else "below 0.001" if effect.p < 0.001 else number(effect.p)
        rows.append(
            (
                Entry(effect.factor),
                Entry(str(len(effect.levels)), len(effect.levels)),
                Entry(p, effect.p),
                Entry(number(effect.limit, 2), effect.limit),
                Entry(listed(apart) or "none", look="" if apart else "quiet"),
            )
        )
    caption = (
        "Do these trainings' levels rank alike over the patients? Friedman's test, and by how much mean ranks must differ to "
        "be told apart. It looks at these trainings alone: the luck of seeds is not in it."
    )
    return Table(id="effects-ranks", caption=caption, columns=columns, rows=tuple(rows))


def _pair_table(pairs: list[Pair]) -> Table:
    names = ("factor", "better", "worse")
    columns = (*map(Column, names), Column("settings shared", True), Column("gap [95 % interval]", True), Column("verdict"))
    rows = tuple(
        (
            Entry(pair.factor),
            Entry(pair.first),
            Entry(pair.second),
            Entry(str(pair.blocks), pair.blocks),
            Entry(f"{signed(pair.gap)}", pair.gap, small=interval(pair.low, pair.high)),
            Entry("resolved" if pair.resolved else "not resolved", look="" if pair.resolved else "quiet"),
        )
        for pair in sorted(pairs, key=lambda pair: (FACTORS.index(pair.factor), -pair.gap))
    )
    caption = "Every two levels of a factor, over the settings of the other factors that both share."
    return Table(id="effects-pairs", caption=caption, columns=columns, rows=rows)
