"""Types of everything a grid says, and ranges of what is not searched, refused by the key at fault."""

import math
from dataclasses import asdict
from inspect import signature

from bench.expand import planned, recipe_of
from bench.grids import Grid
from trials.data.datasets import DATASETS
from trials.models.registry import MODELS
from trials.parts import Part, pick, unknown
from trials.records import rebuild

MOST_TRIALS = 10_000
# From above nought to the number, or at least the number.
ABOVE_ZERO = {"pretrain_lr": 10.0, "clip_gradient": math.inf, "subsample_background": 1.0}
LEAST = {"gpus": 0.0, "train_cases_scored": 0, "limit_minutes": 0.0}


def check_values(grid: Grid) -> None:
    """Refuse a value of a wrong type or outside its range, and a data set, split or fold that is not there."""
    rebuild(Grid, asdict(grid), f"grid {grid.name!r}")
    check_dataset(grid)
    for key, recipe in grid.recipes.items():
        if key not in (*MODELS, "2d", "3d"):
            raise ValueError(f"grid {grid.name!r}: {unknown('key of recipes', key, (*MODELS, '2d', '3d'))}")
        for name in (*LEAST, *ABOVE_ZERO):
            if getattr(recipe, name) is not None:
                check_number(grid, f"recipes[{key!r}].{name}", name, getattr(recipe, name))
    if any(seed < 0 for seed in grid.seeds):
        raise ValueError(f"grid {grid.name!r}: seeds must be whole numbers of at least 0; got {grid.seeds}")


def check_dataset(grid: Grid) -> None:
    """Refuse a data set, a split or a fold that is not there, and arguments that its generator does not take."""
    part = pick(DATASETS, "data set", grid.dataset)
    splits = grid.splits or part.default_splits
    if splits not in part.splits:
        raise ValueError(f"grid {grid.name!r}: {unknown(f'split of {grid.dataset}', splits, part.splits)}")
    if not 0 <= grid.fold < part.folds[splits]:
        text = f"fold of split {splits!r} must lie in 0..{part.folds[splits] - 1}; got {grid.fold}"
        raise ValueError(f"grid {grid.name!r}: {text}")
    if grid.generate and not part.generate:
        raise ValueError(f"grid {grid.name!r}: generate is for data that is made; {grid.dataset} is not; remove it")
    if grid.generate:
        _, *takes = signature(Part(part.generate).load()).parameters
        for name in grid.generate:
            if name not in takes:
                raise ValueError(f"grid {grid.name!r}: {unknown('key of generate', name, takes)}")


def check_size(grid: Grid) -> None:
    """Refuse a grid of more trials than anybody means, with what they would cost."""
    number = sum(planned(grid, {}).values())
    if number > MOST_TRIALS:
        raise ValueError(
            f"grid {grid.name!r} plans {number} trials, more than {MOST_TRIALS}; at ten minutes each they take "
            f"{number / 6:.0f} GPU-hours; take fewer cells, seeds or tuning.trials"
        )


def check_options(grid: Grid) -> None:
    """Refuse options that a model's function does not take; this loads the models."""
    for model in dict.fromkeys(cell.model for cell in grid.cells):
        options = recipe_of(grid, model).model_options
        takes = [*signature(MODELS[model].load()).parameters] if options else []
        for name, _ in options:
            if name not in takes:
                raise ValueError(f"grid {grid.name!r}: {unknown(f'key of model_options of {model}', name, takes)}")


def check_number(grid: Grid, key: str, name: str, value: float) -> None:
    """Refuse a number that is none, or lies where it makes no sense."""
    if message := _wrong(name, value):
        raise ValueError(f"grid {grid.name!r}: {key} {message}; got {value:g}")


def _wrong(name: str, value: float) -> str | None:
    if not math.isfinite(value):
        return "must be a finite number"
    if name in ABOVE_ZERO and not 0 < value <= ABOVE_ZERO[name]:
        end = f"and at most {ABOVE_ZERO[name]:g}" if math.isfinite(ABOVE_ZERO[name]) else ""
        return f"must be above 0 {end}".strip()
    if name in LEAST and value < LEAST[name]:
        return f"must be at least {LEAST[name]:g}"
    return None
