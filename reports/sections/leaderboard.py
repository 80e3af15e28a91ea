"""The leaderboard: a table of all configurations, their forest plots, and a table per class."""

import math
from collections.abc import Callable

from reports.analysis.context import Context
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Section, Table, TableCell, Text
from reports.figures.cells import (
    class_name,
    configuration,
    ensemble_cells,
    ensemble_column,
    external_name,
    has_surfaces,
    nothing_known,
    ranked,
    scored,
    surface_cells,
)
from reports.figures.forest import difference_figure, mean_figure
from reports.formatting import cell_name, listed, many_patients, number, percent
from trials.records.comparisons import CLASSES, SELECTED
from trials.records.result import NATIVE, PREPARED

CONFIGURATION = ["space", "model", "loss", "sampling"]
TableRow = tuple[TableCell, ...]
MakeRow = Callable[[int], TableRow]
# With more configurations than this, the tables by class are folded.
OPEN_ROWS = 16
RULE = (
    "Scores are taken on each patient's own voxel grid, as a mean over the patients whose "
    "reference holds the class, then over "
    "the seeds; a patient's scans are averaged first. Intervals are 95 % bootstrap intervals over "
    "patients, with the same draws for "
    "each of them. They include "
    "the variance between seeds, estimated from all trainings, and are widened for its degrees of "
    "freedom (Student's t). "
    "False alarms are patients without the class in whom it was predicted."
)


SURFACE_RULE = (
    "share of both surfaces that is within the tolerance of the other one, over the patients whose "
    "reference holds the class; "
    "native grid, with its 95 % interval"
)


