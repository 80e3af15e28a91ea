"""How much each hyperparameter mattered in the cells' studies: in words, and as a figure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from reports.analysis.context import Context
from reports.elements import Column, Figure, Table, TableCell
from reports.figures.cells import configuration
from reports.figures.colours import model_colour
from reports.formatting import cell_name, distinct, listed, many, percent, plain, span
from trials.records.spec import Cell

# By cell, then by hyperparameter; those of a cell sum to 1.
Shares = Mapping[Cell, Mapping[str, float]]


def importance_words(importance: Shares, most: int) -> str:
    """What mattered most in how many cells; where nothing could be learnt, why: the largest study
    has most trials.
    """
    if importance:
        first = Counter(
            max(found, key=lambda name: (found[name], name)) for found in importance.values()
        )
        lead = listed(
            [f"{name.replace('_', ' ')} in {count}" for name, count in first.most_common()]
        )
        return f"What mattered most: {lead} of {many(len(importance), 'cell')}."
    return (
        f"With at most {many(most, 'complete trial')} a study, nothing can be learnt about which "
        "hyperparameter mattered: "
        "that takes at least 10 that differ in score."
    )


def importance_figure(context: Context, importance: Shares, sizes: Sequence[int]) -> Figure:
    """A point a cell and hyperparameter; sizes are the trials behind each cell."""
    names = sorted(
        {name for found in importance.values() for name in found},
        key=lambda name: (name != "lr", name),
    )
    data = []
    for model in distinct(cell.model for cell in importance):
        mine = [
            (cell, name, share)
            for cell, found in importance.items()
            if cell.model == model
            for name, share in found.items()
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(model),
                "x": [round(share, 4) for _, _, share in mine],
                "y": [plain(name.replace("_", " ")) for _, name, _ in mine],
                "customdata": [plain(cell_name(cell)) for cell, _, _ in mine],
                "marker": {"size": 10, "opacity": 0.7, "color": model_colour(context.run, model)},
                "hovertemplate": "%{customdata}<br>%{y}: %{x:.0%}<extra></extra>",
            }
        )
    caption = (
        "How much of what tells a study's best trials from all of them each hyperparameter carries "
        "(PED-ANOVA, Watanabe and "
        f"others 2023; the best are a quarter, at least five). A point is a cell, {span(sizes, 0)} "
        "complete trials each; the "
        "shares of a cell sum to 1."
    )
    columns = (Column("configuration"), *(Column(name.replace("_", " "), True) for name in names))
    rows = tuple(
        (
            configuration(context, context.run.cells.index(cell)),
            *(
                TableCell(percent(found[name]), found[name])
                if name in found
                else TableCell("", float("nan"))
                for name in names
            ),
        )
        for cell, found in importance.items()
    )
    layout = {
        "margin": {"l": 10, "r": 10, "t": 40, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "importance"}, "range": [-0.03, 1.03], "tickformat": ".0%"},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [name.replace("_", " ") for name in names][::-1],
        },
    }
    table = Table(id="importance-table", caption="Importance by cell.", columns=columns, rows=rows)
    return Figure(
        id="importance",
        caption=caption,
        data=tuple(data),
        layout=layout,
        table=table,
        height=130 + 42 * len(names),
    )
