"""The importance of each hyperparameter in the studies, as a sentence and as a figure."""

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
    """A sentence on which hyperparameter was most important in how many configurations; if that is
    unknown, why. most is the number of trials of the largest study.
    """
    if importance:
        first = Counter(
            max(found, key=lambda name: (found[name], name)) for found in importance.values()
        )
        lead = listed(
            [f"{name.replace('_', ' ')} in {count}" for name, count in first.most_common()]
        )
        return f"Most important hyperparameter: {lead} of {many(len(importance), 'configuration')}."
    return (
        "The importance of the hyperparameters is unknown: it needs at least 10 complete trials "
        "per study that differ in score, and the largest study has "
        f"{many(most, 'complete trial')}."
    )


def importance_figure(context: Context, importance: Shares, sizes: Sequence[int]) -> Figure:
    """One point per configuration and hyperparameter; sizes are the numbers of trials of the
    studies.
    """
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
        "Importance of each hyperparameter: how much it distinguishes the best trials of a study "
        "from all its trials (PED-ANOVA, Watanabe 2023; the best are a quarter, at least five). "
        f"One point per configuration, each with {span(sizes, 0)} complete trials; the "
        "importances of a configuration sum to 1."
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
    table = Table(
        id="importance-table", caption=("Importance by configuration."), columns=columns, rows=rows
    )
    return Figure(
        id="importance",
        caption=caption,
        data=tuple(data),
        layout=layout,
        table=table,
        height=130 + 42 * len(names),
    )
