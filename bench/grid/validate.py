"""Refuses a grid that cannot run, before anything starts. Checks what a record itself cannot check,
because it depends on the registries, other fields or the data.
"""

from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from inspect import Parameter, signature
from itertools import product
from pathlib import Path
from symtable import symtable
from typing import Annotated, Any, get_type_hints

from pydantic import Field

from bench.grid.expand import count_trials
from bench.grid.resolve import ResolvedGrid, before_data, numbers_of, recipe_of, resolve
from bench.grids import MOST_TRIALS, Grid, Seed
from bench.spaces import check_number, check_range, check_setting, settable_names
from trials.data.datasets.registry import DATASETS, OWN, DatasetEntry
from trials.data.datasets.targets import check_regions
from trials.data.sampling import SAMPLINGS
from trials.losses import LOSSES
from trials.models.registry import MODELS, ModelEntry, check_input
from trials.records.codec import check_value
from trials.records.metrics import METRICS, MetricEntry, check_metric
from trials.records.questions import check_questions
from trials.records.registry import Entry, pick, unknown

# Each registry: its entries, their type, and the first arguments that its functions are called
# with.
REGISTRIES: dict[str, tuple[Mapping[str, Entry], type[Entry], tuple[str, ...]]] = {
    "MODELS": (MODELS, ModelEntry, ("in_channels", "num_classes", "width")),
    "LOSSES": (LOSSES, Entry, ("the class counts",)),
    "SAMPLINGS": (SAMPLINGS, Entry, ("the class voxels of each item", "the recipe")),
    "DATASETS": (DATASETS, DatasetEntry, ("its folder",)),
    # Its functions are tried on numbers instead; `of` names their arguments.
    "METRICS": (METRICS, MetricEntry, ()),
}
# Importing these loads torch, which planning does not need, so their source text is searched.
OUR_MODELS = "trials.models."
# Limits of generated data: the name of a case has five digits.
GENERATE_LIMITS: dict[str, Any] = {
    "num_cases": Annotated[int, Field(ge=1, le=100_000)],
    "seed": Seed,
}


def check_grid(grid: Grid) -> None:
    """Raise ValueError for what can be checked without data."""
    check_entries()
    check_dataset(grid)
    for key in grid.recipes:
        if key not in (*MODELS, "2d", "3d"):
            raise ValueError(
                f"grid {grid.name!r}: {unknown('key of recipes', key, (*MODELS, '2d', '3d'))}"
            )
    several = (grid.cells, grid.seeds, grid.folds)
    if not all(several):
        raise ValueError(f"grid {grid.name!r} needs at least one cell, one seed and one fold")
    if any(len(set(values)) < len(values) for values in several):
        raise ValueError(f"grid {grid.name!r} names a cell, seed or fold twice; each runs once")
    for cell in grid.cells:
        pick(MODELS, "model", cell.model)
        pick(LOSSES, "loss", cell.loss)
        pick(SAMPLINGS, "sampling", cell.sampling)
        check_recipe(grid, cell.model)
    check_questions(f"grid {grid.name!r}", grid.questions, grid.cells)
    check_search(grid)
    check_size(resolve(grid, before_data(grid)))


def check_recipe(grid: Grid, model: str) -> None:
    """Raise ValueError for a cube or patch that the model's poolings cannot halve, and for frozen
    stages of random weights.
    """
    recipe = recipe_of(grid, model)
    check_input(model, recipe, recipe.batch_size)
    frozen = {**grid.hyper.get("*", {}), **grid.hyper.get(model, {})}.get("frozen_stages")
    if frozen and recipe.weights == "random" and "frozen_stages" in MODELS[model].tuned:
        raise ValueError(
            f"grid {grid.name!r}, {model}: frozen_stages={frozen:g} needs pretrained weights, "
            "because a frozen random "
            "encoder learns nothing; give weights or set recipe.weights to 'default'"
        )


def check_settings(resolved: ResolvedGrid) -> None:
    """Raise ValueError for what can only be checked with the data: a class-balanced cell whose
    default setting is the plain focal loss, or a class without training cases.

    Also checks the options of models, which must be loaded for that.
    """
    check_options(resolved)
    for one in resolved.cells:
        cell, counts = one.cell, one.counts
        if cell.loss == "class_balanced" and 0 in counts.of_unit:
            noun = "region" if counts.regions else "class"
            raise ValueError(
                f"cell {cell.model}, {cell.loss}, {cell.sampling}: {noun} "
                f"{counts.of_unit.index(0)} occurs in no training case, "
                "so its weight is undefined; choose another split or another loss"
            )
        check_setting(cell, counts, one.default)


def check_dataset(grid: Grid) -> None:
    """Raise ValueError for an unknown data set, split or fold, and for arguments that its generator
    does not take.
    """
    part = pick(DATASETS, "data set", grid.dataset)
    splits = grid.splits or part.default_splits
    if splits not in part.splits:
        raise ValueError(
            f"grid {grid.name!r}: {unknown(f'split of {grid.dataset}', splits, part.splits)}"
        )
    # Only the data know how many folds they bring themselves.
    is_own = OWN in part.splits and grid.splits in (None, OWN)
    for fold in grid.folds:
        if fold < 0 or not (is_own or fold < part.folds[splits]):
            text = f"folds of split {splits!r} must be in 0..{part.folds[splits] - 1}; got {fold}"
            raise ValueError(f"grid {grid.name!r}: {text}")
    # A grid that was derived from DEMO keeps its `generate`, which another data set does not need.
    if grid.generate and part.generate:
        _, *accepted = signature(Entry(part.generate).load()).parameters
        for name, value in grid.generate.items():
            if name not in accepted:
                raise ValueError(
                    f"grid {grid.name!r}: {unknown('key of generate', name, accepted)}"
                )
            if name in GENERATE_LIMITS:
                check_value(GENERATE_LIMITS[name], value, f"grid {grid.name!r}: generate[{name!r}]")


