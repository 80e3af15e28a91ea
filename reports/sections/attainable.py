"""How close each score comes to the highest score that the prepared data allow."""

import math
from typing import Any

from reports.analysis.context import Context
from reports.elements import Column, Figure, Section, Table, TableCell, Text
from reports.figures.cells import configuration, ranked
from reports.figures.colours import mark, model_colour
from reports.figures.forest import NAMES, PANEL, ROW, frame, panels, points
from reports.formatting import cell_name, distinct, listed, many, number, percent, plain
from reports.load.ceilings import AttainableScore, background_floor, read_ceilings
from trials.records.result import NATIVE

RULE = (
    "Preparing the data resamples each image, which limits the score of even a perfect network. "
    "The ceiling measures that limit: each test patient's reference is resampled to the cube of "
    "the prepared data and back in the same way as a prediction (probabilities linearly, then "
    "argmax), once as labels and once as each class's share of every cube voxel; the better "
    "result of each patient and class counts. The floor is the score of an empty prediction: "
    "Dice 0 in every class except the background. The attainable share is (score - floor) / "
    "(ceiling - floor). All values are on the native grid, averaged over the patients whose "
    "reference has the class, then over seeds."
)


def attainable(context: Context) -> Section | None:
    """Score, ceiling and attainable share by configuration and class; None if the run stored no
    ceilings.
    """
    ceilings = _ceilings(context)
    order = [i for i in ranked(context) if i in ceilings]
    if not order:
        return None
    labels = [label for label in context.run.labels if label in ceilings[order[0]].by_label]
    test = context.test[NATIVE]
    floor = background_floor(test, context.run.annotated_voxels(test.cases))
    background = (
        f"For the background, an empty prediction scores Dice {number(floor.dice, 4)} and IoU "
        f"{number(floor.iou, 4)} on these patients, so the background is left out of every mean."
    )
    return Section(
        id="attainable",
        title="Attainable score",
        question="How close are the scores to the highest possible score?",
        finding=_finding(context, ceilings, order, labels),
        blocks=(_figure(context, ceilings, order, labels), Text((RULE, background))),
    )


def _ceilings(context: Context) -> dict[int, AttainableScore]:
    """The ceiling of the data each configuration was trained on, by the configuration's index."""
    ceilings = read_ceilings(context.run.out, context.test[NATIVE])
    data = {result.spec.cell: result.spec.data for result in context.run.finals}
    found = {i: ceilings.get(data.get(cell, "")) for i, cell in enumerate(context.run.cells)}
    return {i: ceiling for i, ceiling in found.items() if ceiling is not None}


def _finding(
    context: Context, ceilings: dict[int, AttainableScore], order: list[int], labels: list[int]
) -> str:
    parts = []
    for label in labels:
        best = max(order, key=lambda i: _share(context, ceilings, i, label))
        ceiling = ceilings[best].by_label[label].dice
        parts.append(
            f"{context.run.classes[label]} {percent(_share(context, ceilings, best, label))} of "
            f"{number(ceiling, 2)}"
        )
    return (
        "The best configuration of each class reaches this share of the attainable Dice: "
        f"{listed(parts)}."
    )


def _share(context: Context, ceilings: dict[int, AttainableScore], i: int, label: int) -> float:
    ceiling = ceilings[i].by_label[label].dice
    return context.summaries[NATIVE][i, label].dice / ceiling if ceiling else math.nan


def _figure(
    context: Context, ceilings: dict[int, AttainableScore], order: list[int], labels: list[int]
) -> Figure:
    grids = sorted({ceilings[i].grid for i in order})
    beyond = sum(_share(context, ceilings, i, label) > 1 for i in order for label in labels)
    caption = (
        f"{many(beyond, 'mean') if beyond else 'No mean'} {'exceed' if beyond > 1 else 'exceeds'} "
        f"the ceiling (vertical line) of its {listed(grids)}. "
        "Mean test Dice, n = "
        f"{listed([str(context.summaries[NATIVE][order[0], label].n) for label in labels])} "
        "patients by class; the floor is 0."
    )
    titles = [context.run.classes[label] for label in labels]
    layout = panels(titles, [_name(context, i) for i in reversed(order)])
    for axis in (name for name in layout if name.startswith("xaxis")):
        layout[axis]["range"] = [0, 1.02]
    return Figure(
        id="attainable-figure",
        caption=caption,
        data=tuple(
            trace
            for panel, label in enumerate(labels)
            for trace in _panel(context, ceilings, order, label, panel)
        ),
        layout=layout,
        table=_table(context, ceilings, order, labels),
        height=frame(titles) + ROW * len(order),
        least_width=NAMES + PANEL * len(labels),
    )


def _panel(
    context: Context, ceilings: dict[int, AttainableScore], order: list[int], label: int, panel: int
) -> list[dict[str, Any]]:
    """One trace of the ceilings, then one per model."""
    limits = [(ceilings[i].by_label[label].dice, math.nan, math.nan) for i in order[::-1]]
    names = [_name(context, i) for i in order[::-1]]
    traces = [points(names, limits, "var(--muted)", ["line-ns-open"] * len(order), panel)]
    for model in distinct(cell.model for cell in context.run.cells):
        cells = [i for i in order[::-1] if context.run.cells[i].model == model]
        scores = [(context.summaries[NATIVE][i, label].dice, math.nan, math.nan) for i in cells]
        marks = [mark(context.run, context.run.cells[i]) for i in cells]
        traces.append(
            points(
                [_name(context, i) for i in cells],
                scores,
                model_colour(context.run, model),
                marks,
                panel,
            )
        )
    return [trace for trace in traces if trace["y"]]


def _table(
    context: Context, ceilings: dict[int, AttainableScore], order: list[int], labels: list[int]
) -> Table:
    columns = [Column("configuration")]
    for label in labels:
        name = context.run.classes[label]
        columns += [
            Column(f"{name}, Dice", True),
            Column("ceiling", True, f"highest attainable Dice, {name}"),
            Column("share", True, f"score / ceiling, {name}"),
        ]
    rows = []
    for i in order:
        row = [configuration(context, i)]
        for label in labels:
            score, ceiling = (
                context.summaries[NATIVE][i, label].dice,
                ceilings[i].by_label[label].dice,
            )
            share = _share(context, ceilings, i, label)
            row += [
                TableCell(number(score), score),
                TableCell(number(ceiling), ceiling),
                TableCell(percent(share), share),
            ]
        rows.append(tuple(row))
    caption = "Each score, the ceiling of its prepared data, and its share of the ceiling."
    return Table(id="attainable-table", caption=caption, columns=tuple(columns), rows=tuple(rows))


def _name(context: Context, i: int) -> str:
    return plain(cell_name(context.run.cells[i]))
