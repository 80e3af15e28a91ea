"""From a grid to specs: pure functions of the grid and of what the data say. Nothing here reads a
file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.grids import Grid
from bench.spaces import Given, Range, cell_space, default_hyper
from trials.data.sampling import ClassCounts
from trials.models.registry import MODELS
from trials.records.codec import record_hash
from trials.records.registry import pick
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell, Hyper, Preparation, Recipe, TrialSpec

RESTORATION = "restoration"
ANY_COUNTS = ClassCounts(voxels=(1,), slices=(1,), cases=(1,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the data say to a grid: the split scheme, each preparation's digest and its training
    class counts by unit.

    weights maps a model to the digest of the file given for it.
    """

    splits: str
    digests: Mapping[Preparation, str]
    counts: Mapping[tuple[Preparation, str], ClassCounts]
    weights: Mapping[str, str]


def recipe_of(grid: Grid, model: str) -> Recipe:
    """The recipe of a model: its own, or that of its dimension. Raises ValueError where the grid
    has neither.
    """
    family = f"{pick(MODELS, 'model', model).dims}d"
    for name in (model, family):
        if name in grid.recipes:
            return grid.recipes[name]
    raise ValueError(
        f"grid {grid.name!r} has no recipe for {model}; add one under {model!r} or {family!r}"
    )


def needs_pretraining(grid: Grid, model: str, given: Mapping[str, str]) -> bool:
    """True for a model that is fine-tuned and for which neither a file nor random weights were
    asked for.
    """
    return (
        MODELS[model].weights == "pretrain"
        and recipe_of(grid, model).weights != "random"
        and model not in given
    )


def weights_of(grid: Grid, facts: Facts, model: str, seed: int) -> str:
    """Where a trial's first weights come from, as TrialSpec.weights says it."""
    if recipe_of(grid, model).weights == "random" or MODELS[model].weights == "random":
        return "random"
    if model in facts.weights:
        return f"file:{facts.weights[model][:16]}"
    if needs_pretraining(grid, model, facts.weights):
        return f"pretrain:{record_hash(pretrain_spec(grid, facts, model, seed))}"
    return MODELS[model].weights


def pretrain_spec(grid: Grid, facts: Facts, model: str, seed: int) -> TrialSpec:
    """The pretraining of a model under a seed; every cell of the model shares it."""
    cell = Cell(model=model, loss=RESTORATION, sampling="none")
    return _spec(grid, facts, cell, PRETRAIN, seed, {"lr": recipe_of(grid, model).pretrain_lr})


def tune_spec(grid: Grid, facts: Facts, cell: Cell, number: int, hyper: Hyper) -> TrialSpec:
    """The number-th setting of a cell's study, under the seed and with the epochs of the grid's
    tuning.
    """
    assert grid.tuning is not None
    spec = final_spec(grid, facts, cell, number, hyper, grid.tuning.seed)
    epochs = grid.tuning.epochs or spec.recipe.epochs
    return replace(spec, phase=TUNE, recipe=replace(spec.recipe, epochs=epochs))


def final_spec(
    grid: Grid, facts: Facts, cell: Cell, number: int, hyper: Hyper, seed: int
) -> TrialSpec:
    """A cell's chosen setting under one seed."""
    spec = _spec(grid, facts, cell, FINAL, seed, hyper)
    return replace(spec, number=number, weights=weights_of(grid, facts, cell.model, seed))


def _spec(grid: Grid, facts: Facts, cell: Cell, phase: str, seed: int, hyper: Hyper) -> TrialSpec:
    recipe = with_numbers(recipe_of(grid, cell.model), hyper)
    return TrialSpec(
        dataset=grid.dataset,
        data=facts.digests[recipe.preparation],
        splits=facts.splits,
        fold=grid.fold,
        cell=cell,
        hyper=hyper,
        recipe=recipe,
        seed=seed,
        phase=phase,
    )


def given_for(grid: Grid, model: str) -> Given:
    """What the grid says of a model's settings: for all models, and above that for this one."""
    hyper = {**grid.hyper.get("*", {}), **grid.hyper.get(model, {})}
    spaces = {**grid.spaces.get("*", {}), **grid.spaces.get(model, {})}
    return Given(hyper=hyper, spaces=spaces, numbers=numbers_of(recipe_of(grid, model)))


def numbers_of(recipe: Recipe) -> dict[str, float | None]:
    """The numbers of a recipe that a grid may also search: they change neither a trial's budget nor
    its data.
    """
    return dict(recipe.model_options) | {
        "weight_decay": recipe.weight_decay,
        "clip_gradient": recipe.clip_gradient,
    }


