"""A grid with everything that its trials need: recipe, default setting, search space and initial
weights of every cell, derived once. Pure functions of the grid and of facts about the data; reads
no file.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bench.grids import Grid
from bench.spaces import ModelSettings, Range, cell_space, default_hyper
from trials.data.sampling import ClassCounts
from trials.models.registry import MODELS
from trials.records.codec import record_hash
from trials.records.registry import pick
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell, Hyper, Preparation, Recipe, TrialSpec
from trials.records.targets import TargetRegion

RESTORATION = "restoration"
ONE_VOXEL = ClassCounts(voxels=(1,), slices=(1,), cases=(1,))


@dataclass(frozen=True, slots=True, kw_only=True)
class GridFacts:
    """The facts about one fold's data that a grid needs: the split scheme, and each preparation's
    digest and training class counts by unit.

    weights maps a model to the digest of the file given for it. regions are what networks predict,
    none where they predict the labels.
    """

    splits: str
    digests: Mapping[Preparation, str]
    counts: Mapping[tuple[Preparation, str], ClassCounts]
    weights: Mapping[str, str]
    regions: tuple[TargetRegion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedCell:
    """A cell in one fold with everything that its trials need.

    study is its name in Optuna: each fold is tuned on its own, so that no test case of a fold has
    informed the settings that are tested on it. declared holds the settings that the grid itself
    gives, default the setting of the first trial, space the ranges that the study searches, empty
    without tuning. weights says where trials start: "random", "imagenet", "file:<digest>", or
    "pretrain" for the pretraining of their own seed. template is the base of the specs of trials,
    pretraining that of the specs of pretrainings; it is None without pretraining.
    """

    cell: Cell
    fold: int
    study: str
    recipe: Recipe
    tune_epochs: int
    counts: ClassCounts
    weights: str
    declared: Hyper
    default: Hyper
    space: Mapping[str, Range]
    template: TrialSpec
    pretraining: TrialSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedGrid:
    """A grid and its cells, each once for every fold, fold by fold. weights maps a model to the
    digest of its given file; regions are those of its facts.
    """

    grid: Grid
    cells: tuple[ResolvedCell, ...]
    weights: Mapping[str, str]
    regions: tuple[TargetRegion, ...] = ()

    @property
    def models(self) -> dict[str, ResolvedCell]:
        """The first cell of each model. Its recipe, weights and pretraining are those of all
        others.
        """
        found: dict[str, ResolvedCell] = {}
        for one in self.cells:
            found.setdefault(one.cell.model, one)
        return found


def resolve(grid: Grid, *facts: GridFacts) -> ResolvedGrid:
    """Derive every cell's recipe, default, space and specs. facts are those of each fold in the
    grid's order, or one of which all folds are alike. Raises ValueError for a model without a
    recipe, or a tuned parameter without a default or a range.
    """
    of_folds = zip(grid.folds, facts * len(grid.folds) if len(facts) == 1 else facts, strict=True)
    cells = tuple(
        _resolved(grid, fold, known, cell) for fold, known in of_folds for cell in grid.cells
    )
    return ResolvedGrid(grid=grid, cells=cells, weights=facts[0].weights, regions=facts[0].regions)


def before_data(grid: Grid, given: Collection[str] = ()) -> GridFacts:
    """Placeholder facts for a grid whose data are not open yet: one voxel of one class, no digests.
    given names the models with a file of weights.
    """
    recipes = [recipe_of(grid, cell.model) for cell in grid.cells]
    return GridFacts(
        splits="",
        digests={recipe.preparation: "" for recipe in recipes},
        counts={(recipe.preparation, recipe.class_unit): ONE_VOXEL for recipe in recipes},
        weights=dict.fromkeys(given, ""),
    )


def recipe_of(grid: Grid, model: str) -> Recipe:
    """The recipe of a model: its own, or that of its dimension. Raises ValueError if the grid has
    neither.
    """
    family = f"{pick(MODELS, 'model', model).dims}d"
    for name in (model, family):
        if name in grid.recipes:
            return grid.recipes[name]
    raise ValueError(
        f"grid {grid.name!r} has no recipe for {model}; add one under {model!r} or {family!r}"
    )


def tune_spec(one: ResolvedCell, number: int, hyper: Hyper, seed: int) -> TrialSpec:
    """The spec of the number-th trial of a cell's study."""
    spec = final_spec(one, number, hyper, seed)
    return replace(spec, phase=TUNE, recipe=replace(spec.recipe, epochs=one.tune_epochs))


def final_spec(one: ResolvedCell, number: int, hyper: Hyper, seed: int) -> TrialSpec:
    """The spec of a cell's final trial with a setting under one seed."""
    pretraining = pretrain_spec(one, seed)
    return replace(
        one.template,
        number=number,
        hyper=hyper,
        recipe=with_numbers(one.recipe, hyper),
        seed=seed,
        weights=f"pretrain:{record_hash(pretraining)}" if pretraining else one.weights,
    )


