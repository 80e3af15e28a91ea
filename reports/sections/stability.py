"""Would other patients rank the configurations alike? Ranks over the resamples as blobs, Kendall's
tau in words.
"""

import numpy as np

from reports.analysis.context import Context
from reports.analysis.summary import MEAN
from reports.elements import Column, Figure, Section, Table, TableCell
from reports.figures.cells import configuration, ranked
from reports.figures.colours import model_colour
from reports.formatting import cell_name, distinct, many, number, percent, plain
from reports.stats.intervals import DRAWS
from reports.stats.ranks import Stability, stability
from trials.records.result import NATIVE

# Ranks rarer than this are not drawn.
RARE = 0.005


def ranking_stability(context: Context) -> Section | None:
    """Nothing for fewer than two configurations with a score, or fewer than two patients."""
    order, patients = ranked(context), len(context.test[NATIVE].cases)
    if len(order) < 2 or patients < 2:
        return None
    # The effect of the seeds is left out: the question is about other patients.
    draws = (context.resampled.draws[MEAN] - context.resampled.seed_effect[MEAN])[:, order]
    found = stability(context.resampled.estimates[MEAN][order], draws)
    if found is None:
        return None
    best = cell_name(context.run.cells[order[0]])
    return Section(
        id="stability",
        title="Stability of the ranking",
        question="Would other patients rank the configurations alike?",
        finding=(
            f"Drawn anew, the patients put {best} first in {percent(float(found.share[0, 0]))} of "
            "the draws. Kendall's tau "
            f"between the ranking at hand and a drawn one is {number(found.tau, 2)} on average, 95 "
            "% of them between "
            f"{number(found.tau_low, 2)} and {number(found.tau_high, 2)}; 1 is the same order, 0 "
            "no relation."
        ),
        blocks=(_figure(context, order, found),),
    )


def _figure(context: Context, order: list[int], found: Stability) -> Figure:
    names = [plain(cell_name(context.run.cells[i])) for i in order]
    num, step = len(order), max(16, min(30, 760 // len(order)))
    data = []
    for model in distinct(cell.model for cell in context.run.cells):
        rows = [row for row, i in enumerate(order) if context.run.cells[i].model == model]
        blobs = [
            (row, rank) for row in rows for rank in range(num) if found.share[row, rank] >= RARE
        ]
        shares = np.array([found.share[row, rank] for row, rank in blobs])
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [rank + 1 for _, rank in blobs],
                "y": [names[row] for row, _ in blobs],
                "customdata": [percent(float(share)) for share in shares],
                "marker": {
                    "size": [round(float(size), 1) for size in 3 + (step - 3) * np.sqrt(shares)],
                    "color": model_colour(context.run, model),
                    "opacity": 0.75,
                    "line": {"width": 0},
                },
                "hovertemplate": "%{y}<br>rank %{x} in %{customdata}<extra></extra>",
            }
        )
    wide = int(np.max(found.high - found.low)) + 1
    return Figure(
        id="stability-blobs",
        caption=(
            f"The 95 % range of a rank is up to {wide} of {many(num, 'place')} wide. Area is the "
            f"share of {DRAWS:,} draws of "
            f"n = {len(context.test[NATIVE].cases)} patients in which a configuration takes the "
            "rank "
            "(mean Dice of the classes, "
            "seeds averaged, native grid); shares below 0.5 % are not drawn."
        ),
        data=tuple(trace for trace in data if trace["y"]),
        layout={
            "showlegend": False,
            "margin": {"l": 10, "r": 16, "t": 16, "b": 44},
            "xaxis": {
                "title": {"text": "rank"},
                "range": [0.4, num + 0.6],
                "tick0": 1,
                "dtick": 1 if num <= 24 else 4,
            },
            "yaxis": {
                "type": "category",
                "categoryarray": names[::-1],
                "categoryorder": "array",
                "range": [-0.7, num - 0.3],
            },
        },
        table=_table(context, order, found),
        height=80 + step * num,
        least_width=260 + min(step, 20) * num,
    )


def _table(context: Context, order: list[int], found: Stability) -> Table:
    columns = (
        Column("configuration"),
        Column("rank", True, "at hand"),
        Column("95 % of ranks", True),
        Column("first", True, "share of the draws"),
        Column("among the first three", True, "share of the draws"),
    )
    rows = []
    for row, i in enumerate(order):
        low, high = int(found.low[row]), int(found.high[row])
        first, three = float(found.share[row, 0]), float(found.share[row, :3].sum())
        span = str(low) if low == high else f"{low} to {high}"
        shares = (TableCell(percent(first), first), TableCell(percent(min(1.0, three)), three))
        rows.append(
            (
                configuration(context, i),
                TableCell(str(row + 1), row + 1),
                TableCell(span, high),
                *shares,
            )
        )
    caption = "Ranks of the mean test Dice over draws of the patients."
    return Table(id="stability-table", caption=caption, columns=columns, rows=tuple(rows))
