"""What a number of hours buys of a grid: fewer tuning trials first, then fewer seeds, the same for
every cell. Cells, folds and epochs are never cut.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.grid.resolve import ResolvedGrid
from bench.grids import Grid
from bench.plan.estimate import Measurements, estimate_costs
from trials.records.run_record import NAME, read_run_record
from trials.storage.atomic import exists

# A study of one trial has only the default setting, as no study has.
LEAST_TRIALS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a budget of so many hours buys. unit is GPU-hours, or core-hours on a machine without a
    GPU; estimated and whole are those of the cut and of the whole grid, at most, since pruning
    only saves; tuning_trials of a cell and seeds are (of the whole grid, kept).
    """

    hours: float
    unit: str
    estimated: float
    whole: float
    tuning_trials: tuple[int, int]
    seeds: tuple[int, int]

    def __str__(self) -> str:
        trials, seeds = (f"{kept} of {all_}" for all_, kept in (self.tuning_trials, self.seeds))
        return (
            f"{self.hours:g} {self.unit} buy {trials} tuning trials of each cell and {seeds} "
            f"seeds: at most {self.estimated:.3g} {self.unit}, the whole grid {self.whole:.3g}"
        )

    def grid(self, whole: Grid) -> Grid:
        """The grid that was bought."""
        tuning, trials = whole.tuning, self.tuning_trials[1]
        tuning = replace(tuning, trials=trials) if tuning and trials else None
        return replace(whole, tuning=tuning, seeds=whole.seeds[: self.seeds[1]])


def cut_to(hours: float, resolved: ResolvedGrid, measured: Measurements, on_cpu: bool) -> Bought:
    """The largest of smaller_grids that costs at most so many hours. Raises ValueError if none
    does.
    """
    unit, grid = "core-hours" if on_cpu else "GPU-hours", resolved.grid
    costs = []
    for less in smaller_grids(grid):
        rows = estimate_costs(replace(resolved, grid=less), measured, on_cpu)
        costs.append(sum(row.hours for row in rows))
        if costs[-1] <= hours:
            return Bought(
                hours=hours,
                unit=unit,
                estimated=costs[-1],
                whole=costs[0],
                tuning_trials=(num_trials(grid), num_trials(less)),
                seeds=(len(grid.seeds), len(less.seeds)),
            )
    folds = f" in each of its {len(grid.folds)} folds" if len(grid.folds) > 1 else ""
    raise ValueError(
        f"--gpu-hours must buy grid {grid.name!r} at least one training of each cell at its "
        f"default setting{folds}, {rounded_up(costs[-1])} {unit}; got {hours:g}; give as many, or "
        "name fewer cells"
    )


def rounded_up(hours: float) -> str:
    """Hours above 0 with three digits, never less than they are: a budget of them is enough."""
    step = 10.0 ** (math.floor(math.log10(hours)) - 2)
    return f"{math.ceil(hours / step) * step:.6g}"


def smaller_grids(grid: Grid) -> Iterator[Grid]:
    """The grid, then ever cheaper ones: with a tuning trial less, down to two; without tuning; then
    with a seed less, down to one.
    """
    yield grid
    if grid.tuning:
        for trials in range(grid.tuning.trials - 1, LEAST_TRIALS - 1, -1):
            yield replace(grid, tuning=replace(grid.tuning, trials=trials))
        grid = replace(grid, tuning=None)
        yield grid
    for number in range(len(grid.seeds) - 1, 0, -1):
        yield replace(grid, seeds=grid.seeds[:number])


def num_trials(grid: Grid) -> int:
    """The tuning trials of a cell."""
    return grid.tuning.trials if grid.tuning else 0


def recorded_purchase(out: Path, grid: Grid, hours: float) -> Bought | None:
    """What the run in this folder bought for as many hours of the same grid; None if there is no
    such run.
    """
    if not exists(out / NAME):
        return None
    record: Mapping[str, Any] = read_run_record(out)
    found = record.get("budget")
    if not found or record["grid"] != grid.name:
        return None
    bought = Bought(**found | {key: tuple(found[key]) for key in ("tuning_trials", "seeds")})
    whole = (bought.tuning_trials[0], bought.seeds[0], bought.hours)
    return bought if whole == (num_trials(grid), len(grid.seeds), hours) else None
