"""Refuses a search that cannot be: names that nothing takes, settings out of range, parameters
without a range.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

from bench.grid.expand import ANY_COUNTS, given_for, numbers_of, recipe_of
from bench.grid.grid_values import MOST_TRIALS, SEEDS, check_within
from bench.grids import Grid
from bench.spaces import Range, cell_space, default_hyper, settable_names
from trials.losses import LOSSES
from trials.models.registry import MODELS
from trials.records.registry import unknown

# Where a parameter means something: a rule that is tested, in words and as a function.
LIMITS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "lr": ("greater than 0", lambda value: value > 0),
    "gamma": ("0 or greater", lambda value: value >= 0),
    "one_minus_beta": ("greater than 0 and at most 1", lambda value: 0 < value <= 1),
    "frozen_stages": ("0 or greater", lambda value: value >= 0),
    "weight_decay": ("0 or greater", lambda value: value >= 0),
    "clip_gradient": ("greater than 0", lambda value: value > 0),
}
OF_TUNING = {
    "trials": (1, MOST_TRIALS),
    "epochs": (1, 10**6),
    "seed": SEEDS,
    "parallel": (1, MOST_TRIALS),
}


def check_search(grid: Grid) -> None:
    """Refuse what can be seen of a grid's settings and ranges without data. Raises ValueError
    naming grid, field and key.
    """
    for field in ("hyper", "spaces"):
        check_names(grid, field)
    for model, settings in grid.hyper.items():
        for name, value in settings.items():
            for number in value if isinstance(value, tuple) else (value,):
                check_number(
                    f"grid {grid.name!r}: hyper[{model!r}][{name!r}]",
                    name,
                    number,
                    "or leave it out for the default",
                )
    for model, ranges in grid.spaces.items():
        for name, span in ranges.items():
            check_range(f"grid {grid.name!r}: spaces[{model!r}][{name!r}]", name, span)
    check_tuning(grid)


def check_names(grid: Grid, field: str) -> None:
    """Refuse a model that is not registered, or a parameter that no model, loss or recipe of the
    grid has.
    """
    models = {"*", *MODELS}
    takes = {
        name for model, loss in product(MODELS, LOSSES) for name in settable_names(model, loss)
    }
    takes |= {name for cell in grid.cells for name in numbers_of(recipe_of(grid, cell.model))}
    for model, values in getattr(grid, field).items():
        if model not in models:
            raise ValueError(f"grid {grid.name!r}: {unknown(f'model in {field}', model, models)}")
        for name in values:
            if name not in takes:
                raise ValueError(
                    f"grid {grid.name!r}: {unknown(f'hyperparameter in {field}', name, takes)}"
                )


def check_number(where: str, name: str, value: Any, fix: str) -> None:
    """Refuse what is no finite number, or lies outside the parameter's limits; fix is what to
    do besides mending it.
    """
    rule, fits = LIMITS.get(name, ("a number", lambda value: True))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not fits(value):
        raise ValueError(
            f"{where} must be {rule} and finite; got {value!r}; write such a number, {fix}"
        )


def check_range(where: str, name: str, span: Range) -> None:
    """Refuse a range whose ends are out of order or of limits, or that its scale cannot span."""
    for end in (span.low, span.high):
        check_number(
            f"{where}: an end of the range", name, end, "or set the parameter in Grid.hyper alone"
        )
        if span.integer and end != int(end):
            raise ValueError(f"{where}: a range of whole numbers has whole ends; got {end!r}")
    if span.low >= span.high:
        raise ValueError(
            f"{where}: low must be below high; got {span.low:g} and {span.high:g}; fix it in "
            "Grid.hyper instead"
        )
    if span.log and span.low <= 0:
        raise ValueError(f"{where}: a logarithmic range begins above 0; got low={span.low:g}")


def check_tuning(grid: Grid) -> None:
    """Refuse counts out of range, and a parameter that a cell tunes without a default or without a
    range.
    """
    for name, ends in OF_TUNING.items():
        if (value := getattr(grid.tuning, name, None)) is not None:
            check_within(
                f"grid {grid.name!r}: tuning.{name}", value, *ends, "; tuning=None tunes nothing"
            )
    for cell in grid.cells:
        given = given_for(grid, cell.model)
        default_hyper(cell, ANY_COUNTS, "random", given)
        if grid.tuning is not None:
            cell_space(cell, ANY_COUNTS, "random", given)
