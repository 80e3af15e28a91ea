"""Training beside validation, epoch by epoch: one figure a model, a column a loss, Dice above and loss below."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from reports.board import Board
from reports.palette import distinct, model_colour, trial_colour
from reports.section import Block, Column, Entry, Figure, Section, Table
from reports.wording import cell_name, many, number, plain
from trials.result import COMPLETE, EpochScore, TrialResult
from trials.spec import FINAL, PRETRAIN, TUNE, Cell

RISING = 0.005
OPACITIES = (1.0, 0.6, 0.35)
Value = Callable[[EpochScore], float | None]


def curves(board: Board) -> Section | None:
    """The curves of the final trials; of the tuning trials while there is no final one; nothing before a first epoch."""
    shown = {cell: trials for cell in board.run.cells if (trials := _trials(board, cell))}
    pretraining = [result for result in board.run.results if result.spec.phase == PRETRAIN and result.curve]
    if not shown and not pretraining:
        return None
    models = [model for model in distinct(cell.model for cell in board.run.cells) if any(cell.model == model for cell in shown)]
    blocks: list[Block] = [_figure(board, model, shown) for model in models]
    if pretraining:
        blocks.append(_pretraining(board, pretraining))
    rising = sum(_is_rising(trials) for trials in shown.values())
    finding = f"{rising} of {many(len(shown), 'configuration')} {'was' if rising == 1 else 'were'} still improving when training ended"
    finding += ": longer training may change their place." if rising else "."
    if not board.run.finals:
        finding += " These are tuning trials, as no final trial has ended."
    return Section(
        id="curves",
        title="Training curves",
        question="Did training converge, did it overfit?",
        finding=finding,
        blocks=tuple(blocks),
    )


def _trials(board: Board, cell: Cell) -> list[TrialResult]:
    """A cell's final trials, or its best tuning trial while no final trial of the run has ended."""
    of_cell = [result for result in board.run.results if result.spec.cell == cell and result.curve]
    if board.run.finals:
        return [result for result in of_cell if result.spec.phase == FINAL and result.state == COMPLETE]
    tuned = [result for result in of_cell if result.spec.phase == TUNE and result.val_score is not None]
    return sorted(tuned, key=lambda result: -(result.val_score or 0.0))[:1]


def mean_dice(by_label: dict[int, float | None]) -> float | None:
    """Mean over the labels that have a Dice; None where none has."""
    values = [value for value in by_label.values() if value is not None]
    return sum(values) / len(values) if values else None


TRAIN_DICE: Value = lambda epoch: mean_dice(dict(epoch.train_dice))  # noqa: E731
VAL_DICE: Value = lambda epoch: mean_dice(dict(epoch.val_dice))  # noqa: E731
TRAIN_LOSS: Value = lambda epoch: epoch.train_loss  # noqa: E731
VAL_LOSS: Value = lambda epoch: epoch.val_loss  # noqa: E731


def _by_epoch(trials: Sequence[TrialResult], value: Value) -> dict[int, list[float]]:
    """Each epoch's values over the seeds that reached it."""
    epochs: dict[int, list[float]] = {}
    for trial in trials:
        for epoch in trial.curve:
            if (known := value(epoch)) is not None:
                epochs.setdefault(epoch.epoch, []).append(known)
    return dict(sorted(epochs.items()))