def check_size(resolved: ResolvedGrid) -> None:
    """Raise ValueError, with an estimated cost, if a grid has more than MOST_TRIALS trials."""
    grid, number = resolved.grid, sum(count_trials(resolved).values())
    if number > MOST_TRIALS:
        raise ValueError(
            f"grid {grid.name!r} must plan at most {MOST_TRIALS} trials; got {number}, which take "
            f"{number / 6:.0f} GPU-hours at ten minutes each; use fewer cells, folds, seeds or "
            "tuning.trials"
        )


def check_options(resolved: ResolvedGrid) -> None:
    """Raise ValueError for options that a model's function does not take. Loads the models."""
    for model, one in resolved.models.items():
        options = one.recipe.model_options
        accepted = [*signature(MODELS[model].load()).parameters] if options else []
        for name, _ in options:
            if name not in accepted:
                raise ValueError(
                    f"grid {resolved.grid.name!r}: "
                    f"{unknown(f'key of model_options of {model}', name, accepted)}"
                )


def check_search(grid: Grid) -> None:
    """Raise ValueError naming grid, field and key for invalid settings or ranges. Needs no data."""
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
        for name, bounds in ranges.items():
            check_range(f"grid {grid.name!r}: spaces[{model!r}][{name!r}]", name, bounds)


def check_names(grid: Grid, field: str) -> None:
    """Raise ValueError for an unknown model, or a parameter that no model, loss or recipe of the
    grid has.
    """
    models = {"*", *MODELS}
    accepted = {
        name for model, loss in product(MODELS, LOSSES) for name in settable_names(model, loss)
    }
    accepted |= {name for cell in grid.cells for name in numbers_of(recipe_of(grid, cell.model))}
    for model, values in getattr(grid, field).items():
        if model not in models:
            raise ValueError(f"grid {grid.name!r}: {unknown(f'model in {field}', model, models)}")
        for name in values:
            if name not in accepted:
                raise ValueError(
                    f"grid {grid.name!r}: {unknown(f'hyperparameter in {field}', name, accepted)}"
                )


def check_entries() -> None:
    """Raise ValueError for anything in a registry that is not a valid entry."""
    for registry, (parts, kind, given) in REGISTRIES.items():
        for name, part in parts.items():
            try:
                check_entry(part, kind, given)
            except ValueError as error:
                raise ValueError(f"{registry}[{name!r}]: {error}") from error


def check_entry(part: Any, kind: type[Entry], given: tuple[str, ...]) -> None:
    """Raise ValueError for an entry of a wrong type, with a field of a wrong type, or whose
    function does not take the arguments it is called with.
    """
    if not isinstance(part, kind):
        raise ValueError(
            f"an entry must be a {kind.__name__}; got {part!r}; write "
            f"{kind.__name__}('module:function')"
        )
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.name != "target":
            check_value(hints[field.name], getattr(part, field.name), field.name)
    if isinstance(part, ModelEntry):
        check_model(part)
    if isinstance(part, MetricEntry):
        check_metric(part)
    if isinstance(part, DatasetEntry):
        check_regions(part)
    if str(part.target).startswith(OUR_MODELS):
        check_defined(str(part.target))
    elif not accepts(part.load(), len(given)):
        raise ValueError(
            f"its function must take {', '.join(given)}; it takes {signature(part.load())}"
        )


def check_model(part: ModelEntry) -> None:
    """Raise ValueError for impossible cube sizes, and for missing functions besides the model's
    own.
    """
    for target in filter(None, (part.stages, part.like, part.heads)):
        if target.startswith(OUR_MODELS):
            check_defined(target)
        else:
            Entry(target).load()
    if part.dims not in (2, 3):
        raise ValueError(f"dims must be 2 or 3; got {part.dims}")
    for name, least in {"multiple": 1, "smallest": 1, "smallest_alone": 1, "width": 0}.items():
        if getattr(part, name) < least:
            raise ValueError(f"{name} must be at least {least}; got {getattr(part, name)}")


def check_defined(target: str) -> None:
    """Raise ValueError for a "module:name" whose module is missing or does not define the name.
    Imports nothing.
    """
    module, _, name = target.partition(":")
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(
            f"target {target!r} names no function (no module {module}); write 'module:function'"
        )
    symbols = symtable(
        Path(spec.origin).read_text(encoding="utf-8"), spec.origin, "exec"
    ).get_symbols()
    if name not in {
        symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()
    }:
        raise ValueError(
            f"target {target!r} names no function ({module} has no {name!r}); write "
            "'module:function'"
        )


def accepts(function: Any, count: int) -> bool:
    """Whether a function can be called with that many positional arguments; True if Python cannot
    tell.
    """
    try:
        kinds = [parameter.kind for parameter in signature(function).parameters.values()]
    except (TypeError, ValueError):
        return True
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return Parameter.VAR_POSITIONAL in kinds or sum(kind in positional for kind in kinds) >= count
