"""Estimates with intervals as a forest plot: panels side by side that share their rows."""

import math
from typing import Any


def panels(titles: list[str], rows: list[str]) -> dict[str, Any]:
    """A plotly layout of panels side by side that share their rows."""
    width = 1 / len(titles)
    layout: dict[str, Any] = {"showlegend": False, "margin": {"l": 10, "r": 10, "t": 36, "b": 40}, "annotations": []}
    layout["yaxis"] = {
        "type": "category",
        "categoryarray": rows,
        "categoryorder": "array",
        "automargin": True,
        "range": [-0.6, len(rows) - 0.4],
    }
    for panel, title in enumerate(titles):
        domain = [panel * width + 0.008, (panel + 1) * width - 0.008]
        axis = "xaxis" if panel == 0 else f"xaxis{panel + 1}"
        layout[axis] = {"domain": domain, "anchor": "y", "nticks": 5, "zeroline": False}
        place = {"x": domain[0], "y": 1, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        layout["annotations"].append({**place, "text": f"<b>{title}</b>", "showarrow": False})
    return layout


def points(
    rows: list[str], values: list[tuple[float, float, float]], colour: str, marks: list[str], panel: int
) -> dict[str, Any]:
    """A plotly trace of estimates with their intervals in one panel."""
    known = [(row, value, mark) for row, value, mark in zip(rows, values, marks, strict=True) if not math.isnan(value[0])]
    spans = [(0.0, 0.0) if math.isnan(low) else (high - value, value - low) for _, (value, low, high), _ in known]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round(value[0], 4) for _, value, _ in known],
        "y": [row for row, _, _ in known],
        "xaxis": "x" if panel == 0 else f"x{panel + 1}",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(up, 4) for up, _ in spans],
            "arrayminus": [round(down, 4) for _, down in spans],
            "color": colour,
            "thickness": 1.5,
            "width": 0,
        },
        "marker": {"color": colour, "symbol": [mark for _, _, mark in known], "size": 9, "line": {"width": 1.5, "color": colour}},
        "hovertemplate": "%{y}<br>%{x:.3f}<extra></extra>",
    }