def _is_rising(trials: Sequence[TrialResult]) -> bool:
    """Whether the last tenth of the epochs lifted the best validation Dice by more than RISING."""
    means = [sum(values) / len(values) for values in _by_epoch(trials, VAL_DICE).values()]
    last = max(1, len(means) // 10)
    return len(means) > last and max(means[-last:]) > max(means[:-last]) + RISING


def _figure(board: Board, model: str, shown: dict[Cell, list[TrialResult]]) -> Figure:
    cells = [cell for cell in shown if cell.model == model]
    losses = distinct(cell.loss for cell in cells)
    samplings = distinct(cell.sampling for cell in board.run.cells)
    colour = model_colour(board.run, model)
    data, named = [], set()
    for cell in cells:
        look = {
            "opacity": OPACITIES[samplings.index(cell.sampling) % len(OPACITIES)],
            "colour": colour,
            "name": plain(cell.sampling),
        }
        column = losses.index(cell.loss)
        for row, (train, val) in enumerate(((TRAIN_DICE, VAL_DICE), (TRAIN_LOSS, VAL_LOSS))):
            place = row * len(losses) + column + 1
            data += _lines(shown[cell], train, val, look, place, cell.sampling not in named)
            named.add(cell.sampling)
    seeds = max(len(shown[cell]) for cell in cells)
    caption = (
        f"{model}: {_gap_words(cells, shown)} Solid validation, dotted training; mean Dice over the classes on the cube, above, and the "
        f"training criterion, below; mean of {many(seeds, 'seed')}{', band from lowest to highest' if seeds > 1 else ''}."
    )
    return Figure(
        id=f"curves-{_slug(board, model)}",
        caption=caption,
        data=tuple(data),
        layout=_layout(losses),
        table=_table(board, model, cells, shown),
        height=460,
        least_width=110 + 215 * len(losses),
    )


def _slug(board: Board, model: str) -> int:
    return distinct(cell.model for cell in board.run.cells).index(model)


def _lines(
    trials: list[TrialResult], train: Value, val: Value, look: dict[str, Any], place: int, named: bool
) -> Iterator[dict[str, Any]]:
    axes = {"xaxis": f"x{place}", "yaxis": f"y{place}", "type": "scatter", "mode": "lines", "legendgroup": look["name"]}
    values = _by_epoch(trials, val)
    if len(trials) > 1 and values:
        epochs = list(values)
        edge = [round(max(of), 4) for of in values.values()] + [round(min(of), 4) for of in reversed(values.values())]
        band = {
            "x": epochs + epochs[::-1],
            "y": edge,
            "fill": "toself",
            "fillcolor": f"{look['colour']}/{0.16 * look['opacity']:.2f}",
        }
        yield {**axes, **band, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    for which, dash, name in ((val, "solid", "validation"), (train, "dot", "training")):
        values = _by_epoch(trials, which)
        yield {
            **axes,
            "x": list(values),
            "y": [round(sum(of) / len(of), 4) for of in values.values()],
            "name": f"{look['name']}, {name}",
            "showlegend": named,
            "opacity": look["opacity"],
            "line": {"color": look["colour"], "dash": dash, "width": 2 if dash == "solid" else 1.5},
            "hovertemplate": f"{look['name']}, {name}<br>epoch %{{x}}: %{{y:.3f}}<extra></extra>",
        }


def _layout(losses: list[str]) -> dict[str, Any]:
    width, gap = 1 / len(losses), 0.07 / len(losses)
    layout: dict[str, Any] = {"margin": {"l": 56, "r": 10, "t": 64, "b": 44}, "annotations": []}
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.14, "yanchor": "bottom", "xanchor": "left"}
    for column, loss in enumerate(losses):
        span = [column * width + gap * (column > 0), (column + 1) * width - gap * (column < len(losses) - 1)]
        top, bottom = column + 1, len(losses) + column + 1
        layout[f"xaxis{top}"] = {"domain": span, "anchor": f"y{top}", "showticklabels": False, "matches": f"x{bottom}"}
        layout[f"xaxis{bottom}"] = {
            "domain": span,
            "anchor": f"y{bottom}",
            "nticks": 5,
            "title": {"text": "epoch", "standoff": 4},
        }
        layout[f"yaxis{top}"] = {
            "domain": [0.47, 1],
            "anchor": f"x{top}",
            "range": [0, 1],
            "nticks": 5,
            "showticklabels": column == 0,
        }
        layout[f"yaxis{bottom}"] = {"domain": [0, 0.4], "anchor": f"x{bottom}", "rangemode": "tozero", "nticks": 4}
        place = {"x": span[0], "y": 1.02, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        layout["annotations"].append({**place, "text": f"<b>{plain(loss)}</b>", "showarrow": False})
    layout["yaxis1"]["title"] = {"text": "Dice"}
    layout[f"yaxis{len(losses) + 1}"]["title"] = {"text": "loss"}
    return layout


def _at_best(trials: list[TrialResult], value: Value) -> float:
    """Mean over the seeds of a value at each seed's best epoch; NaN where none has it."""
    at = [value(epoch) for trial in trials for epoch in trial.curve if epoch.epoch == trial.best_epoch]
    known = [number for number in at if number is not None]
    return sum(known) / len(known) if known else math.nan


def _gap_words(cells: list[Cell], shown: dict[Cell, list[TrialResult]]) -> str:
    gaps = [_at_best(shown[cell], TRAIN_DICE) - _at_best(shown[cell], VAL_DICE) for cell in cells]
    known = [gap for gap in gaps if not math.isnan(gap)]
    if not known:
        return "the distance of training from validation is not known."
    return f"at the best epoch, training Dice lies {number(min(known), 2)} to {number(max(known), 2)} above validation."


def _table(board: Board, model: str, cells: list[Cell], shown: dict[Cell, list[TrialResult]]) -> Table:
    labels = board.run.labels
    columns = [
        Column("configuration"),
        Column("seeds", True),
        Column("epochs", True),
        Column("best epoch", True),
        Column("validation Dice", True),
    ]
    columns += [
        Column("training Dice", True),
        *(Column(f"validation {board.run.classes[label]}", True) for label in labels),
        Column("still rising"),
    ]
    rows = []
    for cell in cells:
        trials = shown[cell]
        values = [_at_best(trials, VAL_DICE), _at_best(trials, TRAIN_DICE)]
        values += [_at_best(trials, lambda epoch, label=label: epoch.val_dice.get(label)) for label in labels]  # type: ignore[misc]
        best = ", ".join(str(trial.best_epoch) for trial in trials)
        length = max(len(trial.curve) for trial in trials)
        head = (Entry(cell_name(cell)), Entry(str(len(trials)), len(trials)), Entry(str(length), length), Entry(best))
        rows.append((*head, *(Entry(number(value), value) for value in values), Entry("yes" if _is_rising(trials) else "no")))
    caption = "Dice on the cube at the best epoch, mean of the seeds."
    return Table(id=f"curves-{_slug(board, model)}-table", caption=caption, columns=tuple(columns), rows=tuple(rows))


def _pretraining(board: Board, trials: list[TrialResult]) -> Figure:
    data, rows = [], []
    for trial in trials:
        colour = trial_colour(board.run, trial.spec.cell.model)
        for value, dash, name in ((VAL_LOSS, "solid", "validation"), (TRAIN_LOSS, "dot", "training")):
            values = _by_epoch([trial], value)
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": list(values),
                    "y": [round(of[0], 5) for of in values.values()],
                    "name": f"{plain(trial.spec.cell.model)}, {name}",
                    "line": {"color": colour, "dash": dash, "width": 2},
                    "hovertemplate": "epoch %{x}: %{y:.4f}<extra></extra>",
                }
            )
            if values:
                first, last = next(iter(values.values()))[0], list(values.values())[-1][0]
                rows.append(
                    (Entry(trial.spec.cell.model), Entry(name), Entry(number(first, 4), first), Entry(number(last, 4), last))
                )
    columns = (Column("model"), Column("split"), Column("first epoch", True), Column("last epoch", True))
    caption = f"Pretraining by restoring masked blocks: loss by epoch, {many(len(trials), 'trial')}; solid validation, dotted training."
    layout = {
        "margin": {"l": 56, "r": 10, "t": 40, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "epoch"}},
        "yaxis": {"title": {"text": "restoration loss"}, "rangemode": "tozero"},
    }
    table = Table(id="pretraining-table", caption="Restoration loss.", columns=columns, rows=tuple(rows))
    return Figure(id="pretraining", caption=caption, data=tuple(data), layout=layout, table=table, height=300)
