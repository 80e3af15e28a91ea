"""Types of everything a grid says, and ranges of what is not searched, refused by the
key at fault."""

import math
import re
from dataclasses import asdict
from inspect import signature

from bench.grid.expand import planned, recipe_of
from bench.grids import Grid
from trials.data.datasets.registry import DATASETS
from trials.data.prepared.preprocess import check_preparation
from trials.models.registry import MODELS
from trials.records.codec import rebuild
from trials.records.registry import Entry, pick, unknown
from trials.records.spec import Recipe

MOST_TRIALS = 10_000
# From above nought to the number, or at least the number.
ABOVE_ZERO = {"pretrain_lr": 10.0, "clip_gradient": math.inf, "subsample_background": 1.0}
LEAST = {"gpu_share": 0.0, "train_cases_scored": 0, "limit_minutes": 0.0, "weight_decay": 0.0}
# The name is that of the run folder, below runs/.
NAME = re.compile(r"\w[\w .+-]{0,59}")
# What numpy and torch both take as a seed.
SEEDS = (0, 2**32 - 1)
# Of data that are made: a case's name has five digits.
OF_GENERATE = {"num_cases": (1, 100_000), "seed": SEEDS}


def check_values(grid: Grid) -> None:
    """Refuse a value of a wrong type or outside its range, and a data set, split or fold that is
    not there.
    """
    check_types(grid)
    if not NAME.fullmatch(grid.name):
        rule = (
            "a letter or digit, then up to 59 letters, digits, spaces, '_', '.', '+' or '-', "
            "since it names the run folder"
        )
        raise ValueError(f"grid {grid.name!r}: name must be {rule}; got {grid.name!r}")
    check_dataset(grid)
    for key, recipe in grid.recipes.items():
        if key not in (*MODELS, "2d", "3d"):
            raise ValueError(
                f"grid {grid.name!r}: {unknown('key of recipes', key, (*MODELS, '2d', '3d'))}"
            )
        check_numbers(f"grid {grid.name!r}: recipes[{key!r}]", recipe)
    for number, seed in enumerate(grid.seeds):
        check_within(f"grid {grid.name!r}: seeds[{number}]", seed, *SEEDS)


def check_types(grid: Grid) -> None:
    """Refuse a value of another type than its field, with the way out where it is a number in
    quotes.
    """
    try:
        rebuild(Grid, asdict(grid), f"grid {grid.name!r}")
    except TypeError as error:
        raise ValueError(
            f"grid {grid.name!r} must hold plain values, tuples and dicts; {error}"
        ) from error
    except ValueError as error:
        quoted = re.search(r"must be (?:int|float)\b.*; got '([\d.eE+-]+)'$", str(error))
        raise ValueError(
            f"{error}; write {quoted[1]} without quotes" if quoted else str(error)
        ) from None


def check_numbers(where: str, recipe: Recipe) -> None:
    """Refuse a recipe's number where it makes no sense, and a preparation that no case
    could have."""
    for name in (*LEAST, *ABOVE_ZERO):
        value = getattr(recipe, name)
        if value is not None and (message := _wrong(name, value)):
            raise ValueError(f"{where}.{name} {message}; got {value:g}")
    for name, number in recipe.model_options:
        if not math.isfinite(number):
            raise ValueError(f"{where}.model_options: {name} must be a finite number; got {number}")
    if not all(map(math.isfinite, recipe.preparation.clip_hu or ())):
        raise ValueError(
            f"{where}.preparation.clip_hu must be two finite numbers; got "
            f"{recipe.preparation.clip_hu}"
        )
    try:
        check_preparation(recipe.preparation)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def check_within(where: str, value: int, least: int, most: int, fix: str = "") -> None:
    """Refuse a whole number outside its range."""
    if not least <= value <= most:
        raise ValueError(f"{where} must lie in {least}..{most}; got {value}{fix}")


def check_dataset(grid: Grid) -> None:
    """Refuse a data set, a split or a fold that is not there, and arguments that its generator does
    not take.
    """
    part = pick(DATASETS, "data set", grid.dataset)
    splits = grid.splits or part.default_splits
    if splits not in part.splits:
        raise ValueError(
            f"grid {grid.name!r}: {unknown(f'split of {grid.dataset}', splits, part.splits)}"
        )
    if not 0 <= grid.fold < part.folds[splits]:
        text = f"fold of split {splits!r} must lie in 0..{part.folds[splits] - 1}; got {grid.fold}"
        raise ValueError(f"grid {grid.name!r}: {text}")
    if grid.generate and not part.generate:
        raise ValueError(
            f"grid {grid.name!r}: generate is for data that is made; {grid.dataset} is not; remove "
            "it"
        )
    if grid.generate:
        _, *takes = signature(Entry(part.generate).load()).parameters
        for name, value in grid.generate.items():
            if name not in takes:
                raise ValueError(f"grid {grid.name!r}: {unknown('key of generate', name, takes)}")
            if name in OF_GENERATE:
                check_within(f"grid {grid.name!r}: generate[{name!r}]", value, *OF_GENERATE[name])


def check_size(grid: Grid) -> None:
    """Refuse a grid of more trials than anybody means, with what they would cost."""
    number = sum(planned(grid, {}).values())
    if number > MOST_TRIALS:
        raise ValueError(
            f"grid {grid.name!r} plans {number} trials, more than {MOST_TRIALS}; at ten minutes "
            "each they take "
            f"{number / 6:.0f} GPU-hours; take fewer cells, seeds or tuning.trials"
        )


def check_options(grid: Grid) -> None:
    """Refuse options that a model's function does not take; this loads the models."""
    for model in dict.fromkeys(cell.model for cell in grid.cells):
        options = recipe_of(grid, model).model_options
        takes = [*signature(MODELS[model].load()).parameters] if options else []
        for name, _ in options:
            if name not in takes:
                raise ValueError(
                    f"grid {grid.name!r}: "
                    f"{unknown(f'key of model_options of {model}', name, takes)}"
                )


def _wrong(name: str, value: float) -> str | None:
    if not math.isfinite(value):
        return "must be a finite number"
    if name in ABOVE_ZERO and not 0 < value <= ABOVE_ZERO[name]:
        end = f"and at most {ABOVE_ZERO[name]:g}" if math.isfinite(ABOVE_ZERO[name]) else ""
        return f"must be above 0 {end}".strip()
    if name in LEAST and value < LEAST[name]:
        return f"must be at least {LEAST[name]:g}"
    if name == "gpu_share" and value > 1 and value != int(value):
        return "must be a share of one GPU, at most 1, or a whole number of GPUs"
    return None
