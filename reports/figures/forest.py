"""Forest plots: the mean of every configuration with its interval, in one panel per class; and the
difference between the selected configuration and every rival.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.analysis.context import Context
from reports.analysis.questions import SAME
from reports.analysis.selection import Selection
from reports.analysis.summary import MEAN, ScoreSummary
from reports.elements import Column, Figure, Table, TableCell
from reports.estimands import states_pair
from reports.figures.cells import (
    class_name,
    dice_cell,
    is_external,
    prediction,
    prediction_colour,
    prediction_name,
    summary_of,
)
from reports.figures.colours import mark
from reports.formatting import cell_name, distinct, listed, many, plain, signed_range
from trials.records.result import NATIVE

# Sizes in pixels: one row, the frame around the rows, the row names, one panel.
ROW, FRAME, NAMES, PANEL = 26, 96, 220, 165
# One line of a title, and the letters that fit into a panel.
LINE, TITLE = 16, 17
KEY = "colour shows the model, shape the loss, fill the sampling"
Estimate = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the forest plot: its place in all_predictions, its name in the figure, its colour
    and mark, its summary by label.
    """

    place: int
    name: str
    colour: str
    mark: str
    by_label: Mapping[int, ScoreSummary]


def mean_figure(context: Context, order: list[int]) -> Figure:
    """Mean test Dice of these predictions, places in all_predictions, in this order: one panel per
    class.
    """
    sizes_of = {label: summary_of(context, order[0], label).n for label in _labels(context)}
    labels = [label for label, size in sizes_of.items() if size]
    titles = [class_name(context, label) for label in labels]
    sizes = listed([str(size) for size in sorted({sizes_of[label] for label in labels})])
    ours = sum(not is_external(context, i) for i in order)
    external = (
        f" and {many(len(context.external.names), 'set')} of external predictions (crosses)"
        if context.external.names
        else ""
    )
    caption = (
        f"{many(ours, 'configuration')}{external}, highest mean first. Where intervals "
        "overlap widely, the order of the rows is uncertain. Mean test Dice with 95 % interval, "
        f"n = {sizes} patients; {KEY}."
    )
    lines = _lines(context, order)
    rows = tuple(
        (
            prediction(context, line.place),
            *(dice_cell(context, line.place, label) for label in labels),
        )
        for line in lines
    )
    columns = (Column("configuration"), *(Column(title, True) for title in titles))
    return Figure(
        id="forest",
        caption=caption,
        data=tuple(
            trace for panel, label in enumerate(labels) for trace in _panel(lines, label, panel)
        ),
        layout=_mean_panels(lines, labels, titles),
        table=Table(
            id="forest-table",
            caption="The means and intervals of the figure.",
            columns=columns,
            rows=rows,
        ),
        height=frame(titles) + ROW * len(lines),
        least_width=NAMES + PANEL * len(labels),
    )


def _mean_panels(lines: list[Line], labels: list[int], titles: list[str]) -> dict[str, Any]:
    """The panels of the means. A panel whose values are all equal gets the range 0 to 1, because
    plotly's own would start below 0.
    """
    layout = panels(titles, [line.name for line in reversed(lines)])
    for label, axis in zip(
        labels, (name for name in layout if name.startswith("xaxis")), strict=True
    ):
        if len({round(line.by_label[label].dice, 4) for line in lines}) == 1:
            layout[axis]["range"] = [0, 1.02]
    return layout


def _labels(context: Context) -> tuple[int, ...]:
    return (MEAN, *context.run.labels)


def _lines(context: Context, order: list[int]) -> list[Line]:
    """One row for each prediction in this order."""
    return [
        Line(
            place=i,
            name=plain(prediction_name(context, i)),
            colour=prediction_colour(context, i),
            mark="x-thin" if is_external(context, i) else mark(context.run, context.run.cells[i]),
            by_label={label: summary_of(context, i, label) for label in _labels(context)},
        )
        for i in order
    ]


def difference_figure(context: Context, selection: Selection, order: list[int]) -> Figure:
    """The difference between the selected configuration and each other prediction; filled if its
    lead is resolved.
    """
    rivals = [i for i in order if i != selection.selected]
    data = []
    for resolved, colour, symbol in (
        (True, "var(--ink)", "circle"),
        (False, "var(--muted)", "circle-open"),
    ):
        cells = [i for i in rivals if bool(selection.resolved[i]) == resolved]
        values = [(selection.lead[i], selection.low[i], selection.high[i]) for i in cells]
        data.append(points(_names(context, cells[::-1]), values, colour, [symbol] * len(cells), 0))
    num_resolved = sum(bool(selection.resolved[i]) for i in rivals)
    one_seed = (
        " With one seed no difference can be resolved: the variance between trainings was not "
        "measured."
        if context.run.is_trained_once
        else ""
    )
    caption = (
        f"{cell_name(context.run.cells[selection.selected])} (selected on validation) has a "
        f"resolved lead over {num_resolved} of {many(len(rivals), 'rival')} (filled).{one_seed} "
        "Paired difference of the mean test Dice with 95 % interval, n = "
        f"{context.summaries[NATIVE][selection.selected, MEAN].n} patients, averaged over seeds; "
        f"the grey band is ±{SAME}."
    )
    return Figure(
        id="differences",
        caption=caption,
        data=tuple(trace for trace in data if trace["y"]),
        layout=panels(["Dice minus the rival's Dice"], _names(context, rivals))
        | {"shapes": _band()},
        table=_difference_table(context, selection, rivals),
        height=FRAME + ROW * len(rivals),
        least_width=NAMES + 2 * PANEL,
    )


