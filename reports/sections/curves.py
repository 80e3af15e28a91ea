"""Training and validation curves by epoch: one figure per model, one column per loss, Dice above
and loss below.
"""

import math
from collections.abc import Iterator
from typing import Any

from reports.analysis.context import Context
from reports.analysis.epochs import (
    Value,
    at_best,
    by_epoch,
    is_rising,
    train_dice,
    train_loss,
    val_dice,
    val_loss,
)
from reports.elements import Column, Figure, Section, Table, TableCell
from reports.figures.colours import model_colour, trial_colour
from reports.formatting import cell_name, distinct, many, number, plain, span
from trials.records.result import COMPLETE, EpochScore, TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell

# Opacity of a model's colour, by sampling.
OPACITIES = (1.0, 0.72, 0.5)
Shown = dict[Cell, list[TrialResult]]


def curves(context: Context) -> Section | None:
    """The curves of the final trials, or of the tuning trials if there is no final one; None before
    a first epoch.
    """
    shown = {cell: trials for cell in context.run.cells if (trials := _trials(context, cell))}
    pretraining = [
        result for result in context.run.results if result.spec.phase == PRETRAIN and result.curve
    ]
    if not shown and not pretraining:
        return None
    models = [
        model
        for model in distinct(cell.model for cell in context.run.cells)
        if any(cell.model == model for cell in shown)
    ]
    figures = [_figure(context, model, shown) for model in models] + (
        [_pretraining(context, pretraining)] if pretraining else []
    )
    return Section(
        id="curves",
        title="Training curves",
        question="Did the trainings converge, and did they overfit?",
        finding=_finding(context, shown),
        blocks=tuple(figures),
    )


def _trials(context: Context, cell: Cell) -> list[TrialResult]:
    """A configuration's complete final trials; its best complete tuning trial if no final trial of
    the run has ended.
    """
    of_cell = [
        result for result in context.run.results if result.spec.cell == cell and result.curve
    ]
    if context.run.finals:
        return [
            result for result in of_cell if result.spec.phase == FINAL and result.state == COMPLETE
        ]
    tuned = [result for result in of_cell if result.spec.phase == TUNE and result.state == COMPLETE]
    return sorted(tuned, key=lambda result: -(result.val_score or 0.0))[:1]


def _finding(context: Context, shown: Shown) -> str:
    if not shown:
        return "Only pretraining has ended so far."
    rising = sum(is_rising(trials) for trials in shown.values())
    text = (
        f"{rising} of {many(len(shown), 'configuration')} {'was' if rising == 1 else 'were'} "
        "still improving in the last tenth of the epochs"
    )
    text += ": longer training may change their rank." if rising else "."
    return (
        text
        if context.run.finals
        else f"{text} These are tuning trials, because no final trial has ended."
    )


def _place(context: Context, model: str) -> int:
    """A model's index in the grid, used in the name of its figure."""
    return distinct(cell.model for cell in context.run.cells).index(model)


def _figure(context: Context, model: str, shown: Shown) -> Figure:
    cells = [cell for cell in shown if cell.model == model]
    losses, seeds = distinct(cell.loss for cell in cells), max(len(shown[cell]) for cell in cells)
    band = ", the band spans the lowest to the highest" if seeds > 1 else ""
    caption = (
        f"{model}: {_gap(cells, shown)} Solid lines are validation, dotted lines training. Above: "
        f"mean Dice of the {context.run.nouns} on the cube; below: the training loss. Mean of "
        f"{many(seeds, 'seed' if len(context.run.folds) == 1 else 'training')}{band}."
    )
    return Figure(
        id=f"curves-{_place(context, model)}",
        caption=caption,
        data=tuple(
            trace for cell in cells for trace in _traces(context, cell, losses, cells, shown[cell])
        ),
        layout=_layout(losses, _epoch_ticks([trial for cell in cells for trial in shown[cell]])),
        table=_table(context, model, cells, shown),
        height=460,
        least_width=110 + 215 * len(losses),
    )


