"""Dice of the selected configuration by the size of each structure and by group of patients, and of
every configuration by quarter of the sizes.
"""

from math import ceil, floor, log10, prod
from typing import Any

import numpy as np

from reports.analysis.context import Context
from reports.analysis.groups import groups_table
from reports.analysis.patients import counted_cases, held_labels, patient_dice
from reports.elements import Block, Column, Figure, Section, Table, TableCell
from reports.figures.cells import configuration, ranked
from reports.formatting import cell_name, listed, many, number, plain
from reports.stats.intervals import nan_mean
from trials.records.result import NATIVE

# Fewer patients than this are too few to divide into quarters.
FEWEST = 8
QUARTERS = ("smallest quarter", "second", "third", "largest quarter")


def size(context: Context) -> Section | None:
    """One panel per class that enough patients have; None if there is no such class or no test
    score yet.
    """
    order, counts = ranked(context), context.test[NATIVE]
    labels = (
        [label for label in held_labels(counts) if len(counted_cases(counts, label)) >= FEWEST]
        if order
        else []
    )
    if not labels:
        return None
    shown = (
        context.selection.selected
        if context.selection and context.selection.selected in order
        else order[0]
    )
    volumes = {label: _volumes(context, label) for label in labels}
    scores = {label: nan_mean(patient_dice(counts, label), 1) for label in labels}
    groups = groups_table(context, shown)
    tables: list[Block] = [] if groups is None else [groups]
    tables += [_table(context, order, label, volumes[label], scores[label]) for label in labels]
    return Section(
        id="size",
        title="Size of the structure",
        question="Does Dice depend on the size of the structure?",
        finding=_finding(context, shown, volumes, scores),
        blocks=(_figure(context, shown, volumes, scores), *tables),
    )


def _unit(context: Context) -> str:
    return "ml" if _voxel_mm3(context) else "voxels"


def _voxel_mm3(context: Context) -> dict[str, float]:
    """The volume of a native voxel in mm3 by test case; empty unless the run folder has all of
    them.
    """
    geometry = (context.run.record.get("data") or {}).get("geometry") or {}
    cases = context.test[NATIVE].cases
    return (
        {case: prod(geometry[case]["spacing_mm"]) for case in cases}
        if set(cases) <= set(geometry)
        else {}
    )


def _volumes(context: Context, label: int) -> np.ndarray:
    """The reference volume of the label in every patient that has it, in ml; in voxels of the
    patient's own grid if no voxel sizes are stored.
    """
    counts, voxels = context.test[NATIVE], _voxel_mm3(context)
    scale = np.array([voxels[case] / 1000 if voxels else 1.0 for case in counts.cases])
    return counts.volumes(label, scale)[counted_cases(counts, label)]


def _quarter(volumes: np.ndarray) -> np.ndarray:
    """The quarter 0..3 of each patient by the quartiles of the volumes in this split."""
    return np.searchsorted(np.quantile(volumes, [0.25, 0.5, 0.75]), volumes, side="left")


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _finding(
    context: Context, shown: int, volumes: dict[int, np.ndarray], scores: dict[int, np.ndarray]
) -> str:
    parts = []
    for label, of in volumes.items():
        quarters, own = _quarter(of), scores[label][shown]
        ends = [own[quarters == quarter] for quarter in (0, 3)]
        if all(len(end) for end in ends):
            small, large = (number(float(end.mean()), 2) for end in ends)
            parts.append(
                f"{context.run.classes[label]} {small} in the smallest quarter, {large} in the "
                "largest"
            )
    name = cell_name(context.run.cells[shown])
    return (
        f"Mean Dice of {name} by reference volume: {'; '.join(parts)}."
        if parts
        else "All reference volumes are equal, so small and large structures cannot be compared."
    )


def _figure(
    context: Context, shown: int, volumes: dict[int, np.ndarray], scores: dict[int, np.ndarray]
) -> Figure:
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "showlegend": False,
        "margin": {"l": 52, "r": 10, "t": 40, "b": 48},
        "annotations": [],
        "shapes": [],
    }
    for panel, (label, of) in enumerate(volumes.items()):
        suffix = "" if panel == 0 else str(panel + 1)
        domain = [panel / len(volumes) + 0.02 * (panel > 0), (panel + 1) / len(volumes) - 0.012]
        layout[f"xaxis{suffix}"] = {
            "type": "log",
            "domain": domain,
            "anchor": f"y{suffix}",
            "title": {"text": _unit(context)},
            **_ticks(of),
        }
        vertical = {
            "range": [-0.03, 1.03],
            "anchor": f"x{suffix}",
            "showticklabels": panel == 0,
            "zeroline": False,
        }
        layout[f"yaxis{suffix}"] = vertical | ({"title": {"text": "Dice"}} if panel == 0 else {})
        place = {
            "x": domain[0],
            "y": 1.01,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
        }
        title = f"<b>{plain(context.run.classes[label])}</b>, n = {len(of)}"
        layout["annotations"].append({**place, "text": title, "showarrow": False})
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        data += [
            _points(context, label, of, scores[label][shown]) | axes,
            _steps(of, scores[label][shown]) | axes,
        ]
    caption = (
        f"{cell_name(context.run.cells[shown])}: one point per patient, averaged over seeds, "
        "native grid; the line is the mean of each quarter of the patients by volume (quartiles "
        f"of this split). The horizontal axis is the reference volume in {_unit(context)} on a "
        + (
            "log scale."
            if _voxel_mm3(context)
            else "log scale, because the run folder has no voxel sizes."
        )
    )
    table = _case_table(context, shown, volumes, scores)
    return Figure(
        id="size-dice",
        caption=caption,
        data=tuple(data),
        layout=layout,
        table=table,
        height=380,
        least_width=250 * len(volumes),
    )


