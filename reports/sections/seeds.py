"""Variance between seeds: the score of every training, the components of the variance, and how many
patients or seeds would resolve a difference.
"""

import math

import numpy as np

from reports.analysis.context import Context
from reports.analysis.contrasts import pair_weights, spreads
from reports.analysis.patients import patient_shares
from reports.analysis.selection import Selection
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Figure, Section, Stated, Table, TableCell
from reports.estimands import states_pair
from reports.figures.cells import configuration, prediction, ranked, ranked_all
from reports.figures.colours import model_colour
from reports.formatting import cell_name, many, number, percent, plain, signed
from reports.stats.intervals import nan_mean, seed_variance
from reports.stats.power import (
    Design,
    VarianceSplit,
    patients_needed,
    seeds_needed,
    variance_split,
)
from trials.records.result import NATIVE

PARTS = {
    "case": ("patient", "some patients are difficult for every configuration"),
    "configuration": ("configuration", "the difference that the grid was run to measure"),
    "mix": ("patient x configuration", "configurations differ in which patients they segment well"),
    "seed": ("seed", "trainings of one configuration differ in all patients alike"),
    "rest": ("residual", "trainings of one configuration differ in single patients"),
}


def seeds(context: Context) -> Section | None:
    """None without a test score; with one seed everywhere it says that the variance between seeds
    was not measured.
    """
    order, shares = ranked(context), patient_shares(context.test[NATIVE])
    if not order or not shares.shape[2]:
        return None
    seed_effect, df = seed_variance(shares)
    blocks: list[Block] = [_figure(context, order, shares)] if df else []
    split = _split(context, order, shares)
    if split is not None:
        blocks.append(_split_table(split))
    if context.selection is not None and context.pairs.rows:
        blocks.append(_needs_table(context, context.selection, order))
    if not blocks:
        return None
    return Section(
        id="seeds",
        title="Seeds",
        question="Is the difference larger than the variation between seeds?",
        finding=_finding(context, math.sqrt(seed_effect), df),
        blocks=tuple(blocks),
        states=_states(context, df),
    )


def _states(context: Context, df: int) -> tuple[Stated, ...]:
    """The difference in the finding."""
    selection = context.selection
    if not df or selection is None or selection.runner_up is None:
        return ()
    i = selection.runner_up
    return (states_pair(selection.selected, i, float(selection.lead[i])),)


def _finding(context: Context, seed_effect: float, df: int) -> str:
    if not df and not context.run.is_trained_once:
        return (
            "Each configuration was trained once in each fold; the section on folds shows what "
            "another training changes."
        )
    if not df:
        return (
            "Each configuration was trained once, so the variance between seeds was not measured "
            "and no difference can be compared with it."
        )
    text = (
        "Two trainings of one configuration that differ only in the seed typically differ by "
        f"{number(math.sqrt(2) * seed_effect)} Dice (standard deviation {number(seed_effect)} per "
        f"training, {many(df, 'degree')} of freedom)."
    )
    if context.selection is None or context.selection.runner_up is None:
        return text
    i, seeds = context.selection.runner_up, len(context.run.seeds)
    chance = 1.96 * seed_effect * math.sqrt(2 / seeds)
    size = "more" if abs(context.selection.lead[i]) > chance else "not more"
    return (
        f"{text} The selected configuration differs from the runner-up by "
        f"{signed(context.selection.lead[i])}. That is {size} than {number(chance)}: two equal "
        f"configurations with {many(seeds, 'seed')} each differ by less than this in 95 of 100 "
        "runs, from the choice of seeds alone."
    )


def _figure(context: Context, order: list[int], shares: np.ndarray) -> Figure:
    names = [plain(cell_name(context.run.cells[i])) for i in order]
    by_seed = nan_mean(shares, 2)[order]
    data = []
    for place, i in enumerate(order):
        at = [s for s in range(by_seed.shape[1]) if not math.isnan(by_seed[place, s])]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [round(float(by_seed[place, s]), 4) for s in at],
                "y": [names[place]] * len(at),
                "customdata": [f"seed {context.run.seeds[s]}" for s in at],
                "marker": {
                    "color": model_colour(context.run, context.run.cells[i].model),
                    "size": 9,
                    "opacity": 0.8,
                },
                "hovertemplate": "%{y}<br>%{customdata}: %{x:.3f}<extra></extra>",
            }
        )
    width, between = float(np.nanmax(np.ptp(by_seed, axis=1))), float(np.ptp(nan_mean(by_seed, 1)))
    widest = (
        f"The seeds of one configuration differ by up to {number(width)}"
        if not math.isnan(width)
        else "No configuration has two seeds"
    )
    return Figure(
        id="seeds-strip",
        caption=(
            f"{widest}; the means of the configurations differ by up to {number(between)}. One "
            f"point per training: its mean test Dice of the {context.run.nouns} over "
            f"n = {shares.shape[2]} patients, native grid; highest mean first."
        ),
        data=tuple(data),
        layout={
            "showlegend": False,
            "margin": {"l": 10, "r": 16, "t": 16, "b": 44},
            "xaxis": {"title": {"text": "Dice"}, "zeroline": False},
            "yaxis": {
                "type": "category",
                "categoryarray": names[::-1],
                "categoryorder": "array",
                "range": [-0.7, len(order) - 0.3],
            },
        },
        table=_seed_table(context, order, by_seed),
        height=80 + 24 * len(order),
        least_width=460,
    )


