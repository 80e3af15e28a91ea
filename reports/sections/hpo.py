"""What tuning taught: what it gained over the default, which hyperparameters mattered, and every study to look into."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.board import Board
from reports.entries import configuration
from reports.palette import distinct, model_colour
from reports.run_folder import read_studies
from reports.section import Block, Column, Entry, Figure, Section, Table
from reports.study_views import searched, study_view
from reports.wording import cell_name, listed, many, number, percent, plain, signed, span
from trials.result import COMPLETE, TrialResult
from trials.spec import TUNE, Cell

# With fewer trials a study is a handful of points: nothing is said of its hyperparameters.
LEAST = 5
Studies = dict[Cell, list[TrialResult]]


def hpo(board: Board) -> Section | None:
    """Gain, importance and studies; nothing for a run that tuned nothing."""
    studies = _studies(board)
    if not studies:
        return None
    importance = {cell: found for cell, found in read_studies(board.run.out).items() if cell in studies}
    large = {cell: trials for cell, trials in studies.items() if len(trials) >= LEAST and searched(trials)}
    blocks: list[Block] = []
    if gained := _gain(board, studies):
        blocks.append(gained)
    if importance:
        blocks.append(_importance(board, importance, studies))
    if large:
        blocks.append(_views(large))
    return Section(
        id="hpo",
        title="Tuning",
        question="What did tuning teach?",
        finding=f"{_gain_words(studies)} {_importance_words(studies, importance)}",
        blocks=tuple(blocks),
    )


def _studies(board: Board) -> Studies:
    """Each cell's complete tuning trials, in the order of its study."""
    done = [result for result in board.run.results if result.spec.phase == TUNE and result.state == COMPLETE]
    studies = {cell: [result for result in done if result.spec.cell == cell] for cell in board.run.cells}
    return {cell: sorted(trials, key=lambda trial: trial.spec.number) for cell, trials in studies.items() if trials}


def _score(trial: TrialResult) -> float:
    return float(trial.val_score or 0.0)


def _best(trials: Sequence[TrialResult]) -> TrialResult:
    return max(trials, key=lambda trial: (_score(trial), -trial.spec.number))


def _gains(studies: Studies) -> dict[Cell, float]:
    """What the best setting of a study is ahead of its default; only of studies whose default was completed."""
    return {cell: _score(_best(trials)) - _score(trials[0]) for cell, trials in studies.items() if trials[0].spec.number == 0}


def _gain_words(studies: Studies) -> str:
    gains = _gains(studies)
    if not gains:
        return "No study has a completed default to compare with."
    sizes = sorted({len(trials) for trials in studies.values()})
    kept = sum(gain == 0 for gain in gains.values())
    budget = many(sizes[0], "setting") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} settings"
    better = len(gains) - kept
    text = f"With {budget} tried a cell, a tuned one beat the default on validation in {better} of {many(len(gains), 'cell')}"
    return f"{text} (by {span([gain for gain in gains.values() if gain > 0])} Dice)." if better else f"{text}."


def _importance_words(studies: Studies, importance: Mapping[Cell, Mapping[str, float]]) -> str:
    if importance:
        first = Counter(max(found, key=lambda name: (found[name], name)) for found in importance.values())
        lead = listed([f"{name.replace('_', ' ')} in {count}" for name, count in first.most_common()])
        return f"What mattered most: {lead} of {many(len(importance), 'cell')}."
    most = max(len(trials) for trials in studies.values())
    return (
        f"With at most {many(most, 'complete trial')} a study, nothing can be learnt about which hyperparameter mattered: "
        "that takes at least 10 that differ in score."
    )


def _gain(board: Board, studies: Studies) -> Figure | None:
    gains = _gains(studies)
    if not gains:
        return None
    order = sorted(gains, key=lambda cell: (-gains[cell], board.run.cells.index(cell)))
    names = [plain(cell_name(cell)) for cell in order]
    caption = (
        "Tuned against default at the same length of training: each cell's default was its study's first trial. The "
        "best of several is flattered by having been picked on these validation cases. Validation Dice on the cube, one seed."
    )
    layout = {
        "margin": {"l": 10, "r": 10, "t": 40, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "validation Dice"}},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "range": [-0.6, len(names) - 0.4],
        },
    }
    return Figure(
        id="gain",
        caption=caption,
        data=_gain_traces(names, [studies[cell] for cell in order]),
        layout=layout,
        table=_gain_table(board, studies, order),
        height=110 + 24 * len(order),
    )


