"""What a grid will cost, from what the parts of its trials were timed at: pure arithmetic, by cell
and in all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bench.grid.expand import needs_pretraining, pretrainings, recipe_of
from bench.grids import Grid
from bench.plan.schedule import Piece, wall_seconds
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell


class Timing(Protocol):
    """What trials.training.timing measures of a model, in seconds and MiB."""

    setup: float
    step: float
    validation: float
    checkpoint: float
    val_case: float
    test_case: float
    steps: dict[str, int]
    peak_gib: float
    precision: str
    checkpoint_mib: float
    weights_mib: float
    val_case_mib: float
    test_case_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the estimate rests on. timings by (phase, model), phase pretrain or final; given names
    the models with weights.

    start is what each process needs before its first trial, scoring_threads how many cases a trial
    counts at once.
    """

    timings: Mapping[tuple[str, str], Timing]
    given: Mapping[str, str]
    num_val: int
    num_test: int
    start: float
    checkpoint_minutes: float = 1.0
    scoring_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a cell, or all pretraining of a model, takes: hours count shares of a slot; disk is what
    stays in the run folder.
    """

    name: str
    trials: int
    hours: float
    peak_gib: float
    disk_mib: float


def trial_seconds(grid: Grid, cell: Cell, phase: str, measured: Measured) -> float:
    """Seconds of one trial of a cell, trained to its last epoch: pruning and patience only make it
    shorter.
    """
    timing = measured.timings[PRETRAIN if phase == PRETRAIN else FINAL, cell.model]
    recipe = recipe_of(grid, cell.model)
    epochs = recipe.pretrain_epochs if phase == PRETRAIN else recipe.epochs
    if phase == TUNE and grid.tuning is not None:
        epochs = grid.tuning.epochs or epochs
    training = epochs * timing.steps[cell.sampling] * timing.step
    training += -(-epochs // recipe.validate_every) * timing.validation
    # One after so many minutes, and the weights that are kept at the end.
    saves = (
        min(epochs, training / 60 / measured.checkpoint_minutes)
        if measured.checkpoint_minutes
        else epochs
    )
    saves += phase != TUNE
    scoring = {PRETRAIN: 0.0, TUNE: measured.num_val * timing.val_case}.get(
        phase, measured.num_val * timing.val_case + measured.num_test * timing.test_case
    )
    return timing.setup + training + saves * timing.checkpoint + scoring / measured.scoring_threads


def pieces(grid: Grid, measured: Measured) -> list[Piece]:
    """Every trial of a grid in the order in which it becomes due, with what it waits for."""
    found: list[Piece] = []
    pretrained: dict[tuple[str, int], int] = {}
    for model, seed in pretrainings(grid, measured.given):
        pretrained[model, seed] = len(found)
        cell = Cell(model=model, loss="", sampling="none")
        found.append(
            Piece(
                seconds=trial_seconds(grid, cell, PRETRAIN, measured),
                share=recipe_of(grid, model).gpu_share,
            )
        )
    studies: dict[Cell, list[int]] = {cell: [] for cell in grid.cells}
    for number in range(grid.tuning.trials if grid.tuning else 0):
        assert grid.tuning is not None
        for cell in grid.cells:
            batch = number // grid.tuning.parallel * grid.tuning.parallel
            earlier = studies[cell][:batch]
            first = (
                [pretrained[cell.model, grid.tuning.seed]]
                if (cell.model, grid.tuning.seed) in pretrained
                else []
            )
            studies[cell].append(len(found))
            found.append(_piece(grid, cell, TUNE, measured, (*first, *earlier)))
    for cell in grid.cells:
        for seed in grid.seeds:
            first = [pretrained[cell.model, seed]] if (cell.model, seed) in pretrained else []
            found.append(_piece(grid, cell, FINAL, measured, (*first, *studies[cell])))
    return found


def _piece(grid: Grid, cell: Cell, phase: str, measured: Measured, after: tuple[int, ...]) -> Piece:
    return Piece(
        seconds=trial_seconds(grid, cell, phase, measured),
        share=recipe_of(grid, cell.model).gpu_share,
        after=after,
    )


def wall(grid: Grid, measured: Measured, slots: float, on_cpu: bool) -> float:
    """Seconds from the first trial's start to the last one's end on so many cores, or GPUs."""
    found = pieces(grid, measured)
    if on_cpu:
        found = [replace(piece, share=1.0) for piece in found]
    return wall_seconds(found, slots) + measured.start


def costs(grid: Grid, measured: Measured, on_cpu: bool) -> list[Cost]:
    """A row a pretrained model and a row a cell."""
    rows = []
    for model in dict.fromkeys(model for model, _ in pretrainings(grid, measured.given)):
        number = sum(model == other for other, _ in pretrainings(grid, measured.given))
        timing = measured.timings[PRETRAIN, model]
        seconds = trial_seconds(
            grid, Cell(model=model, loss="", sampling="none"), PRETRAIN, measured
        )
        hours = number * seconds * _share(grid, model, on_cpu) / 3600
        rows.append(
            Cost(
                name=f"{model} pretraining",
                trials=number,
                hours=hours,
                peak_gib=timing.peak_gib,
                disk_mib=number * timing.weights_mib,
            )
        )
    return rows + [_cell_cost(grid, cell, measured, on_cpu) for cell in grid.cells]


def _cell_cost(grid: Grid, cell: Cell, measured: Measured, on_cpu: bool) -> Cost:
    timing, finals = measured.timings[FINAL, cell.model], len(grid.seeds)
    tunes = grid.tuning.trials if grid.tuning else 0
    tuning = tunes * trial_seconds(grid, cell, TUNE, measured) if tunes else 0.0
    seconds = finals * trial_seconds(grid, cell, FINAL, measured) + tuning
    return Cost(
        name=f"{cell.model} {cell.loss} {cell.sampling}",
        trials=tunes + finals,
        hours=seconds * _share(grid, cell.model, on_cpu) / 3600,
        peak_gib=timing.peak_gib,
        disk_mib=finals * (timing.weights_mib + measured.num_test * timing.test_case_mib)
        + (tunes + finals) * measured.num_val * timing.val_case_mib,
    )


def _share(grid: Grid, model: str, on_cpu: bool) -> float:
    return 1.0 if on_cpu else recipe_of(grid, model).gpu_share


def working_mib(grid: Grid, measured: Measured, slots: float) -> float:
    """Checkpoints that lie in the run folder at any one time: the last two and one being written of
    each running trial.
    """
    largest = max(timing.checkpoint_mib for timing in measured.timings.values())
    return 3 * largest * slots


def cheaper(grid: Grid) -> dict[str, Grid]:
    """The grid with a seed left out, and with half its tuning, where there is one to leave out."""
    found = {}
    if len(grid.seeds) > 1:
        found["one seed less"] = replace(grid, seeds=grid.seeds[:-1])
    if grid.tuning is not None and grid.tuning.trials > 1:
        found["half the tuning"] = replace(
            grid, tuning=replace(grid.tuning, trials=grid.tuning.trials // 2)
        )
    return found


def models_to_time(grid: Grid, given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every (phase, model) that is timed."""
    models = dict.fromkeys(cell.model for cell in grid.cells)
    return [(PRETRAIN, model) for model in models if needs_pretraining(grid, model, given)] + [
        (FINAL, m) for m in models
    ]
