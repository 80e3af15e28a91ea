"""Three sheets of images: a patient in 3D, equidistant axial slices, and results of the selected
configuration; on KiTS23 these are figures 1 to 3 of the paper, with results of the 3D U-Net.
"""

from dataclasses import replace

import numpy as np

from reports.analysis.context import Context
from reports.elements import Picture, Section, Sheet
from reports.figures.example_cases import Patient, first_seed, patients_of, unit_of
from reports.figures.shading import SIDES, render_mask
from reports.figures.slices import (
    Box,
    borders,
    box_of,
    channel_uris,
    frame_of,
    image_name,
    image_notes,
    shown_channels,
)
from reports.formatting import cell_name, listed, number
from reports.load.stored import (
    Planes,
    Volumes,
    describe_damage,
    has_volumes,
    read_sheet,
    read_slices,
    read_volumes,
)
from trials.records.result import TrialResult

UNET = "unet3d"
# Largest size of the images of a slice, which is shown about 150 pixels wide.
SHEET_BYTES = 20_000


def figures(context: Context) -> Section | None:
    """The three sheets; None if images are left out, or no final trial has stored volumes yet."""
    trial = _shown_trial(context)
    if context.images == "none" or trial is None:
        return None
    patients = [patient for patient in patients_of(context, [trial]) if not np.isnan(patient.mean)]
    known = [
        patient for patient in patients if has_volumes(context.run.out, trial.trial, patient.case)
    ]
    found = _fullest(context, trial, known)
    if found is None:
        return None
    fullest, volumes = found
    damaged = [
        text
        for one in patients
        if one not in known and (text := describe_damage(context.run.out, trial.trial, one.case))
    ]
    left_out = f" Left out: {'; '.join(damaged)}." if damaged else ""
    legend = listed([context.run.classes[label] for label in fullest.held])
    blocks: tuple[Sheet, ...] = (
        _solid(fullest, volumes, legend),
        _slices(context, trial, fullest),
        _results(context, trial, known),
    )
    if context.run.is_kits23:
        blocks = tuple(
            replace(sheet, title=f"Figure {i}. {sheet.title}") for i, sheet in enumerate(blocks, 1)
        )
    return Section(
        id="figures",
        title="The paper's figures" if context.run.is_kits23 else "Example images",
        question="What do a case and a prediction look like?",
        finding=f"{_finding(context, trial)}{left_out}",
        blocks=blocks,
    )


def _finding(context: Context, trial: TrialResult) -> str:
    name = cell_name(trial.spec.cell)
    if not context.run.is_kits23:
        return (
            f"Test patients of this run in 3D and as slices, with predictions by {name}, the "
            "selected configuration."
        )
    unet = _model_name(trial)
    if trial.spec.cell.model != UNET:
        has_unet = any(cell.model == UNET for cell in context.run.cells)
        unet += f" (no {UNET} has finished yet)" if has_unet else f" (this grid has no {UNET})"
    return (
        "Figures 1 to 3 of the paper in the same layout, from this run's test patients; "
        f"predictions by {unet}, {name}."
    )


def _fullest(
    context: Context, trial: TrialResult, patients: list[Patient]
) -> tuple[Patient, Volumes] | None:
    """The patient with the most classes, so that each is visible; the first by name among equals,
    skipping patients whose stored cube is empty.
    """
    for patient in sorted(patients, key=lambda patient: (-len(patient.held), patient.case)):
        volumes = read_volumes(context.run.out, trial.trial, patient.case)
        if volumes is not None and volumes.reference.any():
            return patient, volumes
    return None


def _shown_trial(context: Context) -> TrialResult | None:
    """The first seed of the selected configuration; on KiTS23 of the 3D U-Net's best one on
    validation, if the grid has a 3D U-Net.
    """
    if context.selection is None:
        return None
    scores = context.selection.validation
    cells = [
        i
        for i, cell in enumerate(context.run.cells)
        if context.run.is_kits23 and cell.model == UNET and not np.isnan(scores[i])
    ]
    best = max(cells, key=lambda i: (scores[i], -i)) if cells else context.selection.selected
    return first_seed(context, context.run.cells[best])[0]