def _gain_traces(names: list[str], studies: list[list[TrialResult]]) -> tuple[dict[str, Any], ...]:
    """A line a cell from its default to its best, and the marks at its ends."""
    defaults = [round(_score(trials[0]), 4) for trials in studies]
    bests = [round(_score(_best(trials)), 4) for trials in studies]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [value for pair in zip(defaults, bests, strict=True) for value in (*pair, None)],
            "y": [name for name in names for _ in range(3)],
            "line": {"color": "var(--muted)", "width": 2},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]
    for title, values, symbol in (("default", defaults, "circle-open"), ("best of its study", bests, "circle")):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": title,
                "x": values,
                "y": names,
                "marker": {"size": 9, "symbol": symbol, "color": "var(--m0)", "line": {"width": 1.5, "color": "var(--m0)"}},
                "hovertemplate": "%{y}<br>%{x:.3f}<extra>%{fullData.name}</extra>",
            }
        )
    return tuple(data)


def _gain_table(board: Board, studies: Studies, order: list[Cell]) -> Table:
    columns = (
        Column("configuration"),
        *(Column(name, True) for name in ("complete trials", "default", "best", "gain", "found at number")),
        Column("best setting"),
    )
    rows = []
    for cell in order:
        trials, best = studies[cell], _best(studies[cell])
        gain = _score(best) - _score(trials[0])
        rows.append(
            (
                configuration(board, board.run.cells.index(cell)),
                Entry(str(len(trials)), len(trials)),
                Entry(number(_score(trials[0])), _score(trials[0])),
                Entry(number(_score(best)), _score(best)),
                Entry(signed(gain), gain),
                Entry(str(best.spec.number), best.spec.number),
                Entry(_setting(best)),
            )
        )
    return Table(
        id="gain-table", caption="The best setting of each study beside its default.", columns=columns, rows=tuple(rows)
    )


def _setting(trial: TrialResult) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}" for name, value in sorted(trial.spec.hyper.items()) if isinstance(value, float)
    )


def _importance(board: Board, importance: Mapping[Cell, Mapping[str, float]], studies: Studies) -> Figure:
    names = sorted({name for found in importance.values() for name in found}, key=lambda name: (name != "lr", name))
    data = []
    for model in distinct(cell.model for cell in importance):
        mine = [
            (cell, name, share) for cell, found in importance.items() if cell.model == model for name, share in found.items()
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(model),
                "x": [round(share, 4) for _, _, share in mine],
                "y": [plain(name.replace("_", " ")) for _, name, _ in mine],
                "customdata": [plain(cell_name(cell)) for cell, _, _ in mine],
                "marker": {"size": 10, "opacity": 0.7, "color": model_colour(board.run, model)},
                "hovertemplate": "%{customdata}<br>%{y}: %{x:.0%}<extra></extra>",
            }
        )
    sizes = [len(studies[cell]) for cell in importance]
    caption = (
        "How much of what tells a study's best trials from all of them each hyperparameter carries (PED-ANOVA, Watanabe and "
        f"others 2023; the best are a quarter, at least five). A point is a cell, {span(sizes, 0)} complete trials each; the "
        "shares of a cell sum to 1."
    )
    columns = (Column("configuration"), *(Column(name.replace("_", " "), True) for name in names))
    rows = tuple(
        (
            configuration(board, board.run.cells.index(cell)),
            *(Entry(percent(found[name]), found[name]) if name in found else Entry("", float("nan")) for name in names),
        )
        for cell, found in importance.items()
    )
    layout = {
        "margin": {"l": 10, "r": 10, "t": 40, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "importance"}, "range": [-0.03, 1.03], "tickformat": ".0%"},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [name.replace("_", " ") for name in names][::-1],
        },
    }
    table = Table(id="importance-table", caption="Importance by cell.", columns=columns, rows=rows)
    return Figure(id="importance", caption=caption, data=tuple(data), layout=layout, table=table, height=130 + 42 * len(names))


def _views(studies: Studies) -> Figure:
    views = tuple(study_view(cell_name(cell), trials) for cell, trials in studies.items())
    columns = (Column("study"), Column("number", True), Column("validation Dice", True), Column("setting"))
    rows = tuple(
        (
            Entry(cell_name(cell)),
            Entry(str(trial.spec.number), trial.spec.number),
            Entry(number(_score(trial)), _score(trial)),
            Entry(_setting(trial)),
        )
        for cell, trials in studies.items()
        for trial in trials
    )
    caption = (
        "One study at a time. Above: the score against each hyperparameter, later trials lighter, and a map over two of them "
        "(interpolated between the trials, so only as good as they are dense). Below: each trial as a line, lighter where it "
        "scored higher, the best in ink. Validation Dice on the cube."
    )
    return Figure(
        id="studies",
        caption=caption,
        layout={},
        views=views,
        view_label="Study",
        table=Table(id="studies-table", caption="Every complete trial of these studies.", columns=columns, rows=rows),
        height=560,
        least_width=720,
    )
