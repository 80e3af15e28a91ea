"""Validation Dice against training time, memory and parameters, and the configurations on the
Pareto front.
"""

import math
from collections.abc import Callable
from typing import Any

from reports.analysis.context import Context
from reports.analysis.costs import Cost, costs_of, pareto_front, unit_of
from reports.elements import Block, Column, Figure, Section, Table, TableCell
from reports.figures.cells import configuration, nothing_known
from reports.figures.colours import mark, model_colour
from reports.figures.forest import KEY
from reports.formatting import cell_name, distinct, listed, many, number, plain, quantity
from trials.records.result import duration

PREDICTION = (
    Column("seconds per prediction", True, "mean seconds of predicting a case of the run"),
    Column("GiB of predicting", True, "peak memory while cases are predicted"),
)


def pareto(context: Context) -> Section | None:
    """Validation Dice against time, memory and size; only the total cost with fewer than two scored
    configurations; None before a first trial.
    """
    results = context.run.results
    if not results:
        return None
    seconds, peak = (
        sum(result.seconds for result in results),
        max(result.peak_gib for result in results),
    )
    total = (
        f"{many(len(results), 'trial')} took {duration(seconds)} of training time and at most "
        f"{peak:.2g} GiB of memory."
    )
    costs = costs_of(context)
    blocks: tuple[Block, ...] = (_figure(context, costs),) if len(costs) > 1 else ()
    return Section(
        id="pareto",
        title="Cost",
        question="What does a higher Dice cost in time, memory and size?",
        finding=f"{_best(context, costs)}{total}",
        blocks=blocks,
    )


def _hours(cost: Cost) -> float:
    return cost.hours


def _memory(cost: Cost) -> float:
    return cost.peak_gib


def _size(cost: Cost) -> float:
    return cost.parameters


def _best(context: Context, costs: list[Cost]) -> str:
    if len(costs) < 2:
        return ""
    on_front = pareto_front(costs, _hours)
    cheapest, dearest = on_front[0], on_front[-1]
    if cheapest is dearest:
        return (
            f"{_name(context, cheapest)} has the highest validation Dice and is the fastest to "
            "train. "
        )
    return (
        f"{_name(context, dearest)} has the highest validation Dice ({number(dearest.dice)}); "
        f"{_name(context, cheapest)} trains in {duration(cheapest.seconds)} and reaches "
        f"{number(cheapest.dice)}. "
    )


def _name(context: Context, cost: Cost) -> str:
    return cell_name(context.run.cells[cost.i])


def _figure(context: Context, costs: list[Cost]) -> Figure:
    factor, unit = unit_of(costs)
    panels: tuple[tuple[str, Callable[[Cost], float]], ...] = (
        (f"{unit} per training", lambda cost: cost.hours * factor),
        ("peak GiB", _memory),
        ("parameters", _size),
    )
    data = [
        trace for place, (_, of) in enumerate(panels) for trace in _panel(context, costs, of, place)
    ]
    fronts = [
        f"{len(pareto_front(costs, of))} for {name}"
        for name, of in zip(("time", "memory", "size"), (_hours, _memory, _size), strict=True)
    ]
    caption = (
        "Large marks on the line are on the Pareto front: no other configuration reaches their "
        f"Dice at the same or a lower cost ({listed(fronts)}, of "
        f"{many(len(costs), 'configuration')}). Mean validation Dice of the {context.run.nouns}, "
        f"native grid, n = {len(context.validation.patients)} patients; test scores are not used "
        f"here. {KEY[0].upper()}{KEY[1:]}."
    )
    return Figure(
        id="front",
        caption=caption,
        data=tuple(data),
        layout=_layout([name for name, _ in panels], [cost.parameters for cost in costs]),
        table=_table(context, costs, factor, unit),
        height=400,
        least_width=760,
    )


