"""Refuses a grid that cannot run, before anything starts: the rule, what came, the way out."""

from bench.grid.check_parts import check_parts
from bench.grid.check_search import check_search
from bench.grid.expand import Facts, default_of, recipe_of
from bench.grid.grid_values import check_options, check_size, check_values, check_within
from bench.grids import Grid
from bench.spaces import check_setting
from trials.data.sampling import READINGS, SAMPLINGS, UNITS
from trials.losses import LOSSES
from trials.models.registry import MODELS, check_cube
from trials.records.registry import pick, unknown

CHOICES = {
    "optimizer": ("adam", "adamw"),
    "schedule": ("fixed", "onecycle"),
    "precision": ("auto", "float32", "bf16"),
    "compile": ("auto", "always", "never"),
    "weights": ("default", "random"),
    "slice_axis": ("axial", "coronal", "sagittal"),
    "oversample": tuple(READINGS),
    "class_unit": UNITS,
}
SHARES = ("rotate_zoom_prob", "subsample_background")
# Whole numbers from one to far more than anybody trains with.
LARGEST = {
    "epochs": 10**6,
    "batch_size": 2**16,
    "pretrain_epochs": 10**6,
    "steps_per_epoch": 10**6,
    "width": 1024,
    "validate_every": 10**6,
    "patience": 10**6,
}


def check_grid(grid: Grid) -> None:
    """Refuse what can be seen without data. Raises ValueError."""
    check_parts()
    check_values(grid)
    if not grid.cells or not grid.seeds:
        raise ValueError(f"grid {grid.name!r} needs at least one cell and one seed")
    if len(set(grid.cells)) < len(grid.cells) or len(set(grid.seeds)) < len(grid.seeds):
        raise ValueError(f"grid {grid.name!r} names a cell or a seed twice; each runs once")
    for cell in grid.cells:
        pick(MODELS, "model", cell.model)
        pick(LOSSES, "loss", cell.loss)
        pick(SAMPLINGS, "sampling", cell.sampling)
        check_recipe(grid, cell.model)
    check_search(grid)
    check_families(grid)
    check_size(grid)


def check_families(grid: Grid) -> None:
    """Refuse a family of comparisons in words that the report does not know."""
    for family in grid.families:
        scores = ("mean",) if family.pairs == "levels" else ("classes", "mean")
        known = {
            "pairs": ("selected", "all", "levels"),
            "score": scores,
            "vary": (None, "model", "loss", "sampling"),
        }
        for key, words in known.items():
            if getattr(family, key) not in words:
                raise ValueError(
                    f"grid {grid.name!r}, family {family.name!r}: {key} must be one of "
                    f"{', '.join(map(repr, words))}; "
                    f"got {getattr(family, key)!r}"
                )


def check_recipe(grid: Grid, model: str) -> None:
    """Refuse a cube that the model's poolings cannot halve, counts out of range, and names that no
    recipe knows.
    """
    recipe = recipe_of(grid, model)
    check_cube(model, recipe.preparation.edge, recipe.batch_size)
    frozen = {**grid.hyper.get("*", {}), **grid.hyper.get(model, {})}.get("frozen_stages")
    if frozen and recipe.weights == "random" and "frozen_stages" in MODELS[model].tuned:
        raise ValueError(
            f"grid {grid.name!r}, {model}: frozen_stages={frozen:g} of random weights is refused, "
            "since a frozen random "
            "encoder learns nothing; give weights or set recipe.weights to 'default'"
        )
    for name, largest in LARGEST.items():
        if getattr(recipe, name) is not None:
            check_within(
                f"grid {grid.name!r}, {model}: recipe.{name}", getattr(recipe, name), 1, largest
            )
    for name in SHARES:
        if not 0 <= getattr(recipe, name) <= 1:
            raise ValueError(
                f"grid {grid.name!r}, {model}: recipe.{name} must lie in 0..1; got "
                f"{getattr(recipe, name)}"
            )
    for name, choices in CHOICES.items():
        if getattr(recipe, name) not in choices:
            raise ValueError(
                f"grid {grid.name!r}, {model}: "
                f"{unknown(f'recipe.{name}', getattr(recipe, name), choices)}"
            )


def check_settings(grid: Grid, facts: Facts) -> None:
    """Refuse what only the data can tell: a class-balanced cell whose default setting is plain
    focal. Raises ValueError.

    The options of models, which must be loaded for that, are looked at here too.
    """
    check_options(grid)
    for cell in grid.cells:
        recipe = recipe_of(grid, cell.model)
        counts = facts.counts[recipe.preparation, recipe.class_unit]
        if cell.loss == "class_balanced" and 0 in counts.of_unit:
            raise ValueError(
                f"cell {cell.model}, {cell.loss}, {cell.sampling}: class {counts.of_unit.index(0)} "
                "occurs in no training case, "
                "and one over nothing is no weight; take another split, or another loss"
            )
        check_setting(cell, counts, default_of(grid, facts, cell))