def _ticks(volumes: np.ndarray) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 times a power of ten; at both ends if fewer than two of them are in
    range.
    """
    low, high = float(volumes.min()), float(volumes.max())
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    round_ones = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    inside = [mark for mark in round_ones if low <= mark <= high]
    marks = inside if len(inside) > 1 else [low, high]
    return {"tickvals": marks, "ticktext": [_amount(mark) for mark in marks]}


def _points(context: Context, label: int, volumes: np.ndarray, dice: np.ndarray) -> dict[str, Any]:
    counts = context.test[NATIVE]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [float(f"{value:.4g}") for value in volumes],
        "y": [round(float(value), 4) for value in dice],
        "customdata": [plain(counts.patients[n]) for n in counted_cases(counts, label)],
        "marker": {"color": "var(--accent)/0.65", "size": 7},
        "hovertemplate": "%{customdata}<br>%{x} "
        + _unit(context)
        + "<br>Dice %{y:.3f}<extra></extra>",
    }


def _steps(volumes: np.ndarray, dice: np.ndarray) -> dict[str, Any]:
    """The mean of every quarter as a line from its smallest to its largest volume."""
    x: list[float | None] = []
    y: list[float | None] = []
    for quarter in range(4):
        inside = _quarter(volumes) == quarter
        if inside.any():
            mean = round(float(dice[inside].mean()), 4)
            x += [float(volumes[inside].min()), float(volumes[inside].max()), None]
            y += [mean, mean, None]
    line = {"color": "var(--bad)", "width": 3}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": line,
        "hovertemplate": "mean %{y:.3f}<extra></extra>",
    }


def _case_table(
    context: Context, shown: int, volumes: dict[int, np.ndarray], scores: dict[int, np.ndarray]
) -> Table:
    counts, unit = context.test[NATIVE], _unit(context)
    rows = []
    for label, of in volumes.items():
        for n, volume, dice, quarter in zip(
            counted_cases(counts, label), of, scores[label][shown], _quarter(of), strict=True
        ):
            size = TableCell(_amount(float(volume)), float(volume))
            rows.append(
                (
                    TableCell(counts.patients[n]),
                    TableCell(context.run.classes[label]),
                    size,
                    TableCell(QUARTERS[quarter], int(quarter)),
                    TableCell(number(float(dice)), float(dice)),
                )
            )
    columns = (
        Column("patient"),
        Column("class"),
        Column(unit, True),
        Column("quarter"),
        Column("Dice", True),
    )
    caption = f"{cell_name(context.run.cells[shown])}: Dice of each patient and class."
    return Table(id="size-table", caption=caption, columns=columns, rows=tuple(rows))


def _table(
    context: Context, order: list[int], label: int, volumes: np.ndarray, scores: np.ndarray
) -> Table:
    quarters = _quarter(volumes)
    held = [quarter for quarter in range(4) if (quarters == quarter).any()]
    columns = [Column("configuration")]
    for quarter in held:
        inside = volumes[quarters == quarter]
        span = (
            f"{_amount(float(inside.min()))} to {_amount(float(inside.max()))} {_unit(context)}, "
            f"n = {len(inside)}"
        )
        columns.append(Column(QUARTERS[quarter], True, span))
    rows = []
    for i in order:
        means = [float(scores[i][quarters == quarter].mean()) for quarter in held]
        rows.append((configuration(context, i), *(TableCell(number(mean), mean) for mean in means)))
    quartiles = listed([_amount(float(value)) for value in np.quantile(volumes, [0.25, 0.5, 0.75])])
    caption = (
        f"{context.run.classes[label]}: mean Dice by quarter of the "
        f"{many(len(volumes), 'patient')} whose reference has it; the quartiles of its volume in "
        f"this split are {quartiles} {_unit(context)}."
    )
    return Table(
        id=f"size-class-{label}",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(rows),
        folded=True,
    )
