"""The two figures of the first screen: every configuration with its interval, and one patient."""

from reports.analysis.context import Context
from reports.analysis.selection import Selection
from reports.analysis.summary import MEAN
from reports.elements import Column, Figure, Picture, Sheet, Table
from reports.figures.cells import (
    dice_cell,
    is_external,
    prediction,
    prediction_colour,
    prediction_name,
    ranked_all,
    summary_of,
)
from reports.figures.colours import label_colour, mark
from reports.figures.example_cases import Patient, first_seed, patients_of, unit_of
from reports.figures.forest import panels, points
from reports.figures.slices import image_notes, picture_case, shown_channels
from reports.formatting import cell_name, distinct, listed, many_patients, number, plain
from trials.records.result import NATIVE

# More rows would push the figure off the first screen. The leaderboard shows all configurations.
MOST_ROWS = 16
ROW, FRAME = 20, 76


def overview_figure(context: Context, selection: Selection) -> Figure:
    """Mean test Dice of every prediction with its 95 % interval, best first; the selected one is
    bold and highlighted. At most MOST_ROWS are shown, always including the selected one.
    """
    order, num_left_out = _shown(context, selection.selected)
    rows = [_row_name(context, i, selection.selected) for i in order]
    band = len(order) - 1 - order.index(selection.selected)
    layout = panels(["Mean test Dice"], rows[::-1])
    layout["shapes"] = [
        {
            "type": "rect",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": band - 0.5,
            "y1": band + 0.5,
            "line": {"width": 0},
            "fillcolor": "var(--band)",
            "layer": "below",
        }
    ]
    more = f" {num_left_out} more in the leaderboard." if num_left_out else ""
    counts = context.test[NATIVE]
    patients = many_patients(len(counts.patients), len(counts.cases))
    return Figure(
        id="answer-overview",
        caption=(
            f"Mean test Dice with 95 % interval, {patients}; bold: selected on validation.{more}"
        ),
        data=_points(context, order, rows),
        layout=layout,
        table=_table(context, order),
        height=FRAME + ROW * len(order),
        least_width=420,
    )


def _shown(context: Context, selected: int) -> tuple[list[int], int]:
    order = ranked_all(context)
    kept = order[:MOST_ROWS]
    if selected not in kept:
        kept[-1] = selected
    return kept, len(order) - len(kept)


def _row_name(context: Context, i: int, selected: int) -> str:
    name = plain(prediction_name(context, i))
    return f"<b>{name}</b>" if i == selected else name


def _points(context: Context, order: list[int], rows: list[str]) -> tuple[dict[str, object], ...]:
    """One trace per model colour."""
    run = context.run
    colours = [prediction_colour(context, i) for i in order]
    traces = []
    for colour in distinct(colours):
        mine = [place for place, own in enumerate(colours) if own == colour][::-1]
        means = [summary_of(context, order[place], MEAN) for place in mine]
        values = [(mean.dice, mean.dice_low, mean.dice_high) for mean in means]
        marks = [
            "x-thin" if is_external(context, i) else mark(run, run.cells[i])
            for i in (order[place] for place in mine)
        ]
        traces.append(points([rows[place] for place in mine], values, colour, marks, 0))
    return tuple(traces)


def _table(context: Context, order: list[int]) -> Table:
    return Table(
        id="answer-overview-table",
        caption="The means and intervals of the figure.",
        columns=(Column("configuration"), Column("mean test Dice", True)),
        rows=tuple((prediction(context, i), dice_cell(context, i, MEAN)) for i in order),
    )


def patient_sheet(context: Context, selection: Selection) -> Sheet | None:
    """One slice of the median test patient for the selected configuration and its first seed: of
    the stored slices, the one with most wrong voxels. None if no pictures are requested or stored.
    """
    cell = context.run.cells[selection.selected]
    patients = [] if context.images == "none" else patients_of(context, first_seed(context, cell))
    found = _median_patient(context, patients)
    drawn = found and picture_case(
        context.run.out, found.trial, found.case, context.images, context.run.label_names
    )
    if not found or not drawn:
        return None
    one = drawn.slices[drawn.shown]
    shapes = next(shapes for name, shapes in one.panels if name.startswith("reference"))
    text = f"slice {one.index}: solid reference, dashed prediction"
    names = [context.run.classes[label] for label in found.held]
    channels = shown_channels(context.run.record, [one.images])
    return Sheet(
        id="answer-patient",
        title=f"{found.case}, the median {unit_of(context)}",
        caption=f"Mean Dice {number(found.mean)} over {listed(names)}, {cell_name(cell)}."
        + (image_notes(context.run.record, channels) if one.images else ""),
        pictures=(Picture(one.images, text, shapes, drawn.frame),),
        columns=1,
        legend=tuple(
            (name, f"rgb{label_colour(label)}")
            for label, name in enumerate(context.run.label_names[1:], start=1)
        ),
        channels=channels,
    )


def _median_patient(context: Context, patients: list[Patient]) -> Patient | None:
    """The median patient by mean Dice, of those that hold a class."""
    held = [patient for patient in patients if patient.held]
    return held[len(held) // 2] if held else None