def leaderboard(context: Context) -> Section | None:
    """Every configuration, best mean first; None before the first final trial."""
    order = ranked(context)
    if not order:
        return None
    blocks: list[Block] = [_overview(context, order), mean_figure(context, order)]
    if context.selection is not None and len(order) > 1:
        blocks.append(difference_figure(context, context.selection, order))
    blocks += [_class_table(context, order, label) for label in context.run.labels]
    blocks.append(_background_table(context, order))
    return Section(
        id="leaderboard",
        title="Leaderboard",
        question="Who is ahead, class by class?",
        finding=_finding(context, order),
        blocks=(*blocks, Text((RULE, *_tolerances(context)))),
    )


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
    summaries, leaders = context.summaries[NATIVE], []
    for label in context.run.labels:
        if summaries[order[0], label].n:
            best = max(order, key=lambda i: summaries[i, label].dice)
            dice = number(summaries[best, label].dice)
            leader = (
                f"{cell_name(context.run.cells[best])} ({dice})"
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
    labels, summaries = (MEAN, *context.run.labels), context.summaries[NATIVE]
    columns = (
        Column("configuration"),
        *(
            Column(class_name(context, label), True, f"Dice, n = {summaries[order[0], label].n}")
            for label in labels
        ),
        *((Column("Surface Dice", True, SURFACE_RULE),) if has_surfaces(context) else ()),
        *ensemble_column(context),
        Column(
            "on the cube",
            True,
            "mean Dice on the resampled cube, before mapping back to the patient's own grid",
        ),
        Column(
            "ranks first",
            True,
            "share of the resamples in which this configuration has the highest mean Dice",
        ),
        Column("seeds", True),
    )
    held = listed(
        [
            f"{context.run.classes[label]} n = {summaries[order[0], label].n}"
            for label in context.run.labels
        ]
    )
    caption = (
        f"Test Dice with 95 % interval, native grid ({held}). The one selected on validation "
        "is marked."
    )
    if context.external.names:
        caption += (
            " External predictions, scored by the same rules and never selected: "
            f"{listed(context.external.names)}."
        )
    return Table(
        id="leaderboard-table",
        caption=caption,
        columns=columns,
        rows=_merge_rows(
            context,
            order,
            lambda i: _row(context, i, labels),
            lambda o: _external_row(context, o, labels),
        ),
    )


def _row(context: Context, i: int, labels: tuple[int, ...]) -> tuple[TableCell, ...]:
    summaries = [context.summaries[NATIVE][i, label] for label in labels]
    cube, seeds = context.summaries[PREPARED][i, MEAN].dice, summaries[0].seeds
    first = float(context.selection.first[i]) if context.selection else math.nan
    scores = [scored(summary.dice, summary.dice_low, summary.dice_high) for summary in summaries]
    tail = (
        TableCell(number(cube), cube),
        TableCell(percent(first), first),
        TableCell(str(seeds), seeds),
    )
    return (
        configuration(context, i),
        *scores,
        *surface_cells(context, context.metrics, i, MEAN),
        *ensemble_cells(context, i, MEAN),
        *tail,
    )


def _merge_rows(
    context: Context, order: list[int], ours: MakeRow, theirs: MakeRow
) -> tuple[TableRow, ...]:
    """The rows of the configurations in their order, with the rows of external predictions sorted
    in by mean Dice.
    """
    rows = [(context.summaries[NATIVE][i, MEAN].dice, ours(i)) for i in order]
    rows += [
        (context.external.summaries[o, MEAN].dice, theirs(o))
        for o in range(len(context.external.names))
    ]
    return tuple(row for _, row in sorted(rows, key=lambda row: -row[0]))


def _external_row(context: Context, o: int, labels: tuple[int, ...]) -> TableRow:
    summaries = [context.external.summaries[o, label] for label in labels]
    scores = [scored(summary.dice, summary.dice_low, summary.dice_high) for summary in summaries]
    surfaces = surface_cells(context, context.external.metrics, o, MEAN)
    ensemble = ensemble_cells(context, None, MEAN)
    return (
        external_name(context.external.names[o]),
        *scores,
        *surfaces,
        *ensemble,
        *[nothing_known()] * 3,
    )


def _external_class_row(context: Context, o: int, label: int) -> TableRow:
    summary = context.external.summaries[o, label]
    share, voxels = summary.fp_share, summary.fp_voxels
    return (
        external_name(context.external.names[o]),
        scored(summary.dice, summary.dice_low, summary.dice_high),
        scored(summary.iou, summary.iou_low, summary.iou_high),
        *surface_cells(context, context.external.metrics, o, label),
        *ensemble_cells(context, None, label),
        nothing_known(),
        *(
            (TableCell(percent(share), share), TableCell(number(voxels, 0), voxels))
            if summary.label_free
            else ()
        ),
        nothing_known(),
        nothing_known(),
    )


def _class_table(context: Context, order: list[int], label: int) -> Table:
    first = context.summaries[NATIVE][order[0], label]
    test = (
        "the larger p of the signed-rank test over patients (seeds averaged, zeros by Pratt) and "
        "of Student's t over patients "
        "and trainings; Holm over all rivals and classes"
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
        *ensemble_column(context),
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
    rows = _merge_rows(
        context,
        order,
        lambda i: _class_row(context, i, label),
        lambda o: _external_class_row(context, o, label),
    )
    folded = len(order) > OPEN_ROWS
    return Table(
        id=f"leaderboard-class-{label}", caption=caption, columns=columns, rows=rows, folded=folded
    )


def _class_row(context: Context, i: int, label: int) -> tuple[TableCell, ...]:
    summary, cube = context.summaries[NATIVE][i, label], context.summaries[PREPARED][i, label]
    p = _p_against_selected(context, i, label)
    share, voxels = summary.fp_share, summary.fp_voxels
    return (
        configuration(context, i),
        scored(summary.dice, summary.dice_low, summary.dice_high),
        scored(summary.iou, summary.iou_low, summary.iou_high),
        *surface_cells(context, context.metrics, i, label),
        *ensemble_cells(context, i, label),
        scored(cube.dice, cube.dice_low, cube.dice_high),
        *(
            (TableCell(percent(share), share), TableCell(number(voxels, 0), voxels))
            if summary.label_free
            else ()
        ),
        TableCell("" if math.isnan(p) else "below 0.001" if p < 0.001 else number(p), p),
        TableCell(str(summary.seeds), summary.seeds),
    )


def _p_against_selected(context: Context, i: int, label: int) -> float:
    """The Holm-adjusted p value, from the declared family that compares the selected configuration
    with all others per class; NaN without one.
    """
    for family in context.families:
        if context.selection and family.family.pairs == SELECTED and family.family.score == CLASSES:
            return family.adjusted.get((context.selection.selected, i, label), math.nan)
    return math.nan


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
            means.dice[(PREPARED, *key)],
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
