"""Every trial of a resolved grid, before any has run: how many there are, in which order they
become due, and what each study searches.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.grid.resolve import ResolvedCell, ResolvedGrid, pretrain_seeds, pretrainings
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the plan, before any data are there."""

    phase: str
    cell: Cell
    number: int | None
    seed: int
    setting: str


def planned(resolved: ResolvedGrid) -> dict[str, int]:
    """The number of trials of each phase."""
    grid = resolved.grid
    pretrained = sum(one.pretraining is not None for one in resolved.models.values())
    return {
        PRETRAIN: pretrained * len(pretrain_seeds(grid)),
        TUNE: grid.tuning.trials * len(grid.cells) if grid.tuning else 0,
        FINAL: len(grid.cells) * len(grid.seeds),
    }


def outline(resolved: ResolvedGrid) -> Iterator[Row]:
    """Every trial of a grid in the order in which they become due; settings that depend on results
    or data are named so.
    """
    grid = resolved.grid
    for spec in pretrainings(resolved):
        setting = f"lr={spec.recipe.pretrain_lr:g}"
        yield Row(phase=PRETRAIN, cell=spec.cell, number=None, seed=spec.seed, setting=setting)
    trials, seed = (grid.tuning.trials, grid.tuning.seed) if grid.tuning else (0, 0)
    for number in range(trials):
        for one in resolved.cells:
            setting = "proposed by Optuna" if number else default_text(one)
            yield Row(phase=TUNE, cell=one.cell, number=number, seed=seed, setting=setting)
    for one in resolved.cells:
        for seed in grid.seeds:
            setting = "best of the cell's study" if grid.tuning else default_text(one)
            yield Row(phase=FINAL, cell=one.cell, number=None, seed=seed, setting=setting)


def studies(resolved: ResolvedGrid) -> list[dict[str, Any]]:
    """Every study as plain values: its name, its cell, and the ranges that it searches."""
    return [
        {
            "name": one.study,
            "cell": asdict(one.cell),
            "space": {name: asdict(span) for name, span in one.space.items()},
        }
        for one in resolved.cells
    ]


def default_text(one: ResolvedCell) -> str:
    """A cell's default setting in words; what only the data can say is named."""
    from_data = {"one_minus_beta"} - one.declared.keys()
    return " ".join(
        f"{name}=by class counts" if name in from_data else f"{name}={spoken(value)}"
        for name, value in one.default.items()
    )


def spoken(value: float | tuple[float, ...]) -> str:
    """A hyperparameter as a user would type it."""
    return (
        "(" + ", ".join(f"{part:g}" for part in value) + ")"
        if isinstance(value, tuple)
        else f"{value:g}"
    )
