"""The scores of every test patient under the selected configuration, and slices of the worst and of
some random patients.
"""

import numpy as np

from reports.analysis.context import Context
from reports.elements import (
    Block,
    Column,
    Figure,
    Gallery,
    Pictured,
    Section,
    Table,
    TableCell,
    Text,
)
from reports.figures.colours import label_colour
from reports.figures.example_cases import (
    NUM_RANDOM,
    NUM_WORST,
    RANDOM,
    Patient,
    first_seed,
    patients_of,
    select_example_cases,
    unit_of,
)
from reports.figures.scene import scene
from reports.figures.slices import (
    ERRORS,
    PicturedCase,
    image_name,
    image_notes,
    picture_case,
    shown_channels,
)
from reports.formatting import cell_name, listed, many, number, plain
from reports.load.counts import Counts
from reports.load.stored import Volumes, has_volumes, read_volumes, why_no_slices
from trials.records.result import NATIVE

# How many of the worst and of the random patients the 3D scene shows: meshes are large.
SCENES = (4, 2)
LOW = 0.5


def worst(context: Context) -> Section | None:
    """The worst patients of the selected configuration in its first complete seed; None if no
    configuration is selected.
    """
    if context.selection is None:
        return None
    cell = context.run.cells[context.selection.selected]
    trials = first_seed(context, cell)
    patients = patients_of(context, trials)
    noun = unit_of(context)
    example_cases = select_example_cases(patients)
    name = f"{cell_name(cell)}, seed {trials[0].spec.seed}"
    blocks: list[Block] = [
        _figure(context, name, patients, noun),
        *_gallery(context, example_cases, many(len(patients), noun)),
    ]
    if context.images != "none" and (drawn := scene(context, _volumes(context, example_cases))):
        blocks.append(drawn)
    return Section(
        id="worst",
        title="Worst cases",
        question="Which patients have the worst segmentations, and what do the errors look like?",
        finding=_finding(context, patients, name, noun),
        blocks=tuple(blocks),
    )


def _volumes(
    context: Context, example_cases: list[tuple[Patient, str]]
) -> list[tuple[str, str, Volumes]]:
    """The volumes for the 3D scene: of the first worst and the first random patients that have
    stored volumes.
    """
    out = context.run.out
    known = [one for one in example_cases if has_volumes(out, one[0].trial, one[0].case)]
    worst_ones = [one for one in known if one[1] != RANDOM]
    random_ones = [one for one in known if one[1] == RANDOM]
    shown = worst_ones[: SCENES[0]] + random_ones[: SCENES[1]]
    return [
        (patient.case, why, both)
        for patient, why in shown
        if (both := read_volumes(out, patient.trial, patient.case)) is not None
    ]


def _patient_of(context: Context, case: str) -> str:
    """The patient of a scan; "" where each case is a patient."""
    if not context.test[NATIVE].patient_of:
        return ""
    return context.run.grouping.patients.get(case, case)


def _finding(context: Context, patients: list[Patient], trial_name: str, noun: str) -> str:
    held = [patient for patient in patients if not np.isnan(patient.mean)]
    if not held:
        return "No test patient has any of the classes."
    low = sum(patient.mean < LOW for patient in held)
    of = f" of patient {name}" if (name := _patient_of(context, held[0].case)) else ""
    return (
        f"{trial_name}: {low} of "
        f"{many(len(held), noun)} have a mean Dice below "
        f"{LOW}; the worst is {held[0].case}{of} with {number(held[0].mean)}."
    )


def _figure(context: Context, trial_name: str, patients: list[Patient], noun: str) -> Figure:
    counts: Counts = context.test[NATIVE]
    shown = [label for label in context.run.labels if counts.num_holding(label)]
    data = []
    for label in shown:
        known = [
            (patient.case, patient.by_label[label - 1])
            for patient in patients
            if not np.isnan(patient.by_label[label - 1])
        ]
        colour = f"rgb{label_colour(label)}"
        data.append(
            {
                "type": "box",
                "name": plain(context.run.classes[label]),
                "y": [round(value, 4) for _, value in known],
                "text": [plain(case) for case, _ in known],
                "boxpoints": "all",
                "jitter": 0.6,
                "pointpos": 0,
                "fillcolor": "rgba(0,0,0,0)",
                "line": {"color": "var(--muted)", "width": 1.25},
                "marker": {"color": colour, "size": 7, "opacity": 0.85},
                "hovertemplate": "%{text}: %{y:.3f}<extra></extra>",
                "width": 0.5,
            }
        )
    low = {label: sum(patient.by_label[label - 1] < LOW for patient in patients) for label in shown}
    tails = listed(
        [
            f"{context.run.classes[label]} {low[label]} of {counts.num_cases_holding(label)}"
            for label in shown
        ]
    )
    caption = (
        f"{noun.capitalize()}s below a Dice of {LOW}: {tails or 'no class is present'}. Every test "
        f"{noun} whose reference has the class, {trial_name}, "
        "native grid; the box spans the quartiles."
    )
    layout = {
        "showlegend": False,
        "margin": {"l": 56, "r": 10, "t": 16, "b": 36},
        "yaxis": {"title": {"text": "Dice"}, "range": [-0.03, 1.03]},
        "xaxis": {"type": "category"},
    }
    return Figure(
        id="patients",
        caption=caption,
        data=tuple(data),
        layout=layout,
        table=_table(context, patients, noun),
        height=360,
    )


