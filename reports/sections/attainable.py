"""How much of what can be reached was reached: every score between an empty prediction and the
ceiling of its preparation.
"""

import math

from reports.analysis.context import Context
from reports.elements import Column, Figure, Section, Table, TableCell, Text
from reports.figures.cells import configuration, ranked
from reports.figures.colours import mark, model_colour
from reports.figures.forest import FRAME, NAMES, PANEL, ROW, panels, points
from reports.formatting import cell_name, distinct, listed, many, number, percent, plain
from reports.load.ceilings import AttainableScore, background_floor, read_ceilings
from trials.records.result import NATIVE

RULE = (
    "The floor is an empty prediction: Dice 0 in every class but the background. The ceiling "
    "brings each test patient's "
    "reference down to the cube of the configuration's own preparation and back up as predictions "
    "are (probabilities "
    "linear, then argmax), once as resampled labels and once as each class's share of every cube "
    "voxel; per patient and class "
    "the better of the two counts. The share of the attainable is (score - floor) / (ceiling - "
    "floor). Native grid, mean "
    "over the patients whose reference holds the class, then over the seeds."
)


def attainable(context: Context) -> Section | None:
    """Floor, score, ceiling and share of every configuration and class; nothing for a run that left
    no ceilings.
    """
    ceilings = _ceilings(context)
    order = [i for i in ranked(context) if i in ceilings]
    if not order:
        return None
    labels = [label for label in context.run.labels if label in ceilings[order[0]].by_label]
    floor = background_floor(context.test[NATIVE])
    background = (
        f"In the background an empty prediction scores Dice {number(floor.dice, 4)} and IoU "
        f"{number(floor.iou, 4)} on these "
        "patients, which is why the background enters no headline."
    )
    return Section(
        id="attainable",
        title="Ladder",
        question="How much of what can be reached was reached?",
        finding=_finding(context, ceilings, order, labels),
        blocks=(_figure(context, ceilings, order, labels), Text((RULE, background))),
    )


def _ceilings(context: Context) -> dict[int, AttainableScore]:
    """The ceiling of each configuration's own preparation, where the run left one."""
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
            f"{context.run.classes[label]} {percent(_share(context, ceilings, best, label))} of a "
            "ceiling "
            f"of {number(ceiling, 2)}"
        )
    return f"At best, of what the preparation allows: {listed(parts)}."


def _share(context: Context, ceilings: dict[int, AttainableScore], i: int, label: int) -> float:
    ceiling = ceilings[i].by_label[label].dice
    return context.summaries[NATIVE][i, label].dice / ceiling if ceiling else math.nan


def _figure(
    context: Context, ceilings: dict[int, AttainableScore], order: list[int], labels: list[int]
) -> Figure:
    sizes = sorted({ceilings[i].edge for i in order})
    beyond = sum(_share(context, ceilings, i, label) > 1 for i in order for label in labels)
    caption = (
        f"{many(beyond, 'mean') if beyond else 'No mean'} {'lie' if beyond > 1 else 'lies'} beyond "
        "the ceiling (upright mark) "
        f"of its cube, {listed([f'{size}^3' for size in sizes])}. Mean test Dice, n = "
        f"{listed([str(context.summaries[NATIVE][order[0], label].n) for label in labels])} "
        "patients "
        "by class; the floor is 0."
    )
    layout = panels(
        [plain(context.run.classes[label]) for label in labels],
        [_name(context, i) for i in reversed(order)],
    )
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
        height=FRAME + ROW * len(order),
        least_width=NAMES + PANEL * len(labels),
    )


def _panel(
    context: Context, ceilings: dict[int, AttainableScore], order: list[int], label: int, panel: int
) -> list[dict]:
    """The ceilings, then a trace a model."""
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
            Column("ceiling", True, name),
            Column("share", True, name),
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
    caption = (
        "Every score, the ceiling of its preparation, and its share of the way from the "
        "floor (0) to the ceiling."
    )
    return Table(id="attainable-table", caption=caption, columns=tuple(columns), rows=tuple(rows))


def _name(context: Context, i: int) -> str:
    return plain(cell_name(context.run.cells[i]))