def _solid(patient: Patient, volumes: Volumes, legend: str) -> Sheet:
    pictures = tuple(
        Picture((render_mask(volumes.reference, volumes.size_mm, axis),), side)
        for side, axis in SIDES.items()
    )
    size = " x ".join(f"{size:.0f}" for size in volumes.size_mm)
    caption = (
        f"{patient.case}: the reference of {legend}, cropped to {size} mm. Surfaces are partly "
        "transparent."
    )
    return Sheet(
        id="figure-1",
        title="A patient in 3D",
        caption=caption,
        pictures=pictures,
        columns=3,
    )


def _slices(context: Context, trial: TrialResult, patient: Patient) -> Sheet:
    planes = read_sheet(context.run.out, trial.trial, patient.case)
    box = box_of(planes, context.images)
    pictures = tuple(
        _picture(context, planes, box, i, planes.reference[i], f"slice {index}")
        for i, index in enumerate(planes.index.tolist())
    )
    name = image_name(context.run.record)
    channels = shown_channels(context.run.record, [picture.images for picture in pictures])
    below = f" on the {name}" if context.images == "ct" else f"; --images ct shows the {name} below"
    caption = (
        f"{patient.case}, {len(pictures)} equidistant slices from head to feet: the "
        f"reference{below}."
    )
    if context.images == "ct":
        caption += image_notes(context.run.record, channels)
    return Sheet(
        id="figure-2",
        title="Equidistant axial slices",
        caption=caption,
        pictures=pictures,
        columns=8,
        channels=channels,
    )


def _results(context: Context, trial: TrialResult, known: list[Patient]) -> Sheet:
    """Reference and prediction of the worst, the median and the best patient, in the stored slice
    with the most foreground.
    """
    by_rank = {"worst": known[0], "median": known[len(known) // 2], "best": known[-1]}
    pictures = []
    for rank, patient in by_rank.items():
        found = read_slices(context.run.out, trial.trial, patient.case)
        if found is None:
            continue
        planes, prediction = found
        box = box_of(planes, context.images, prediction)
        i = int((planes.reference > 0).sum((1, 2)).argmax())
        text = f"{rank}: {patient.case}, Dice {number(patient.mean)}"
        pictures.append(_picture(context, planes, box, i, planes.reference[i], text))
        pictures.append(
            _picture(context, planes, box, i, prediction[i], f"prediction, slice {planes.index[i]}")
        )
    caption = (
        f"{cell_name(trial.spec.cell)}, seed {trial.spec.seed}: reference and prediction side by "
        f"side for the worst, the median and the best of {len(known)} test {unit_of(context)}s by "
        "mean Dice over the classes they have, in the slice with the most foreground."
    )
    return Sheet(
        id="figure-3",
        title=f"Results of {_model_name(trial)}",
        caption=caption,
        pictures=tuple(pictures),
        columns=6,
        channels=shown_channels(context.run.record, [picture.images for picture in pictures]),
    )


def _model_name(trial: TrialResult) -> str:
    """The 3D U-Net as the paper calls it, any other model by its name in a grid."""
    return "the 3D U-Net" if trial.spec.cell.model == UNET else trial.spec.cell.model


def _picture(
    context: Context, planes: Planes, box: Box, i: int, labels: np.ndarray, text: str
) -> Picture:
    """One slice: the outlines of its labels [H, W], on the image if the page shows it."""
    images = channel_uris(planes, [i], box, SHEET_BYTES)[0] if context.images == "ct" else ()
    return Picture(
        images,
        text,
        borders(labels[box], len(context.run.label_names), "solid"),
        frame_of(planes, box),
    )
