"""Every metric of METRICS for every configuration: a table for the mean of the classes, and one per
class.
"""

import math
from collections import defaultdict

from reports.analysis.context import Context
from reports.analysis.summary import MEAN
from reports.analysis.surfaces import MetricSummaries, MetricSummary
from reports.elements import Column, Section, Table, TableCell, Text
from reports.figures.cells import (
    class_name,
    configuration,
    external_name,
    has_surfaces,
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


def metrics(context: Context) -> Section | None:
    """All metrics by class; None before the first test score, or without surfaces."""
    order = ranked(context)
    if not order or not has_surfaces(context):
        return None
    labels = [MEAN, *(label for label in context.run.labels if _is_held(context, label))]
    return Section(
        id="metrics",
        title="Metrics",
        question="Do other metrics agree with Dice?",
        finding=_finding(context, order),
        blocks=(*(_table(context, order, label) for label in labels), Text((RULE,))),
    )


def _is_held(context: Context, label: int) -> bool:
    return any((i, label) in context.metrics["dice"] for i in range(len(context.run.cells)))


def _finding(context: Context, order: list[int]) -> str:
    leads = defaultdict(list)
    for name, entry in METRICS.items():
        means = {i: context.metrics[name][i, MEAN].value for i in order}
        costs = {i: _cost(entry, mean) for i, mean in means.items() if not math.isnan(mean)}
        if costs:
            leads[min(costs, key=costs.__getitem__)].append(entry.title_of(name))
    parts = [f"{cell_name(context.run.cells[i])} in {listed(names)}" for i, names in leads.items()]
    return f"Best mean of the classes: {'; '.join(parts)}."


def _cost(entry: MetricEntry, value: float) -> float:
    """A cost that is lower for the better of two values."""
    return {HIGHER: -value, LOWER: value, ZERO: abs(value)}[entry.better]


def _table(context: Context, order: list[int], label: int) -> Table:
    usual = {name: max(context.metrics[name][i, label].n for i in order) for name in METRICS}
    columns = tuple(_column(name, entry, usual[name]) for name, entry in METRICS.items())
    ours = [(configuration(context, i), context.metrics, i) for i in order]
    theirs = [
        (external_name(name), context.external.metrics, o)
        for o, name in enumerate(context.external.names)
    ]
    title = class_name(context, label)
    title = f"{title[:1].upper()}{title[1:]}"
    return Table(
        id=f"metrics-{'mean' if label == MEAN else label}",
        caption=f"{title}: every metric with its 95 % interval, native grid.",
        columns=(Column("configuration"), *columns),
        rows=tuple(
            (first, *_cells(summaries, i, label, usual)) for first, summaries, i in ours + theirs
        ),
        folded=label != MEAN,
    )


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
    return TableCell(number(found.value, digits), by, small=small)
