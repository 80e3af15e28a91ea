"""Whether the ranking depends on the patients: each configuration's ranks over the bootstrap
samples, and Kendall's tau.
"""

import numpy as np

from reports.analysis.context import Context
from reports.analysis.summary import MEAN
from reports.elements import Column, Figure, Section, Table, TableCell
from reports.estimands import states_first
from reports.figures.cells import prediction, prediction_colour, prediction_name, ranked_all
from reports.formatting import distinct, many, number, percent, plain
from reports.stats.intervals import DRAWS
from reports.stats.ranks import Stability, stability
from trials.records.result import NATIVE

# Shares below this are not drawn.
RARE = 0.005


def ranking_stability(context: Context) -> Section | None:
    """How often each configuration takes each rank; None for fewer than two configurations with a
    score, or fewer than two patients.
    """
    order, patients = ranked_all(context), len(context.test[NATIVE].patients)
    if len(order) < 2 or patients < 2:
        return None
    resampled = context.resampled
    found = stability(resampled.estimates[MEAN][order], resampled.draws[MEAN][:, order])
    if found is None:
        return None
    best, first = prediction_name(context, order[0]), float(context.first[order[0]])
    return Section(
        id="stability",
        title="Ranking stability",
        question="Would the ranking be the same on other patients?",
        finding=(
            f"{best} ranks first in {percent(first)} of {DRAWS:,} bootstrap "
            f"samples of {drawn(context)}. Kendall's tau between the observed ranking and the "
            f"ranking of a sample is {number(found.tau, 2)} on average (95 % range "
            f"{number(found.tau_low, 2)} to {number(found.tau_high, 2)}); 1 means the same order, "
            "0 means no relation."
        ),
        blocks=(_figure(context, order, found),),
        states=(states_first(order[0], first),),
    )


def drawn(context: Context) -> str:
    """What a bootstrap sample draws; the variance between seeds is unknown with one seed."""
    return "patients and seeds" if context.pairs.found.seeds_known else "patients"


def _figure(context: Context, order: list[int], found: Stability) -> Figure:
    names = [plain(prediction_name(context, i)) for i in order]
    num, step = len(order), max(16, min(30, 760 // len(order)))
    data = []
    colours = [prediction_colour(context, i) for i in order]
    for colour in distinct(colours):
        rows = [row for row, own in enumerate(colours) if own == colour]
        circles = [
            (row, rank) for row in rows for rank in range(num) if found.share[row, rank] >= RARE
        ]
        shares = np.array([found.share[row, rank] for row, rank in circles])
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [rank + 1 for _, rank in circles],
                "y": [names[row] for row, _ in circles],
                "customdata": [percent(float(share)) for share in shares],
                "marker": {
                    "size": [round(float(size), 1) for size in 3 + (step - 3) * np.sqrt(shares)],
                    "color": colour,
                    "opacity": 0.75,
                    "line": {"width": 0},
                },
                "hovertemplate": "%{y}<br>rank %{x} in %{customdata} of samples<extra></extra>",
            }
        )
    wide = int(np.max(found.high - found.low)) + 1
    return Figure(
        id="stability-circles",
        caption=(
            f"The widest 95 % range of ranks covers {wide} of {many(num, 'rank')}. The area of a "
            f"circle is the share of {DRAWS:,} bootstrap samples of n = "
            f"{len(context.test[NATIVE].patients)} patients in which it takes that rank (mean "
            f"Dice of the {context.run.nouns}, native grid; drawn are {drawn(context)}); shares "
            "below 0.5 % are not drawn."
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
        Column("rank", True, "in the observed data"),
        Column("95 % range of ranks", True),
        Column("ranks first", True, "share of the bootstrap samples"),
        Column("in the first three", True, "share of the bootstrap samples"),
    )
    rows = []
    for row, i in enumerate(order):
        low, high = int(found.low[row]), int(found.high[row])
        first, three = float(context.first[i]), float(found.share[row, :3].sum())
        span = str(low) if low == high else f"{low} to {high}"
        shares = (
            TableCell(percent(first), first, states=states_first(i, first)),
            TableCell(percent(min(1.0, three)), three),
        )
        rows.append(
            (
                prediction(context, i),
                TableCell(str(row + 1), row + 1),
                TableCell(span, high),
                *shares,
            )
        )
    caption = f"Ranks by mean test Dice over bootstrap samples of {drawn(context)}."
    return Table(id="stability-table", caption=caption, columns=columns, rows=tuple(rows))