def with_numbers(recipe: Recipe, setting: Hyper) -> Recipe:
    """The recipe with those of its numbers that a setting holds."""
    chosen = {name: value for name, value in setting.items() if isinstance(value, int | float)}
    options = tuple((name, chosen.get(name, value)) for name, value in recipe.model_options)
    decay, clip = (
        chosen.get("weight_decay", recipe.weight_decay),
        chosen.get("clip_gradient", recipe.clip_gradient),
    )
    return replace(recipe, model_options=options, weight_decay=decay, clip_gradient=clip)


def default_of(grid: Grid, facts: Facts, cell: Cell) -> dict[str, float | tuple[float, ...]]:
    """The setting of a cell's first trial."""
    recipe = recipe_of(grid, cell.model)
    weights = weights_of(grid, facts, cell.model, grid.seeds[0])
    return default_hyper(
        cell,
        facts.counts[recipe.preparation, recipe.class_unit],
        weights,
        given_for(grid, cell.model),
    )


def space_of(grid: Grid, facts: Facts, cell: Cell) -> dict[str, Range]:
    """The ranges that a cell's study searches."""
    recipe = recipe_of(grid, cell.model)
    weights = weights_of(grid, facts, cell.model, grid.seeds[0])
    return cell_space(
        cell,
        facts.counts[recipe.preparation, recipe.class_unit],
        weights,
        given_for(grid, cell.model),
    )


def study_name(grid: Grid, cell: Cell) -> str:
    """What Optuna calls the study of a cell, and what its proposals are seeded by."""
    return f"{grid.name}/{cell.model}/{cell.loss}/{cell.sampling}"


def studies(grid: Grid, facts: Facts) -> list[dict[str, Any]]:
    """Every study as plain values: its name, its cell, and the ranges that it searches."""
    return [
        {
            "name": study_name(grid, cell),
            "cell": asdict(cell),
            "space": {name: asdict(span) for name, span in space_of(grid, facts, cell).items()},
        }
        for cell in grid.cells
    ]


def pretrainings(grid: Grid, given: Mapping[str, str]) -> list[tuple[str, int]]:
    """Every (model, seed) that is pretrained: one a seed, the tuning's seed among them."""
    seeds = dict.fromkeys((*((grid.tuning.seed,) if grid.tuning else ()), *grid.seeds))
    models = dict.fromkeys(cell.model for cell in grid.cells)
    return [
        (model, seed) for model in models if needs_pretraining(grid, model, given) for seed in seeds
    ]


def planned(grid: Grid, given: Mapping[str, str]) -> dict[str, int]:
    """The number of trials of each phase."""
    tune = grid.tuning.trials * len(grid.cells) if grid.tuning else 0
    return {
        PRETRAIN: len(pretrainings(grid, given)),
        TUNE: tune,
        FINAL: len(grid.cells) * len(grid.seeds),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the plan, before any data are there."""

    phase: str
    cell: Cell
    number: int | None
    seed: int
    setting: str


def outline(grid: Grid, given: Mapping[str, str]) -> Iterator[Row]:
    """Every trial of a grid in the order in which they become due; settings that depend on results
    or data are named so.
    """
    for model, seed in pretrainings(grid, given):
        setting = f"lr={recipe_of(grid, model).pretrain_lr:g}"
        yield Row(
            phase=PRETRAIN,
            cell=Cell(model=model, loss=RESTORATION, sampling="none"),
            number=None,
            seed=seed,
            setting=setting,
        )
    trials, seed = (grid.tuning.trials, grid.tuning.seed) if grid.tuning else (0, 0)
    for number in range(trials):
        for cell in grid.cells:
            setting = default_text(grid, cell, given) if number == 0 else "proposed by Optuna"
            yield Row(phase=TUNE, cell=cell, number=number, seed=seed, setting=setting)
    for cell in grid.cells:
        for seed in grid.seeds:
            setting = "best of the cell's study" if grid.tuning else default_text(grid, cell, given)
            yield Row(phase=FINAL, cell=cell, number=None, seed=seed, setting=setting)


def default_text(grid: Grid, cell: Cell, given: Mapping[str, str]) -> str:
    """A cell's default setting in words; what only the data can say is named."""
    recipe = recipe_of(grid, cell.model)
    starts_random = recipe.weights == "random" or (MODELS[cell.model].weights == "random")
    declared = given_for(grid, cell.model)
    setting = default_hyper(cell, ANY_COUNTS, "random" if starts_random else "pretrained", declared)
    from_data = "one_minus_beta" if "one_minus_beta" not in declared.hyper else ""
    return " ".join(
        f"{name}=by class counts" if name == from_data else f"{name}={spoken(value)}"
        for name, value in setting.items()
    )


def spoken(value: float | tuple[float, ...]) -> str:
    """A hyperparameter as a user would type it."""
    return (
        "(" + ", ".join(f"{part:g}" for part in value) + ")"
        if isinstance(value, tuple)
        else f"{value:g}"
    )
