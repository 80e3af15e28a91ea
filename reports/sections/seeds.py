"""Is a gap larger than the effect of a seed? Every training as a point, what the scatter is made
of, what would settle it.
"""

import math

import numpy as np

from reports.analysis.context import Context
from reports.analysis.patients import patient_shares
from reports.analysis.selection import Selection, gap_to
from reports.elements import Block, Column, Figure, Section, Table, TableCell
from reports.figures.cells import configuration, ranked
from reports.figures.colours import model_colour
from reports.formatting import cell_name, many, number, percent, plain, signed
from reports.stats.intervals import nan_mean, seed_variance
from reports.stats.power import VarianceSplit, cases_needed, seeds_needed, variance_split
from trials.records.result import NATIVE

PARTS = {
    "case": ("patient", "some patients are hard for all"),
    "configuration": ("configuration", "what the grid set out to compare"),
    "mix": ("patient by configuration", "a patient suits one configuration better than another"),
    "seed": ("seed", "the variance between trainings that all patients share"),
    "rest": ("rest", "the variance between trainings on one patient"),
}


def seeds(context: Context) -> Section | None:
    """Nothing before a first test score; with one seed everywhere it says that the seed_effect was
    not measured.
    """
    order, shares = ranked(context), patient_shares(context.test[NATIVE])
    if not order or not shares.shape[2]:
        return None
    seed_effect, df = seed_variance(shares)
    blocks: list[Block] = [_figure(context, order, shares)] if df else []
    split = _split(context, order, shares)
    if split is not None:
        blocks.append(_split_table(split))
    if context.selection is not None and len(order) > 1:
        blocks.append(_needs_table(context, context.selection, order))
    if not blocks:
        return None
    return Section(
        id="seeds",
        title="Seeds",
        question="Is the gap larger than the variance between seeds?",
        finding=_finding(context, math.sqrt(seed_effect), df),
        blocks=tuple(blocks),
    )


def _finding(context: Context, seed_effect: float, df: int) -> str:
    if not df:
        return (
            "Each configuration was trained once: the variance between seeds was not measured, so "
            "no gap can be called larger "
            "than it."
        )
    text = (
        "Two trainings of one configuration typically differ by "
        f"{number(math.sqrt(2) * seed_effect)} "
        "Dice through their "
        f"seeds (standard deviation {number(seed_effect)} a training, {many(df, 'degree')} of "
        "freedom)."
    )
    if context.selection is None or context.selection.runner_up is None:
        return text
    i, seeds = context.selection.runner_up, len(context.run.seeds)
    noise = 1.96 * seed_effect * math.sqrt(2 / seeds)
    size = "more" if abs(context.selection.lead[i]) > noise else "no more"
    return (
        f"{text} The selected's difference to the runner-up, {signed(context.selection.lead[i])}, "
        "is "
        f"{size} than the "
        f"{number(noise)} that chance alone explains in 95 % of comparisons of "
        f"{many(seeds, 'seed')} a side."
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
        f"The seeds of one configuration lie up to {number(width)} apart"
        if not math.isnan(width)
        else "Seeds are missing"
    )
    return Figure(
        id="seeds-strip",
        caption=(
            f"{widest}, the means of all configurations {number(between)}. A point is one "
            "training's mean test Dice of the "
            f"classes over n = {shares.shape[2]} patients, native grid; best mean first."
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
    caption = "Mean test Dice of the classes, a training a number."
    return Table(id="seeds-table", caption=caption, columns=columns, rows=tuple(rows))


def _split(context: Context, order: list[int], shares: np.ndarray) -> VarianceSplit | None:
    """Over the configurations that have every seed, or the first seed of all where none is
    complete.
    """
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
        Column("source"),
        Column("standard deviation", True),
        Column("share of the variance", True),
        Column("meaning"),
    )
    caption = (
        "What the scatter of a single score is made of: variance components by the "
        "analysis-of-variance estimator (method of "
        "moments, none below 0), all effects random, seeds within configurations."
    )
    return Table(id="seeds-split", caption=caption, columns=columns, rows=tuple(rows))


def _needs_table(context: Context, selection: Selection, order: list[int]) -> Table:
    counts = context.test[NATIVE]
    rows = []
    for i in order:
        gap = gap_to(counts, selection.selected, i)
        if i == selection.selected or gap is None:
            continue
        cases, trainings = (
            cases_needed(gap, len(context.run.seeds)),
            seeds_needed(gap, len(counts.cases)),
        )
        verdict = "resolved" if selection.resolved[i] else "not resolved"
        seed_variance_known = (counts.available.sum(axis=1) > 1).any()
        rows.append(
            (
                configuration(context, i),
                TableCell(signed(gap.gap), gap.gap),
                TableCell(verdict, look="" if selection.resolved[i] else "quiet"),
                TableCell(
                    describe_needed(cases, len(counts.cases))
                    if seed_variance_known
                    else "not measured",
                    cases,
                ),
                TableCell(
                    describe_needed(trainings, len(context.run.seeds))
                    if seed_variance_known
                    else "not measured",
                    trainings,
                ),
            )
        )
    columns = (
        Column("rival"),
        Column("lead of the selected", True),
        Column("verdict"),
        Column(
            "patients for 80 % power",
            True,
            "with the seeds at hand, were the gap truly as large as it is here",
        ),
        Column("seeds for 80 % power", True, "a configuration, with the patients at hand"),
    )
    caption = (
        f"How many test patients (here {len(counts.cases)}), or how many seeds (here "
        f"{len(context.run.seeds)}), would tell the "
        "selected from each rival at the two-sided 5 % level, if the true gap were the one "
        "seen and nothing else were compared; the verdict asks for more."
    )
    return Table(id="seeds-needs", caption=caption, columns=columns, rows=tuple(rows))


def describe_needed(count: float, at_hand: int) -> str:
    """A number of patients or seeds; in words where those at hand would do, or none would."""
    return (
        "none would do"
        if math.isinf(count)
        else f"{count:,.0f}"
        if count > at_hand
        else f"at most the {at_hand} at hand"
    )