def _names(context: Context, order: list[int]) -> list[str]:
    """Row names from bottom to top, in plotly's order."""
    return [plain(prediction_name(context, i)) for i in reversed(order)]


def frame(titles: Sequence[str]) -> int:
    """The height around the rows of panels with these titles, in pixels."""
    return FRAME + LINE * (max(len(lines) for lines in _in_lines(titles)) - 1)


def _in_lines(titles: Sequence[str]) -> list[list[str]]:
    """Titles in lines that fit their panels, broken after "_" and spaces where they can be."""
    letters = TITLE if len(titles) > 1 else 3 * TITLE
    several = [
        textwrap.wrap(title.replace("_", "_ "), letters, max_lines=4, placeholder="…")
        for title in titles
    ]
    return [[line.replace("_ ", "_") for line in lines] for lines in several]


def panels(titles: list[str], rows: list[str]) -> dict[str, Any]:
    """A plotly layout of panels side by side with common rows, given from bottom to top; the titles
    are plain text.
    """
    width = 1 / len(titles)
    layout: dict[str, Any] = {
        "showlegend": False,
        "margin": {"l": 10, "r": 10, "t": 36 + frame(titles) - FRAME, "b": 40},
        "annotations": [],
    }
    order = {"type": "category", "categoryarray": rows, "categoryorder": "array"}
    layout["yaxis"] = order | {"automargin": True, "range": [-0.6, len(rows) - 0.4]}
    for panel, lines in enumerate(_in_lines(titles)):
        domain = [panel * width + 0.012, (panel + 1) * width - 0.012]
        axis = "xaxis" if panel == 0 else f"xaxis{panel + 1}"
        layout[axis] = {"domain": domain, "anchor": "y", "nticks": 5, "zeroline": False}
        place = {
            "x": domain[0],
            "y": 1,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
        }
        text = "<br>".join(map(plain, lines))
        layout["annotations"].append(
            {**place, "text": f"<b>{text}</b>", "align": "left", "showarrow": False}
        )
    return layout


def points(
    rows: list[str], values: list[Estimate], colour: str, marks: list[str], panel: int
) -> dict[str, Any]:
    """A plotly trace of estimates (value, low, high) with their intervals in one panel; NaN values
    are left out.
    """
    known = [
        (row, value, mark)
        for row, value, mark in zip(rows, values, marks, strict=True)
        if not math.isnan(value[0])
    ]
    spans = [
        (0.0, 0.0) if math.isnan(low) else (high - value, value - low)
        for _, (value, low, high), _ in known
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "x": [round(value[0], 4) for _, value, _ in known],
        "y": [row for row, _, _ in known],
        "xaxis": "x" if panel == 0 else f"x{panel + 1}",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(up, 4) for up, _ in spans],
            "arrayminus": [round(down, 4) for _, down in spans],
            "color": colour,
            "thickness": 1.5,
            "width": 0,
        },
        "marker": {
            "color": colour,
            "symbol": [mark for _, _, mark in known],
            "size": 9,
            "line": {"width": 1.5, "color": colour},
        },
        "hovertemplate": "%{y}<br>%{x:.3f}<extra></extra>",
    }


def _panel(lines: list[Line], label: int, panel: int) -> list[dict[str, Any]]:
    """One trace per colour, so that a model has the same colour in every panel."""
    traces = []
    for colour in distinct(line.colour for line in lines):
        mine = [line for line in reversed(lines) if line.colour == colour]
        summaries = [line.by_label[label] for line in mine]
        values = [(summary.dice, summary.dice_low, summary.dice_high) for summary in summaries]
        traces.append(
            points(
                [line.name for line in mine], values, colour, [line.mark for line in mine], panel
            )
        )
    return [trace for trace in traces if trace["y"]]


def _band() -> list[dict[str, Any]]:
    whole = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    band = {
        "type": "rect",
        "x0": -SAME,
        "x1": SAME,
        "line": {"width": 0},
        "fillcolor": "var(--band)",
        "layer": "below",
    }
    zero = {"type": "line", "x0": 0, "x1": 0, "line": {"color": "var(--muted)", "width": 1}}
    return [whole | band, whole | zero]


def _difference_table(context: Context, selection: Selection, rivals: list[int]) -> Table:
    columns = (Column("rival"), Column("difference [95 % interval]", True), Column("verdict"))
    rows = tuple(
        (
            prediction(context, i),
            TableCell(
                signed_range(selection.lead[i], selection.low[i], selection.high[i]),
                selection.lead[i],
                states=states_pair(selection.selected, i, float(selection.lead[i])),
            ),
            TableCell(
                "resolved" if selection.resolved[i] else "not resolved",
                look="" if selection.resolved[i] else "quiet",
            ),
        )
        for i in rivals
    )
    return Table(
        id="differences-table",
        caption="The selected configuration minus each rival.",
        columns=columns,
        rows=rows,
    )