def _panel(
    context: Context, costs: list[Cost], of: Callable[[Cost], float], place: int
) -> list[dict[str, Any]]:
    axis = "x" if place == 0 else f"x{place + 1}"
    best = pareto_front(costs, of)
    line = {
        "type": "scatter",
        "mode": "lines",
        "xaxis": axis,
        "x": [_round(of(cost)) for cost in best],
        "y": [round(cost.dice, 4) for cost in best],
        "line": {"shape": "hv", "color": "var(--muted)", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    traces = [line]
    for model in distinct(context.run.cells[cost.i].model for cost in costs):
        mine = [cost for cost in costs if context.run.cells[cost.i].model == model]
        colour = model_colour(context.run, model)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(model),
                "legendgroup": plain(model),
                "showlegend": place == 0,
                "xaxis": axis,
                "x": [_round(of(cost)) for cost in mine],
                "y": [round(cost.dice, 4) for cost in mine],
                "customdata": [plain(_name(context, cost)) for cost in mine],
                "marker": {
                    "color": colour,
                    "size": [12 if cost in best else 8 for cost in mine],
                    "opacity": [1 if cost in best else 0.55 for cost in mine],
                    "symbol": [mark(context.run, context.run.cells[cost.i]) for cost in mine],
                    "line": {"width": 1.5, "color": colour},
                },
                "hovertemplate": "%{customdata}<br>%{x:.3g}, Dice %{y:.3f}<extra></extra>",
            }
        )
    return traces


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def _layout(titles: list[str], sizes: list[float]) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "margin": {"l": 56, "r": 16, "t": 40, "b": 48},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "yaxis": {"title": {"text": "validation Dice"}, "nticks": 6},
    }
    for place, title in enumerate(titles):
        domain = [place / len(titles) + 0.015 * (place > 0), (place + 1) / len(titles) - 0.015]
        layout["xaxis" if place == 0 else f"xaxis{place + 1}"] = {
            "domain": domain,
            "anchor": "y",
            "title": {"text": title},
            **(_decades(sizes) if title == "parameters" else {"rangemode": "tozero", "nticks": 5}),
        }
    return layout


def _decades(sizes: list[float]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 3, 10, ... as text; a narrow range has ticks at its
    ends.
    """
    low, high = max(1.0, min(sizes)) / 1.5, max(1.0, *sizes) * 1.5
    ticks: list[float] = [
        tick for power in range(13) for tick in (10**power, 3 * 10**power) if low <= tick <= high
    ]
    if len(ticks) < 2:
        ticks = sorted({min(sizes), max(sizes)})
    span = [math.log10(low), math.log10(high)]
    return {
        "type": "log",
        "range": span,
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [quantity(tick) for tick in ticks],
    }


def known(value: float | None) -> TableCell:
    """A number of two digits after the point; empty where no result recorded it."""
    return nothing_known() if value is None else TableCell(number(value, 2), value)


def _table(context: Context, costs: list[Cost], factor: float, unit: str) -> Table:
    searched = any(cost.search_hours for cost in costs)
    on = {
        name: {cost.i for cost in pareto_front(costs, of)}
        for name, of in (("time", _hours), ("memory", _memory), ("size", _size))
    }
    is_predicted = any(cost.case_seconds is not None for cost in costs)
    columns = (
        Column("configuration"),
        Column("validation Dice", True),
        Column(f"{unit} per training", True),
        *((Column(f"{unit} for tuning", True),) if searched else ()),
        Column("peak GiB", True),
        *(PREDICTION if is_predicted else ()),
        *(Column(name, True) for name in ("parameters", "trainable", "multiply-adds")),
        Column("on the Pareto front for"),
    )
    rows = tuple(
        (
            configuration(context, cost.i),
            TableCell(number(cost.dice), cost.dice),
            TableCell(number(cost.hours * factor, 2), cost.hours),
            *(
                (TableCell(number(cost.search_hours * factor, 2), cost.search_hours),)
                if searched
                else ()
            ),
            TableCell(f"{cost.peak_gib:.2f}", cost.peak_gib),
            *((known(cost.case_seconds), known(cost.case_gib)) if is_predicted else ()),
            TableCell(quantity(cost.one.num_parameters), cost.one.num_parameters),
            TableCell(quantity(cost.one.num_trainable), cost.one.num_trainable),
            TableCell(quantity(cost.one.multiply_adds), cost.one.multiply_adds),
            TableCell(listed([name for name, members in on.items() if cost.i in members])),
        )
        for cost in costs
    )
    return Table(
        id="front-table", caption="Cost of each configuration.", columns=columns, rows=rows
    )
