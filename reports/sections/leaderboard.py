"""The leaderboard: a table of all configurations and external predictions, their forest plots, and
a table per class.
"""

import math
from collections.abc import Mapping

from reports.analysis.context import Context
from reports.analysis.contrasts import against
from reports.analysis.selection import Selection
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Section, Table, TableCell, Text
from reports.estimands import states_first
from reports.figures.cells import (
    class_name,
    configuration,
    dice_cell,
    further_cells,
    further_columns,
    has_surfaces,
    is_external,
    nothing_known,
    prediction,
    prediction_name,
    ranked,
    ranked_all,
    scored,
    summary_of,
    surface_cells,
)
from reports.figures.forest import difference_figure, mean_figure
from reports.formatting import listed, many_patients, number, percent
from trials.records.result import NATIVE, PREPARED

CONFIGURATION = ["space", "model", "loss", "sampling"]
# With more configurations than this, the tables by class are folded.
OPEN_ROWS = 16
RULE = (
    "Scores are taken on each patient's own voxel grid, as a mean over the patients whose "
    "reference holds the class, then over "
    "the seeds; a patient's scans are averaged first. Intervals are 95 % bootstrap intervals over "
    "patients, with the same draws for "
    "each of them. They include "
    "the variance between seeds, estimated from all trainings (external predictions count as one "
    "training), and are widened for its degrees of freedom (Student's t). "
    "False alarms are patients without the class in whom it was predicted."
)


SURFACE_RULE = (
    "share of both surfaces that is within the tolerance of the other one, over the patients whose "
    "reference holds the class; "
    "native grid, with its 95 % interval"
)


def leaderboard(context: Context) -> Section | None:
    """Every configuration and all external predictions, best mean first; None before the first
    final trial.
    """
    if not ranked(context):
        return None
    order = ranked_all(context)
    blocks: list[Block] = [_overview(context, order), mean_figure(context, order)]
    if context.selection is not None and len(order) > 1:
        blocks.append(difference_figure(context, context.selection, order))
    p = {} if context.selection is None else _p_against_selected(context, context.selection)
    blocks += [_class_table(context, order, label, p) for label in context.run.labels]
    blocks.append(_background_table(context, ranked(context)))
    return Section(
        id="leaderboard",
        title="Leaderboard",
        question="Who is ahead, class by class?",
        finding=_finding(context, order),
        blocks=(*blocks, Text((RULE, *_tolerances(context)))),
    )


def _p_against_selected(context: Context, selection: Selection) -> dict[tuple[int, int], float]:
    return against(selection.selected, context.all_predictions.counts, context.resampled)


def _tolerances(context: Context) -> tuple[str, ...]:
    """The tolerances of the surfaces as text; empty for a run without surfaces."""
    by_region = context.surface_rows.groupby("region")["tolerance_mm"].first()
    named = [
        f"{name} {by_region[name]:.2f} mm" for name in context.run.classes[1:] if name in by_region
    ]
    return (
        (f"Two surfaces agree where they are within a tolerance of each other: {listed(named)}.",)
        if named
        else ()
    )


def _finding(context: Context, order: list[int]) -> str:
    leaders = []
    for label in context.run.labels:
        if summary_of(context, order[0], label).n:
            best = max(order, key=lambda i: summary_of(context, i, label).dice)
            dice = number(summary_of(context, best, label).dice)
            leader = (
                f"{prediction_name(context, best)} ({dice})"
                if float(dice)
                else "none (0.000 throughout)"
            )
            leaders.append(f"{context.run.classes[label]} {leader}")
    seed_effect = (
        f" Being the highest of {len(order)} is partly chance: read it with its interval."
        if len(order) > 1
        else ""
    )
    return f"Highest test Dice: {listed(leaders)}.{seed_effect}"


def _overview(context: Context, order: list[int]) -> Table:
    labels = (MEAN, *context.run.labels)
    sizes = {label: summary_of(context, order[0], label).n for label in labels}
    columns = (
        Column("configuration"),
        *(
            Column(class_name(context, label), True, f"Dice, n = {sizes[label]}")
            for label in labels
        ),
        *((Column("Surface Dice", True, SURFACE_RULE),) if has_surfaces(context) else ()),
        *further_columns(context),
        Column(
            "on the cube",
            True,
            "mean Dice on the resampled cube, before mapping back to the patient's own grid",
        ),
        Column(
            "ranks first",
            True,
            "share of the bootstrap samples in which it has the highest mean, see Ranking "
            "stability",
        ),
        Column("seeds", True),
    )
    held = listed(
        [f"{context.run.classes[label]} n = {sizes[label]}" for label in context.run.labels]
    )
    caption = (
        f"Test Dice with 95 % interval, native grid ({held}). The one selected on validation "
        "is marked."
    )
    if context.external.names:
        caption += (
            " External predictions, scored and compared by the same rules but never selected: "
            f"{listed(context.external.names)}."
        )
    return Table(
        id="leaderboard-table",
        caption=caption,
        columns=columns,
        rows=tuple(_row(context, i, labels) for i in order),
    )