def _gap(cells: list[Cell], shown: Shown) -> str:
    gaps = [at_best(shown[cell], train_dice) - at_best(shown[cell], val_dice) for cell in cells]
    known = [gap for gap in gaps if not math.isnan(gap)]
    if not known:
        return "training Dice was not recorded."
    return f"at the best epoch, training Dice minus validation Dice is {span(known, 2)}."


def _traces(
    context: Context, cell: Cell, losses: list[str], cells: list[Cell], trials: list[TrialResult]
) -> Iterator[dict[str, Any]]:
    """The lines of one configuration in the column of its loss: Dice in the upper panel, loss in
    the lower.
    """
    sampling = distinct(cell.sampling for cell in context.run.cells).index(cell.sampling)
    prefix = f"{cell.sampling}, " if len({other.sampling for other in cells}) > 1 else ""
    is_named = next(other for other in cells if other.sampling == cell.sampling) == cell
    look = {
        "colour": model_colour(context.run, cell.model),
        "opacity": OPACITIES[sampling % len(OPACITIES)],
    }
    for row, (train, val) in enumerate(((train_dice, val_dice), (train_loss, val_loss))):
        panel = row * len(losses) + losses.index(cell.loss) + 1
        axes = {
            "type": "scatter",
            "xaxis": _axis("x", panel),
            "yaxis": _axis("y", panel),
        }
        yield from _band(trials, val, axes, look)
        yield _line(
            trials, val, axes, look, (f"{prefix}validation", "solid", is_named and row == 0)
        )
        yield _line(trials, train, axes, look, (f"{prefix}training", "dot", is_named and row == 0))


