"""The distribution over patients: each patient's Dice as a point, and the share of patients that
reach a threshold.
"""

import numpy as np

from reports.analysis.context import Context
from reports.analysis.patients import held_labels, patient_dice
from reports.analysis.summary import MEAN
from reports.elements import Column, Figure, Section, Table, TableCell, View
from reports.figures.cells import class_name, configuration, ranked
from reports.figures.colours import model_colour
from reports.formatting import cell_name, many, number, percent, plain
from reports.stats.intervals import nan_mean
from reports.stats.ranks import interquartile_mean
from trials.records.result import NATIVE

THRESHOLDS = (0.5, 0.7, 0.9)
# With more configurations than this, the boxes are closer together.
ROOMY = 20


def distribution(context: Context) -> Section | None:
    """A box per configuration and a view per class; None before the first test score."""
    order = ranked(context)
    if not order:
        return None
    counts = context.test[NATIVE]
    scores = {
        label: nan_mean(patient_dice(counts, label), 1)[order]
        for label in (MEAN, *held_labels(counts))
    }
    return Section(
        id="distribution",
        title="Patient by patient",
        question="How does a typical patient score, and how long is the tail?",
        finding=_finding(context, order, scores[MEAN]),
        blocks=(
            _figure(context, order, scores),
            *(_table(context, order, label, of) for label, of in scores.items() if label != MEAN),
        ),
    )


def _finding(context: Context, order: list[int], scores: np.ndarray) -> str:
    row = (
        order.index(context.selection.selected)
        if context.selection and context.selection.selected in order
        else 0
    )
    own = scores[row]
    reached = [
        f"{percent(float((own >= threshold).mean()))} reach {threshold}" for threshold in THRESHOLDS
    ]
    return (
        f"Of {many(len(own), 'patient')} under {cell_name(context.run.cells[order[row]])}, "
        f"{', '.join(reached)} in mean Dice; "
        f"the mean of the middle half is {number(interquartile_mean(own))}, the worst has "
        f"{number(float(own.min()))}."
    )


def _figure(context: Context, order: list[int], scores: dict[int, np.ndarray]) -> Figure:
    names = [plain(cell_name(context.run.cells[i])) for i in order]
    row = 34 if len(order) <= ROOMY else 22
    views = []
    for label, of in scores.items():
        name = plain(class_name(context, label))
        boxes = tuple(_box(context, i, names[place], of[place]) for place, i in enumerate(order))
        views.append(View(name=name, data=boxes))
    means = scores[MEAN]
    spread = float(np.median(np.quantile(means, 0.75, axis=1) - np.quantile(means, 0.25, axis=1)))
    return Figure(
        id="distribution-boxes",
        caption=(
            f"The middle half of the patients spans {number(spread, 2)} Dice in a typical "
            "configuration, best mean first. "
            f"Every point is a patient, seeds averaged, n = {means.shape[1]} that hold a class; "
            "the box is the middle half, "
            "the line in it the median, the whiskers reach the last point within 1.5 boxes; native "
            "grid."
        ),
        views=tuple(views),
        view_label="class",
        layout={
            "showlegend": False,
            "margin": {"l": 10, "r": 10, "t": 16, "b": 44},
            "xaxis": {"title": {"text": "Dice"}, "range": [-0.02, 1.02], "zeroline": False},
            "yaxis": {"type": "category", "categoryarray": names[::-1], "categoryorder": "array"},
            "boxgap": 0.35,
        },
        table=_table(context, order, MEAN, means),
        height=80 + row * len(order),
        least_width=460,
    )


def _box(context: Context, i: int, name: str, values: np.ndarray) -> dict[str, object]:
    colour = model_colour(context.run, context.run.cells[i].model)
    return {
        "type": "box",
        "orientation": "h",
        "x": [round(float(value), 3) for value in values],
        "y": [name] * len(values),
        "name": name,
        "boxpoints": "all",
        "jitter": 0.6,
        "pointpos": 0,
        "marker": {"color": f"{colour}/0.55", "size": 4},
        "line": {"color": colour, "width": 1.2},
        "fillcolor": f"{colour}/0.15",
        "hoveron": "points",
        "hovertemplate": "%{x:.3f}<extra>%{y}</extra>",
    }


def _table(context: Context, order: list[int], label: int, scores: np.ndarray) -> Table:
    columns = (
        Column("configuration"),
        # The mean over classes, which the leaderboard has, weighs each class alike.
        Column("mean of the patients" if label == MEAN else "mean", True),
        Column(
            "middle half", True, "interquartile mean: the mean of the middle half of the patients"
        ),
        Column("median", True, "without an interval: a bootstrap of a median misleads"),
        Column("worst", True),
        *(
            Column(
                f"at least {threshold}", True, f"share of patients with Dice of {threshold} or more"
            )
            for threshold in THRESHOLDS
        ),
    )
    rows = []
    for place, i in enumerate(order):
        own = scores[place]
        values = (
            float(own.mean()),
            interquartile_mean(own),
            float(np.median(own)),
            float(own.min()),
        )
        shares = [float((own >= threshold).mean()) for threshold in THRESHOLDS]
        rows.append(
            (
                configuration(context, i),
                *(TableCell(number(value), value) for value in values),
                *(TableCell(percent(share), share) for share in shares),
            )
        )
    about = (
        "a patient's mean over the classes it holds"
        if label == MEAN
        else "the patients that hold it"
    )
    caption = (
        f"{class_name(context, label)[:1].upper()}{class_name(context, label)[1:]}: {about}, n = "
        f"{scores.shape[1]}, seeds averaged."
    )
    name = "mean" if label == MEAN else label
    return Table(
        id=f"distribution-{name}",
        caption=caption,
        columns=columns,
        rows=tuple(rows),
        folded=label != MEAN,
    )
