"""All trials of a resolved grid before any has run: their number, their order, and what each study
searches.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.grid.resolve import ResolvedCell, ResolvedGrid, pretrain_seeds, pretrainings
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """A trial of a grid that has not run; setting is text, since it may depend on later results."""

    phase: str
    cell: Cell
    fold: int
    number: int | None
    seed: int
    setting: str


def count_trials(resolved: ResolvedGrid) -> dict[str, int]:
    """The number of trials of each phase."""
    grid = resolved.grid
    pretrained = sum(one.pretraining is not None for one in resolved.models.values())
    return {
        PRETRAIN: pretrained * len(pretrain_seeds(grid)) * len(grid.folds),
        TUNE: grid.tuning.trials * len(resolved.cells) if grid.tuning else 0,
        FINAL: len(resolved.cells) * len(grid.seeds),
    }


def list_trials(resolved: ResolvedGrid) -> Iterator[PlannedTrial]:
    """Every trial of a grid in the order in which they become due. A setting that depends on
    results or data is described in words.
    """
    for fold in resolved.grid.folds:
        yield from _list_fold(resolved, fold)


def _list_fold(resolved: ResolvedGrid, fold: int) -> Iterator[PlannedTrial]:
    grid, cells = resolved.grid, [one for one in resolved.cells if one.fold == fold]

    def planned(phase: str, cell: Cell, number: int | None, seed: int, text: str) -> PlannedTrial:
        return PlannedTrial(
            phase=phase, cell=cell, fold=fold, number=number, seed=seed, setting=text
        )

    for spec in pretrainings(resolved):
        if spec.fold == fold:
            text = f"lr={spec.recipe.pretrain_lr:g}"
            yield planned(PRETRAIN, spec.cell, None, spec.seed, text)
    trials, seed = (grid.tuning.trials, grid.tuning.seed) if grid.tuning else (0, 0)
    for number in range(trials):
        for one in cells:
            text = "proposed by Optuna" if number else default_text(one)
            yield planned(TUNE, one.cell, number, seed, text)
    for one in cells:
        for seed in grid.seeds:
            text = "best of the cell's study" if grid.tuning else default_text(one)
            yield planned(FINAL, one.cell, None, seed, text)


def studies(resolved: ResolvedGrid) -> list[dict[str, Any]]:
    """Every study as JSON values: its name, its cell and fold, and the ranges that it searches."""
    return [
        {
            "name": one.study,
            "cell": asdict(one.cell),
            "fold": one.fold,
            "space": {name: asdict(bounds) for name, bounds in one.space.items()},
        }
        for one in resolved.cells
    ]


def default_text(one: ResolvedCell) -> str:
    """A cell's default setting as text; a value that depends on the data is described in words."""
    from_data = {"one_minus_beta"} - one.declared.keys()
    return " ".join(
        f"{name}=from class counts" if name in from_data else f"{name}={value_text(value)}"
        for name, value in one.default.items()
    )


def value_text(value: float | tuple[float, ...]) -> str:
    """A hyperparameter value as a user would type it."""
    return (
        "(" + ", ".join(f"{part:g}" for part in value) + ")"
        if isinstance(value, tuple)
        else f"{value:g}"
    )
