"""A study in one figure: the score against each hyperparameter, over two of them, and as parallel
coordinates.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from reports.elements import View
from reports.figures.colours import CIVIDIS, heat_colour
from reports.formatting import plain
from trials.records.result import TrialResult
from trials.records.result_file import LOGARITHMIC

SCALE = [[i / (len(CIVIDIS) - 1), colour] for i, colour in enumerate(CIVIDIS)]
# An interpolated map of fewer points than this shows little more than the points.
LEAST_MAPPED = 6
Scale = tuple[str, list[float]]


def study_view(name: str, trials: Sequence[TrialResult]) -> View:
    """The complete trials of one study, in their order: scatter plots and a map above, parallel
    coordinates below.
    """
    names = searched(trials)
    scores = [round(float(trial.val_score or 0), 4) for trial in trials]
    pair = _pair(trials, names) if len(trials) >= LEAST_MAPPED else None
    num = len(names) + (pair is not None)
    layout: dict[str, Any] = {
        "annotations": [],
        "showlegend": False,
        "margin": {"l": 56, "r": 24, "t": 30, "b": 24},
    }
    data = []
    for place, hyper in enumerate(names):
        axes = _axes(
            layout,
            (place, num),
            (hyper, _values(trials, hyper)),
            ("validation Dice" if place == 0 else "", []),
        )
        layout[axes["yaxis"].replace("y", "yaxis")]["matches"] = None if place == 0 else "y"
        data.append(_points(trials, hyper, scores) | axes)
    if pair:
        across, up = ((hyper, _values(trials, hyper)) for hyper in pair)
        axes = _axes(layout, (len(names), num), across, up)
        data += [trace | axes for trace in _map(trials, pair, scores)]
    data += _parallel(layout, trials, names, num)
    return View(name=name, data=tuple(data), layout=layout)


def searched(trials: Sequence[TrialResult]) -> list[str]:
    """The hyperparameters that are one number and differ between trials."""
    names = sorted({name for trial in trials for name in trial.spec.hyper})
    return [
        name
        for name in names
        if len({trial.spec.hyper.get(name) for trial in trials}) > 1 and _is_number(trials, name)
    ]


def _is_number(trials: Sequence[TrialResult], name: str) -> bool:
    return all(isinstance(trial.spec.hyper.get(name), float) for trial in trials)


def _values(trials: Sequence[TrialResult], name: str) -> list[float]:
    return [float(f"{trial.spec.hyper[name]:.4g}") for trial in trials]


def _pair(trials: Sequence[TrialResult], names: list[str]) -> tuple[str, str] | None:
    """The learning rate and the first other one, where there are two."""
    others = [name for name in names if name != "lr"]
    return (
        ("lr", others[0])
        if "lr" in names and others
        else (others[0], others[1])
        if len(others) > 1
        else None
    )


def _axes(
    layout: dict[str, Any], panel: tuple[int, int], across: Scale, up: Scale
) -> dict[str, str]:
    """Add the panel (place, of how many) in the upper row; returns the trace's axes. A scale is a
    name and its values.
    """
    place, num = panel
    (across_name, values), (up_name, heights) = across, up
    end = "" if place == 0 else str(place + 1)
    domain = [place / num + 0.03 * (place > 0), (place + 1) / num - 0.03]
    layout[f"xaxis{end}"] = {
        "domain": domain,
        "anchor": f"y{end}",
        "title": {"text": across_name.replace("_", " ")},
        **_scale(across_name, values),
    }
    layout[f"yaxis{end}"] = {
        "domain": [0.58, 1],
        "anchor": f"x{end}",
        "title": {"text": up_name.replace("_", " ")},
        **(_scale(up_name, heights) if heights else {"nticks": 5}),
    }
    return {"xaxis": f"x{end}", "yaxis": f"y{end}"}


def _scale(name: str, values: list[float]) -> dict[str, Any]:
    """An axis of a hyperparameter; one that ranges over orders of magnitude has four readable
    ticks.
    """
    if name not in LOGARITHMIC:
        return {"type": "linear", "nticks": 5}
    low, high = min(values), max(values)
    ticks = [float(f"{low * (high / low) ** (i / 3):.1g}") for i in range(4)]
    return {
        "type": "log",
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [f"{tick:.1g}" for tick in ticks],
    }


def _points(trials: Sequence[TrialResult], name: str, scores: list[float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": _values(trials, name),
        "y": scores,
        "text": [f"number {trial.spec.number}" for trial in trials],
        "marker": {
            "size": 9,
            "color": [trial.spec.number for trial in trials],
            "colorscale": SCALE,
            "line": {"width": 1, "color": "var(--muted)"},
        },
        "hovertemplate": "%{text}<br>%{x:.3g}: %{y:.3f}<extra></extra>",
    }


def _map(
    trials: Sequence[TrialResult], pair: tuple[str, str], scores: list[float]
) -> list[dict[str, Any]]:
    """Score over two hyperparameters: weighted by distance between the trials, on the scale they
    were searched on.
    """
    across, up = (_values(trials, name) for name in pair)
    (xs, x_of), (ys, y_of) = (
        _grid(values, name in LOGARITHMIC) for values, name in zip((across, up), pair, strict=True)
    )
    places = [(x_of(a), y_of(b)) for a, b in zip(across, up, strict=True)]
    z = [[_near(x_of(x), y_of(y), places, scores) for x in xs] for y in ys]
    surface = {
        "type": "contour",
        "x": xs,
        "y": ys,
        "z": z,
        "colorscale": SCALE,
        "ncontours": 12,
        "line": {"width": 0},
        "contours": {"coloring": "fill"},
        "colorbar": {
            "thickness": 10,
            "len": 0.42,
            "y": 0.79,
            "outlinewidth": 0,
            "tickfont": {"color": "var(--muted)"},
        },
        "hovertemplate": "%{x:.3g}, %{y:.3g}: about %{z:.3f}<extra></extra>",
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": across,
        "y": up,
        "marker": {
            "size": 7,
            "color": "rgba(255,255,255,0.9)",
            "line": {"width": 1.5, "color": "#222"},
        },
        "hoverinfo": "skip",
    }
    return [surface, points]


def _grid(values: list[float], is_log: bool) -> tuple[list[float], Callable[[float], float]]:
    """Thirteen even steps over the values, and how far along them a value lies, 0..1."""
    low, high = (math.log(bound) if is_log else bound for bound in (min(values), max(values)))
    steps = [low + (high - low) * i / 12 for i in range(13)]

    def place(value: float) -> float:
        return ((math.log(value) if is_log else value) - low) / (high - low)

    return [float(f"{math.exp(step) if is_log else step:.5g}") for step in steps], place


def _near(x: float, y: float, places: list[tuple[float, float]], scores: list[float]) -> float:
    """Shepard's interpolation (1968), inverse squared distance."""
    weights = [1 / ((x - a) ** 2 + (y - b) ** 2 + 1e-3) for a, b in places]
    return round(
        sum(weight * score for weight, score in zip(weights, scores, strict=True)) / sum(weights), 4
    )


