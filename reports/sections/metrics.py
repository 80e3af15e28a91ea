"""Every metric of METRICS for every configuration: a table for the mean of the classes, one per
class, and one per region that the data set declares.
"""

import math
from collections import defaultdict

from reports.analysis.context import Context
from reports.analysis.summary import MEAN
from reports.analysis.surfaces import MetricSummaries, MetricSummary
from reports.elements import Column, Section, Table, TableCell, Text
from reports.figures.cells import (
    DAGGER,
    NEVER_FOUND,
    class_name,
    configuration,
    external_name,
    has_surfaces,
    never_found,
    ranked,
)
from reports.formatting import cell_name, interval, listed, number
from trials.records.metrics import (
    ALL,
    BETTER,
    BOTH,
    HELD,
    HIGHER,
    LOWER,
    METRICS,
    ZERO,
    MetricEntry,
)

ARROWS = {HIGHER: "\u2191", LOWER: "\u2193", ZERO: "\u2192 0"}
OVER = {
    HELD: "over the patients whose reference holds the class",
    BOTH: "over the patients in whom reference and prediction hold the class",
    ALL: "over all patients",
}
RULE = (
    "Every metric is taken on the patient's own voxel grid, then averaged over patients and over "
    "seeds, with its 95 % bootstrap interval. Patients without a defined value are excluded from "
    "the mean. A cell shows its number of patients if it differs from the column's. A "
    "distance is defined only if the class was predicted, so a configuration that misses the "
    "difficult patients has better distances."
)


CAPTION = "every metric with its 95 % interval, native grid."


def metrics(context: Context) -> Section | None:
    """All metrics by class; None before the first test score, or without surfaces."""
    order = ranked(context)
    if not order or not has_surfaces(context):
        return None
    held = (label for label in context.run.labels if _is_held(context.metrics, label, order))
    labels = [MEAN, *held]
    return Section(
        id="metrics",
        title="Metrics",
        question="Do other metrics agree with Dice?",
        finding=_finding(context, order),
        blocks=(
            *(_table(context, order, label) for label in labels),
            *(
                _region_table(context, order, number)
                for number, _ in enumerate(context.run.regions, start=1)
                if _is_held(context.region_metrics, number, order)
            ),
            Text((RULE,)),
        ),
    )


def _is_held(summaries: MetricSummaries, label: int, order: list[int]) -> bool:
    return any((i, label) in summaries["dice"] for i in order)


def _finding(context: Context, order: list[int]) -> str:
    leads = defaultdict(list)
    for name, entry in METRICS.items():
        means = {i: context.metrics[name][i, MEAN].value for i in order}
        costs = {i: _cost(entry, mean) for i, mean in means.items() if not math.isnan(mean)}
        if costs:
            leads[min(costs, key=costs.__getitem__)].append(entry.title_of(name))
    parts = [f"{cell_name(context.run.cells[i])} in {listed(names)}" for i, names in leads.items()]
    return f"Best mean of the {context.run.nouns}: {'; '.join(parts)}."


def _cost(entry: MetricEntry, value: float) -> float:
    """A cost that is lower for the better of two values."""
    return {HIGHER: -value, LOWER: value, ZERO: abs(value)}[entry.better]


def _table(context: Context, order: list[int], label: int) -> Table:
    title = class_name(context, label)
    return Table(
        id=f"metrics-{'mean' if label == MEAN else label}",
        caption=f"{title[:1].upper()}{title[1:]}: {CAPTION}",
        columns=_columns(context.metrics, order, label),
        rows=_rows(context, (context.metrics, context.external.metrics), order, label),
        folded=label != MEAN,
    )


def _region_table(context: Context, order: list[int], number: int) -> Table:
    both = context.region_metrics, context.external.region_metrics
    kind = "Label" if context.run.regions[number - 1] in context.run.label_names else "Region"
    return Table(
        id=f"metrics-region-{number}",
        caption=f"{kind} {context.run.regions[number - 1]}: {CAPTION}",
        columns=_columns(context.region_metrics, order, number),
        rows=_rows(context, both, order, number),
        folded=True,
    )


def _columns(summaries: MetricSummaries, order: list[int], label: int) -> tuple[Column, ...]:
    usual = _usual(summaries, order, label)
    return (
        Column("configuration"),
        *(_column(name, entry, usual[name]) for name, entry in METRICS.items()),
    )


def _rows(
    context: Context,
    both: tuple[MetricSummaries, MetricSummaries],
    order: list[int],
    label: int,
) -> tuple[tuple[TableCell, ...], ...]:
    """The configurations by the first summaries, the external predictions by the second."""
    usual = _usual(both[0], order, label)
    ours = [(configuration(context, i), both[0], i) for i in order]
    theirs = [(external_name(name), both[1], o) for o, name in enumerate(context.external.names)]
    return tuple(
        (first, *_cells(summaries, i, label, usual)) for first, summaries, i in ours + theirs
    )


def _usual(summaries: MetricSummaries, order: list[int], label: int) -> dict[str, int]:
    return {name: max(summaries[name][i, label].n for i in order) for name in METRICS}


def _column(name: str, entry: MetricEntry, num: int) -> Column:
    parts = (entry.about, BETTER[entry.better], f"{OVER[entry.over]}, n = {num}")
    heading = f"{entry.heading(name)} {ARROWS[entry.better]}"
    return Column(heading, True, "; ".join(filter(None, parts)))


def _cells(
    summaries: MetricSummaries, i: int, label: int, usual: dict[str, int]
) -> tuple[TableCell, ...]:
    return tuple(
        _cell(entry, summaries[name].get((i, label)), usual[name])
        for name, entry in METRICS.items()
    )


def _cell(entry: MetricEntry, found: MetricSummary | None, usual: int) -> TableCell:
    if found is None or math.isnan(found.value):
        return TableCell("n/a", math.nan, look="quiet", hint="not defined in any patient")
    count = "" if found.n == usual else f"n = {found.n}"
    digits = 1 if entry.unit else 3
    # Seven columns fit a page of 1280 pixels if the intervals of ratios have two decimals.
    bounds = interval(found.low, found.high, min(digits, 2))
    small = " ".join(filter(None, (bounds, count)))
    by = abs(found.value) if entry.better == ZERO else found.value
    if entry.better != HIGHER or not never_found(found.value, found.high):
        return TableCell(number(found.value, digits), by, small=small)
    return TableCell(number(found.value, digits), by, small=f"{small} {DAGGER}", note=NEVER_FOUND)