def _table(context: Context, patients: list[Patient], noun: str) -> Table:
    names = [context.run.classes[label] for label in context.run.labels]
    of_patients = [_patient_of(context, patient.case) for patient in patients]
    has_scans = any(of_patients)
    columns = (
        *((Column("patient"),) if has_scans else ()),
        Column(noun),
        Column("mean of its classes", True, f"over the classes that the {noun}'s reference has"),
        *(Column(name, True) for name in names),
    )
    rows = tuple(
        (
            *((TableCell(name),) if has_scans else ()),
            TableCell(patient.case),
            TableCell(number(patient.mean), patient.mean),
            *(TableCell(number(value), value) for value in patient.by_label),
        )
        for name, patient in zip(of_patients, patients, strict=True)
    )
    return Table(
        id="patients-table",
        caption=(
            f"Dice of every test {noun}, worst first; n/a if the reference does not have the class."
        ),
        columns=columns,
        rows=rows,
    )


def _gallery(context: Context, example_cases: list[tuple[Patient, str]], total: str) -> list[Block]:
    """total is the number of test patients, or of their scans, in words."""
    if context.images == "none":
        return [Text(("Images were left out of this page on request (--images none).",))]
    drawn: dict[str, PicturedCase] = {}
    missing, reasons = [], []
    for patient, _ in example_cases:
        place = (context.run.out, patient.trial, patient.case)
        shown_as = context.run.label_names, image_name(context.run.record)
        case = picture_case(*place, context.images, *shown_as)
        if case is not None:
            drawn[patient.case] = case
            continue
        missing.append(patient.case)
        if text := why_no_slices(*place):
            reasons.append(text)
    left_out = f" Left out: {'; '.join(reasons)}." if reasons else ""
    if not drawn:
        return [
            Text(
                (
                    "The run folder has no slices of these patients, so no images are "
                    f"shown.{left_out}",
                )
            )
        ]
    labels = [
        (name, f"rgb{label_colour(label)}")
        for label, name in enumerate(context.run.label_names[1:], start=1)
    ]
    pictures = [slice_.images for case in drawn.values() for slice_ in case.slices]
    channels = shown_channels(context.run.record, pictures)
    caption = _gallery_caption(context, total, drawn, channels)
    if missing:
        caption += f" No slices are shown of {listed(missing)}.{left_out}"
    pictured = [
        _pictured(context, patient, why, drawn[patient.case])
        for patient, why in example_cases
        if patient.case in drawn
    ]
    licence = (context.run.record.get("data") or {}).get("licence") or "not recorded in run.json"
    terms = f"The images are derived from the data set {context.run.title}. Licence: {licence}."
    legends = (("Classes", tuple(labels)), ("Errors", ERRORS))
    return [Gallery(caption, legends, tuple(pictured), terms, channels)]


def _gallery_caption(
    context: Context, total: str, drawn: dict[str, PicturedCase], channels: tuple[str, ...]
) -> str:
    """Which patients are shown, on which grid, and what is left out."""
    grid = "each patient's own grid, the grid of the headline scores"
    if of_cube := [name for name, case in drawn.items() if not case.is_native]:
        grid = f"the cube, as older versions stored them ({listed(of_cube)}), otherwise of {grid}"
    caption = (
        f"Of {total}, up to {NUM_WORST} with the lowest mean Dice over the classes they have, then "
        f"up to {NUM_RANDOM} others drawn at random with a fixed seed, to show typical "
        f"cases too. Axial slices of {grid}; the first slice shown is the one with the most wrong "
        "voxels."
    )
    if context.images == "masks":
        caption += (
            f" The {image_name(context.run.record)} is not shown; to show it below the contours, "
            "run: segbench report RUN --images ct"
        )
    else:
        caption += image_notes(context.run.record, channels)
    if num := sum(case.num_left_out for case in drawn.values()):
        caption += (
            f" {many(num, 'slice')} with fewer wrong voxels {'is' if num == 1 else 'are'} left "
            "out to limit the size of the page."
        )
    return caption


def _pictured(context: Context, patient: Patient, why: str, case: PicturedCase) -> Pictured:
    parts = [f"patient {name}"] if (name := _patient_of(context, patient.case)) else []
    parts.append(f"mean Dice {number(patient.mean)}")
    for label, value, false in zip(
        context.run.labels, patient.by_label, patient.false_voxels, strict=True
    ):
        name = context.run.classes[label]
        parts.append(
            f"{name} absent, {many(false, 'false voxel')}"
            if np.isnan(value)
            else f"{name} {number(value)}"
        )
    return Pictured(patient.case, why, "; ".join(parts), case.slices, case.frame, case.shown)
