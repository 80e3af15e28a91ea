"""A grid on other data than its own: what --dataset, --fold and --data change in it."""

import re
from dataclasses import replace
from pathlib import Path

from bench.grids import Grid
from trials.data.datasets.registry import DATASETS
from trials.records.registry import pick

OTHER = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)


def on_data(grid: Grid, dataset: str | None, fold: int | None) -> Grid:
    """The grid with another data set or fold; None keeps its own. Raises ValueError for an unknown
    data set.

    With another data set the split is that set's default, and settings with a value for each class
    of the grid's own data set are dropped.
    """
    if dataset and dataset != grid.dataset:
        pick(DATASETS, "data set", dataset)
        hyper = {
            model: {name: value for name, value in values.items() if not isinstance(value, tuple)}
            for model, values in grid.hyper.items()
        }
        grid = replace(grid, dataset=dataset, splits=None, fold=0, generate={}, hyper=hyper)
    return grid if fold is None else replace(grid, fold=fold)


def run_name(grid: Grid, dataset: str | None, fold: int | None, data: Path | None) -> str:
    """The name of the default run folder: the grid's, with that of the folder of another data set
    and the fold if they were given.
    """
    folder = OTHER.sub("-", data.absolute().name).strip("-.") if dataset and data else ""
    number = "" if fold is None else f"fold{fold}"
    return "-".join(part for part in (grid.name, folder, number) if part)