def _row(context: Context, i: int, labels: tuple[int, ...]) -> tuple[TableCell, ...]:
    first, seeds = float(context.first[i]), summary_of(context, i, MEAN).seeds
    cube = () if is_external(context, i) else (context.summaries[PREPARED][i, MEAN].dice,)
    return (
        prediction(context, i),
        *(dice_cell(context, i, label) for label in labels),
        *_surfaces(context, i, MEAN),
        *further_cells(context, None if is_external(context, i) else i, MEAN),
        *(TableCell(number(value), value) for value in cube),
        *(() if cube else (nothing_known(),)),
        TableCell(percent(first), first, states=states_first(i, first)),
        TableCell(str(seeds), seeds),
    )


def _surfaces(context: Context, i: int, label: int) -> tuple[TableCell, ...]:
    """The Surface Dice of a place in all_predictions."""
    num = len(context.run.cells)
    metrics = context.external.metrics if i >= num else context.metrics
    return surface_cells(context, metrics, i - num if i >= num else i, label)


def _class_table(
    context: Context, order: list[int], label: int, p: Mapping[tuple[int, int], float]
) -> Table:
    first = summary_of(context, order[0], label)
    test = (
        "p value of the difference to the selected configuration: the larger one of Wilcoxon's "
        "signed-rank test and the t test, after Holm's correction for all rivals and classes"
    )
    alarms = (
        Column(
            "false alarms",
            True,
            f"share of the {first.label_free} patients without the class in whom it was predicted",
        ),
        Column(
            "false voxels",
            True,
            "mean number of predicted voxels in them, on the patient's own grid",
        ),
    )
    columns = (
        Column("configuration"),
        Column("Dice", True, "native grid, with its 95 % interval"),
        Column("IoU", True, "native grid, with its 95 % interval"),
        *((Column("Surface Dice", True, SURFACE_RULE),) if has_surfaces(context) else ()),
        *further_columns(context),
        Column("Dice on the cube", True, "the resampled cube, with its 95 % interval"),
        *(alarms if first.label_free else ()),
        Column("p against selected", True, test),
        Column("seeds", True),
    )
    counts = context.test[NATIVE]
    patients = many_patients(first.n, counts.num_cases_holding(label), "test")
    caption = (
        f"{context.run.classes[label]}: n = {patients} hold it, "
        f"{first.label_free} {'have a scan without it' if counts.patient_of else 'do not'}."
    )
    rows = tuple(_class_row(context, i, label, p.get((i, label), math.nan)) for i in order)
    folded = len(order) > OPEN_ROWS
    return Table(
        id=f"leaderboard-class-{label}", caption=caption, columns=columns, rows=rows, folded=folded
    )


def _class_row(context: Context, i: int, label: int, p: float) -> tuple[TableCell, ...]:
    summary = summary_of(context, i, label)
    share, voxels = summary.fp_share, summary.fp_voxels
    external = is_external(context, i)
    cube = None if external else context.summaries[PREPARED][i, label]
    return (
        prediction(context, i),
        dice_cell(context, i, label),
        scored(summary.iou, summary.iou_low, summary.iou_high),
        *_surfaces(context, i, label),
        *further_cells(context, None if external else i, label),
        scored(cube.dice, cube.dice_low, cube.dice_high) if cube else nothing_known(),
        *(
            (TableCell(percent(share), share), TableCell(number(voxels, 0), voxels))
            if summary.label_free
            else ()
        ),
        TableCell("" if math.isnan(p) else "below 0.001" if p < 0.001 else number(p), p),
        TableCell(str(summary.seeds), summary.seeds),
    )


def _background_table(context: Context, order: list[int]) -> Table:
    """The scores of label 0, folded; they are in no mean, because predicting nothing scores nearly
    as high.
    """
    counts = context.test[NATIVE]
    rows = context.scores.query("phase == 'final' and split == 'test' and label == 0")
    if counts.patient_of:
        patient = dict(zip(counts.cases, counts.patient_of, strict=True))
        rows = rows.assign(case=rows["case"].map(patient))
        rows = rows.groupby([*CONFIGURATION, "trial", "case"])[["dice", "iou"]].mean().reset_index()
    means = rows.groupby(CONFIGURATION)[["dice", "iou"]].mean()
    columns = (
        Column("configuration"),
        Column("Dice", True, "native grid"),
        Column("IoU", True, "native grid"),
        Column("Dice on the cube", True, "the resampled cube"),
    )

    def cells_of(i: int) -> tuple[TableCell, ...]:
        cell = context.run.cells[i]
        key = (cell.model, cell.loss, cell.sampling)
        values = (
            means.dice[(NATIVE, *key)],
            means.iou[(NATIVE, *key)],
            means.dice.get((PREPARED, *key), math.nan),
        )
        return (
            configuration(context, i),
            *(TableCell(number(value, 4), float(value)) for value in values),
        )

    n = rows.case.nunique()
    caption = (
        f"{context.run.classes[0]}: mean over all {n} test patients and seeds. Nearly every voxel "
        "is background, so a model that predicts nothing scores almost as high; this score is in "
        "no other number here."
    )
    return Table(
        id="leaderboard-background",
        caption=caption,
        columns=columns,
        rows=tuple(map(cells_of, order)),
        folded=True,
    )