def pretrain_spec(one: ResolvedCell, seed: int) -> TrialSpec | None:
    """The spec of the pretraining of a cell's model under a seed; None without pretraining. All
    cells of the model share it.
    """
    return one.pretraining and replace(one.pretraining, seed=seed)


def pretrain_seeds(grid: Grid) -> list[int]:
    """The seeds of the pretrainings of a model, including the seed of tuning."""
    return list(dict.fromkeys((*((grid.tuning.seed,) if grid.tuning else ()), *grid.seeds)))


def pretrainings(resolved: ResolvedGrid) -> list[TrialSpec]:
    """Every pretraining: one per fold, pretrained model and seed."""
    first = {(one.fold, one.cell.model): one for one in reversed(resolved.cells)}
    return [
        replace(one.pretraining, seed=seed)
        for fold in resolved.grid.folds
        for model in resolved.models
        if (one := first[fold, model]).pretraining
        for seed in pretrain_seeds(resolved.grid)
    ]


def epochs_of(one: ResolvedCell, phase: str) -> int:
    """The number of epochs of a trial of this phase."""
    of_phase = {PRETRAIN: one.recipe.pretrain_epochs, TUNE: one.tune_epochs}
    return of_phase.get(phase, one.recipe.epochs)


def numbers_of(recipe: Recipe) -> dict[str, float | None]:
    """The numbers of a recipe that a grid can also search. They change neither the budget nor the
    data of a trial.
    """
    return (
        dict(recipe.model_options)
        | {
            "weight_decay": recipe.weight_decay,
            "clip_gradient": recipe.clip_gradient,
        }
        | ({} if recipe.patch is None else {"oversample_share": recipe.oversample_share})
    )


def with_numbers(recipe: Recipe, setting: Hyper) -> Recipe:
    """The recipe with the numbers that a setting holds."""
    given = {name: value for name, value in setting.items() if isinstance(value, int | float)}
    options = tuple((name, given.get(name, value)) for name, value in recipe.model_options)
    decay, clip = (
        given.get("weight_decay", recipe.weight_decay),
        given.get("clip_gradient", recipe.clip_gradient),
    )
    return replace(
        recipe,
        model_options=options,
        weight_decay=decay,
        clip_gradient=clip,
        oversample_share=given.get("oversample_share", recipe.oversample_share),
    )


def _resolved(grid: Grid, fold: int, facts: GridFacts, cell: Cell) -> ResolvedCell:
    recipe = recipe_of(grid, cell.model)
    counts = facts.counts[recipe.preparation, recipe.class_unit]
    weights = _weights(recipe, cell.model, facts.weights)
    given = ModelSettings(
        hyper={**grid.hyper.get("*", {}), **grid.hyper.get(cell.model, {})},
        spaces={**grid.spaces.get("*", {}), **grid.spaces.get(cell.model, {})},
        numbers=numbers_of(recipe),
        optimizer=recipe.optimizer,
    )
    default = default_hyper(cell, counts, weights, given)
    template = TrialSpec(
        dataset=grid.dataset,
        data=facts.digests[recipe.preparation],
        splits=facts.splits,
        fold=fold,
        cell=cell,
        hyper=default,
        recipe=with_numbers(recipe, default),
        seed=grid.seeds[0],
        phase=FINAL,
        regions=facts.regions,
    )
    return ResolvedCell(
        cell=cell,
        fold=fold,
        study=f"{grid.name}/{cell.model}/{cell.loss}/{cell.sampling}"
        + (f"/fold {fold}" if fold else ""),
        recipe=recipe,
        tune_epochs=(grid.tuning and grid.tuning.epochs) or recipe.epochs,
        counts=counts,
        weights=weights,
        declared=given.hyper,
        default=default,
        space=cell_space(cell, counts, weights, given) if grid.tuning else {},
        template=template,
        pretraining=_pretraining(template, recipe) if weights == "pretrain" else None,
    )


def _weights(recipe: Recipe, model: str, given: Mapping[str, str]) -> str:
    """Where a model's trials start, as in ResolvedCell.weights."""
    source = MODELS[model].weights
    if "random" in (recipe.weights, source):
        return "random"
    return f"file:{given[model][:16]}" if model in given else source


def _pretraining(template: TrialSpec, recipe: Recipe) -> TrialSpec:
    hyper = {"lr": recipe.pretrain_lr}
    return replace(
        template,
        cell=Cell(model=template.cell.model, loss=RESTORATION, sampling="none"),
        hyper=hyper,
        recipe=with_numbers(recipe, hyper),
        phase=PRETRAIN,
        regions=(),
    )