def _seed_table(context: Context, order: list[int], by_seed: np.ndarray) -> Table:
    names = [f"seed {seed}" for seed in context.run.seeds]
    columns = (
        Column("configuration"),
        *(Column(name, True) for name in names),
        Column("highest minus lowest", True),
    )
    rows = []
    for place, i in enumerate(order):
        values = [float(value) for value in by_seed[place]]
        known = [value for value in values if not math.isnan(value)]
        width = max(known) - min(known) if len(known) > 1 else math.nan
        cells = [
            TableCell("not run", look="quiet")
            if math.isnan(value)
            else TableCell(number(value), value)
            for value in values
        ]
        rows.append((configuration(context, i), *cells, TableCell(number(width), width)))
    caption = f"Mean test Dice of the {context.run.nouns}, one number per training."
    return Table(id="seeds-table", caption=caption, columns=columns, rows=tuple(rows))


def _split(context: Context, order: list[int], shares: np.ndarray) -> VarianceSplit | None:
    """The split over the configurations that have every seed; None for fewer than two of them."""
    counts = context.test[NATIVE]
    whole = [i for i in order if counts.available[i].all()]
    return variance_split(shares[whole]) if len(whole) > 1 else None


def _split_table(split: VarianceSplit) -> Table:
    total = math.fsum(value for name in PARTS if not math.isnan(value := getattr(split, name)))
    rows = []
    for name, (word, meaning) in PARTS.items():
        value = getattr(split, name)
        if math.isnan(value):
            unknown = TableCell("not measured", look="quiet")
            rows.append((TableCell(word), unknown, TableCell("", look="quiet"), TableCell(meaning)))
        else:
            share = value / total if total else 0.0
            rows.append(
                (
                    TableCell(word),
                    TableCell(number(math.sqrt(value)), value),
                    TableCell(percent(share), share),
                    TableCell(meaning),
                )
            )
    columns = (
        Column("component"),
        Column("standard deviation", True),
        Column("share of the variance", True),
        Column("meaning"),
    )
    caption = (
        "Where the differences between single scores (one patient, one training) come from: "
        "variance components, estimated by an analysis of variance in which all effects are "
        "random and none is below 0."
    )
    return Table(id="seeds-split", caption=caption, columns=columns, rows=tuple(rows))


def _needs_table(context: Context, selection: Selection, order: list[int]) -> Table:
    counts = context.all_predictions.counts
    rivals = [i for i in ranked_all(context) if i != selection.selected]
    weights = pair_weights([(selection.selected, i) for i in rivals], len(counts.available))
    design = Design(
        patients=len(context.test[NATIVE].patients),
        seeds=len(context.run.seeds),
        configurations=len(order),
        comparisons=len(context.pairs.rows),
        folds=len(context.run.pooled_folds),
    )
    rows = []
    for i, spread in zip(rivals, spreads(weights, counts, MEAN), strict=True):
        lead = float(selection.lead[i])
        row = context.pairs.rows[min(i, selection.selected), max(i, selection.selected)]
        resolved = bool(context.pairs.verdicts.resolved[row])
        known = context.pairs.found.seeds_known and not math.isnan(spread.mix)
        patients = patients_needed(lead, spread, design) if known else None
        trainings = seeds_needed(lead, spread, design) if known else None
        rows.append(
            (
                prediction(context, i),
                TableCell(signed(lead), lead, states=states_pair(selection.selected, i, lead)),
                TableCell(
                    "resolved" if resolved else "not resolved", look="" if resolved else "quiet"
                ),
                _needed(patients, design.patients, known),
                _needed(trainings, design.seeds, known),
            )
        )
    columns = (
        Column("rival"),
        Column("difference", True, "selected configuration minus rival, mean test Dice"),
        Column("verdict"),
        Column(
            "patients for 80 % power",
            True,
            "with the present number of seeds, if the true difference equals the observed one",
        ),
        Column(
            "seeds for 80 % power", True, "per configuration, with the present number of patients"
        ),
    )
    caption = (
        f"How many test patients (here {design.patients}) or how many seeds (here {design.seeds}) "
        "resolve the difference with 80 % power, if the true difference equals the observed one, "
        f"after Holm's correction over {many(design.comparisons, 'pair')}."
    )
    return Table(id="seeds-needs", caption=caption, columns=columns, rows=tuple(rows))


def _needed(count: int | None, at_hand: int, known: bool) -> TableCell:
    text = describe_needed(count, at_hand) if known else "not measured"
    return TableCell(text, math.inf if count is None else count)


def describe_needed(count: int | None, at_hand: int) -> str:
    """A number of patients or seeds as text: a number, that the present one is enough, or that more
    of them do not help.
    """
    if count is None:
        return "more do not help"
    return f"{count:,}" if count > at_hand else f"at most the present {at_hand}"