def _parallel(
    layout: dict[str, Any], trials: Sequence[TrialResult], names: list[str], num: int
) -> list[dict[str, Any]]:
    """Each trial as a line across its settings to its score, the best in ink; a scale runs from its
    least to its largest.
    """
    scores = [float(trial.val_score or 0) for trial in trials]
    scales = [
        (name.replace("_", " "), _values(trials, name), name in LOGARITHMIC) for name in names
    ]
    scales.append(("validation Dice", scores, False))
    heights = []
    for place, (_, values, is_log) in enumerate(scales):
        steps = [math.log(value) if is_log else value for value in values]
        low, wide = min(steps), max(steps) - min(steps)
        heights.append([round((step - low) / wide, 4) if wide else 0.5 for step in steps])
        for bound, side, y in ((min(values), "top", -0.04), (max(values), "bottom", 1.04)):
            at = {
                "x": place,
                "y": y,
                "xref": f"x{num + 1}",
                "yref": f"y{num + 1}",
                "yanchor": side,
                "showarrow": False,
            }
            layout["annotations"].append(
                at | {"text": f"{bound:.3g}", "font": {"size": 11, "color": "var(--muted)"}}
            )
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(scales))),
        "ticktext": [plain(name) for name, _, _ in scales],
    }
    across = {
        "anchor": f"y{num + 1}",
        "range": [-0.3, len(scales) - 0.7],
        "side": "top",
        "ticklabelstandoff": 16,
        "linewidth": 0,
        **ticks,
    }
    layout[f"xaxis{num + 1}"] = across
    layout[f"yaxis{num + 1}"] = {
        "domain": [0.04, 0.34],
        "anchor": f"x{num + 1}",
        "range": [-0.05, 1.05],
        "visible": False,
    }
    order = sorted(range(len(trials)), key=lambda i: (scores[i], -i))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": list(range(len(scales))),
            "y": [height[i] for height in heights],
            "xaxis": f"x{num + 1}",
            "yaxis": f"y{num + 1}",
            "line": {
                "color": "var(--ink)" if i == order[-1] else _shade(heights[-1][i]),
                "width": 3 if i == order[-1] else 1.5,
            },
            "name": f"number {trials[i].spec.number}",
            "hovertemplate": f"number {trials[i].spec.number}<br>Dice "
            f"{scores[i]:.3f}<extra></extra>",
        }
        for i in order
    ]


def _shade(height: float) -> str:
    """A colour of the scale for 0..1, without the ends that vanish on a dark or a light page."""
    return heat_colour(0.2 + 0.7 * height)[0]