def _band(
    trials: list[TrialResult], value: Value, axes: dict[str, Any], look: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The range of the seeds as a band, if there are several."""
    values = by_epoch(trials, value)
    if len(trials) < 2 or not values:
        return
    epochs, sets = list(values), list(values.values())
    edge = [round(max(of), 4) for of in sets] + [round(min(of), 4) for of in reversed(sets)]
    fill = {
        "mode": "lines",
        "fill": "toself",
        "fillcolor": f"{look['colour']}/{0.2 * look['opacity']:.2f}",
        "line": {"width": 0},
    }
    yield {
        **axes,
        **fill,
        "x": epochs + epochs[::-1],
        "y": edge,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _line(
    trials: list[TrialResult],
    value: Value,
    axes: dict[str, Any],
    look: dict[str, Any],
    named: tuple[str, str, bool],
) -> dict[str, Any]:
    values, (name, dash, in_legend) = by_epoch(trials, value), named
    return {
        **axes,
        # A single validation is a point.
        "mode": "markers" if len(values) == 1 else "lines",
        "marker": {"color": look["colour"]},
        "x": list(values),
        "y": [round(sum(of) / len(of), 4) for of in values.values()],
        "name": plain(name),
        "legendgroup": plain(name),
        "showlegend": in_legend,
        "opacity": look["opacity"],
        "line": {"color": look["colour"], "dash": dash, "width": 2 if dash == "solid" else 1.5},
        "hovertemplate": "epoch %{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
    }


def _axis(name: str, place: int) -> str:
    """Plotly's name of the axis at an index counted from 1: the first has no number."""
    return name if place == 1 else f"{name}{place}"


def _epoch_ticks(trials: list[TrialResult]) -> dict[str, Any]:
    """Ticks at whole epochs, about five of them."""
    longest = max(len(trial.curve) for trial in trials)
    return {"tick0": 0, "dtick": max(1, round(longest / 5))}


def _layout(losses: list[str], ticks: dict[str, Any]) -> dict[str, Any]:
    num, gap = len(losses), 0.07 / len(losses)
    layout: dict[str, Any] = {"margin": {"l": 56, "r": 10, "t": 64, "b": 44}, "annotations": []}
    layout["legend"] = {
        "orientation": "h",
        "x": 0,
        "y": 1.1,
        "yanchor": "bottom",
        "xanchor": "left",
    }
    for i, loss in enumerate(losses):
        domain = [i / num + gap * (i > 0), (i + 1) / num - gap * (i < num - 1)]
        top, bottom = i + 1, num + i + 1
        upper = {
            "domain": domain,
            "anchor": _axis("y", top),
            "showticklabels": False,
            "matches": _axis("x", bottom),
        } | ticks
        lower = {
            "domain": domain,
            "anchor": _axis("y", bottom),
            "title": {"text": "epoch", "standoff": 4},
        } | ticks
        dice = {
            "domain": [0.47, 1],
            "anchor": _axis("x", top),
            "range": [0, 1],
            "nticks": 5,
            "showticklabels": i == 0,
        }
        criterion = {
            "domain": [0, 0.4],
            "anchor": _axis("x", bottom),
            "rangemode": "tozero",
            "nticks": 4,
        }
        if i == 0:
            dice["title"], criterion["title"] = {"text": "Dice"}, {"text": "loss"}
        layout |= {_axis("xaxis", top): upper, _axis("xaxis", bottom): lower}
        layout |= {_axis("yaxis", top): dice, _axis("yaxis", bottom): criterion}
        place = {
            "x": domain[0],
            "y": 1.02,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
        }
        layout["annotations"].append({**place, "text": f"<b>{plain(loss)}</b>", "showarrow": False})
    return layout


def _table(context: Context, model: str, cells: list[Cell], shown: Shown) -> Table:
    parts = ["validation Dice", "training Dice"]
    parts += [f"validation {context.run.classes[label]}" for label in context.run.labels]
    names = ["seeds", "epochs", "best epoch", *(f"{part} at the best epoch" for part in parts)]
    columns = (
        Column("configuration"),
        *(Column(name, True) for name in names),
        Column("still improving"),
    )
    rows = tuple(_row(context, cell, shown[cell]) for cell in cells)
    caption = "Dice on the cube at the best epoch, averaged over seeds."
    return Table(
        id=f"curves-{_place(context, model)}-table", caption=caption, columns=columns, rows=rows
    )


def _row(context: Context, cell: Cell, trials: list[TrialResult]) -> tuple[TableCell, ...]:
    def of_label(label: int) -> Value:
        def value(epoch: EpochScore) -> float | None:
            return epoch.val_dice.get(label)

        return value

    values = [
        at_best(trials, value)
        for value in (val_dice, train_dice, *(of_label(label) for label in context.run.labels))
    ]
    length, best = (
        max(len(trial.curve) for trial in trials),
        ", ".join(str(trial.best_epoch) for trial in trials),
    )
    head = (
        TableCell(cell_name(cell)),
        TableCell(str(len(trials)), len(trials)),
        TableCell(str(length), length),
        TableCell(best),
    )
    return (
        *head,
        *(TableCell(number(value), value) for value in values),
        TableCell("yes" if is_rising(trials) else "no"),
    )


def _pretraining(context: Context, trials: list[TrialResult]) -> Figure:
    data, rows = [], []
    for trial in trials:
        look = {"colour": trial_colour(context.run, trial.spec.cell.model), "opacity": 1.0}
        for value, dash, name in (
            (val_loss, "solid", "validation"),
            (train_loss, "dot", "training"),
        ):
            title = f"{trial.spec.cell.model}, {name}"
            data.append(_line([trial], value, {"type": "scatter"}, look, (title, dash, True)))
            ends = [losses[0] for losses in by_epoch([trial], value).values()]
            if ends:
                rows.append(
                    (
                        TableCell(title),
                        TableCell(number(ends[0], 4), ends[0]),
                        TableCell(number(ends[-1], 4), ends[-1]),
                    )
                )
    layout = {
        "margin": {"l": 56, "r": 10, "t": 40, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "epoch"}} | _epoch_ticks(trials),
        "yaxis": {"title": {"text": "restoration loss"}, "rangemode": "tozero"},
    }
    columns = (Column("curve"), Column("first epoch", True), Column("last epoch", True))
    table = Table(
        id="pretraining-table", caption="Restoration loss.", columns=columns, rows=tuple(rows)
    )
    caption = (
        f"Pretraining by restoring masked blocks, {many(len(trials), 'trial')}: solid lines are "
        "validation, dotted lines training."
    )
    return Figure(
        id="pretraining", caption=caption, data=tuple(data), layout=layout, table=table, height=300
    )
