"""The importance of each hyperparameter in the studies, as a sentence and as a figure."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports.analysis.context import Context
from reports.elements import Column, Figure, Table, TableCell
from reports.figures.cells import configuration
from reports.figures.colours import model_colour
from reports.formatting import cell_name, distinct, listed, many, percent, plain, span
from trials.records.spec import Cell


@dataclass(frozen=True, slots=True)
class Study:
    """The search of a configuration, in a cross-validation in one fold; fold is None in a run of
    one.
    """

    cell: Cell
    fold: int | None = None

    def __str__(self) -> str:
        return cell_name(self.cell) + ("" if self.fold is None else f", fold {self.fold}")


# By study, then by hyperparameter; those of a study sum to 1.
Shares = Mapping[Study, Mapping[str, float]]


def many_studies(studies: Collection[Study]) -> str:
    """'8 configurations', or '40 studies' where each fold has its own."""
    if any(study.fold is not None for study in studies):
        return many(len(studies), "study", "studies")
    return many(len(studies), "configuration")


def study_columns(studies: Collection[Study]) -> tuple[Column, ...]:
    """The columns that name a study, see study_cells."""
    folds = (Column("fold", True),) * any(study.fold is not None for study in studies)
    return (Column("configuration"), *folds)


def study_cells(context: Context, study: Study) -> Iterator[TableCell]:
    """The configuration and, in a cross-validation, the fold."""
    yield configuration(context, context.run.cells.index(study.cell))
    if study.fold is not None:
        yield TableCell(str(study.fold), study.fold)


def importance_words(importance: Shares, most: int) -> str:
    """A sentence on which hyperparameter was most important in how many studies; if that is
    unknown, why. most is the number of trials of the largest study.
    """
    if importance:
        first = Counter(
            max(found, key=lambda name: (found[name], name)) for found in importance.values()
        )
        lead = listed(
            [f"{name.replace('_', ' ')} in {count}" for name, count in first.most_common()]
        )
        return f"Most important hyperparameter: {lead} of {many_studies(importance)}."
    return (
        "The importance of the hyperparameters is unknown: it needs at least 10 complete trials "
        "per study that differ in score, and the largest study has "
        f"{many(most, 'complete trial')}."
    )


def importance_figure(context: Context, importance: Shares, sizes: Sequence[int]) -> Figure:
    """One point per study and hyperparameter; sizes are the numbers of trials of the studies."""
    names = sorted(
        {name for found in importance.values() for name in found},
        key=lambda name: (name != "lr", name),
    )
    data = []
    for model in distinct(study.cell.model for study in importance):
        mine = [
            (study, name, share)
            for study, found in importance.items()
            if study.cell.model == model
            for name, share in found.items()
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(model),
                "x": [round(share, 4) for _, _, share in mine],
                "y": [plain(name.replace("_", " ")) for _, name, _ in mine],
                "customdata": [plain(str(study)) for study, _, _ in mine],
                "marker": {"size": 10, "opacity": 0.7, "color": model_colour(context.run, model)},
                "hovertemplate": "%{customdata}<br>%{y}: %{x:.0%}<extra></extra>",
            }
        )
    one = "study" if any(study.fold is not None for study in importance) else "configuration"
    caption = (
        "Importance of each hyperparameter: how much it distinguishes the best trials of a study "
        "from all its trials (PED-ANOVA, Watanabe 2023; the best are a quarter, at least five). "
        f"One point per {one}, each with {span(sizes, 0)} complete trials; the importances of a "
        f"{one} sum to 1."
    )
    columns = (
        *study_columns(importance),
        *(Column(name.replace("_", " "), True) for name in names),
    )
    rows = tuple(
        (
            *study_cells(context, study),
            *(
                TableCell(percent(found[name]), found[name])
                if name in found
                else TableCell("", float("nan"))
                for name in names
            ),
        )
        for study, found in importance.items()
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
        id="importance-table", caption=f"Importance by {one}.", columns=columns, rows=rows
    )
    return Figure(
        id="importance",
        caption=caption,
        data=tuple(data),
        layout=layout,
        table=table,
        height=130 + 42 * len(names),
    )
