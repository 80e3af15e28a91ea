"""What a grid will cost, from what the parts of its trials were timed at: pure arithmetic, by cell
and in all.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bench.grid.resolve import (
    ResolvedCell,
    ResolvedGrid,
    epochs_of,
    pretrain_seeds,
    pretrainings,
)
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
    """What the estimate rests on. timings by (phase, model), phase pretrain or final.

    start is what each process needs before its first trial, scoring_threads how many cases a trial
    counts at once.
    """

    timings: Mapping[tuple[str, str], Timing]
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


def trial_seconds(one: ResolvedCell, phase: str, measured: Measured) -> float:
    """Seconds of one trial of a cell, or of its model's pretraining, trained to its last epoch:
    pruning and patience only make it shorter.
    """
    timing = measured.timings[PRETRAIN if phase == PRETRAIN else FINAL, one.cell.model]
    epochs = epochs_of(one, phase)
    steps = timing.steps["none" if phase == PRETRAIN else one.cell.sampling]
    training = epochs * steps * timing.step
    training += -(-epochs // one.recipe.validate_every) * timing.validation
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


def pieces(resolved: ResolvedGrid, measured: Measured) -> list[Piece]:
    """Every trial of a grid in the order in which it becomes due, with what it waits for."""
    grid, models = resolved.grid, resolved.models
    found: list[Piece] = []
    pretrained: dict[tuple[str, int], list[int]] = defaultdict(list)
    for spec in pretrainings(resolved):
        model = spec.cell.model
        pretrained[model, spec.seed].append(len(found))
        found.append(_piece(models[model], PRETRAIN, measured))
    studies: dict[Cell, list[int]] = defaultdict(list)
    for number in range(grid.tuning.trials if grid.tuning else 0):
        assert grid.tuning is not None
        for one in resolved.cells:
            earlier = studies[one.cell][: number // grid.tuning.parallel * grid.tuning.parallel]
            first = pretrained[one.cell.model, grid.tuning.seed]
            studies[one.cell].append(len(found))
            found.append(_piece(one, TUNE, measured, (*first, *earlier)))
    for one in resolved.cells:
        for seed in grid.seeds:
            first = pretrained[one.cell.model, seed]
            found.append(_piece(one, FINAL, measured, (*first, *studies[one.cell])))
    return found


def _piece(one: ResolvedCell, phase: str, measured: Measured, after: tuple[int, ...] = ()) -> Piece:
    seconds = trial_seconds(one, phase, measured)
    return Piece(seconds=seconds, share=one.recipe.gpu_share, after=after)


def wall(resolved: ResolvedGrid, measured: Measured, slots: float, on_cpu: bool) -> float:
    """Seconds from the first trial's start to the last one's end on so many cores, or GPUs."""
    found = pieces(resolved, measured)
    if on_cpu:
        found = [replace(piece, share=1.0) for piece in found]
    return wall_seconds(found, slots) + measured.start


def costs(resolved: ResolvedGrid, measured: Measured, on_cpu: bool) -> list[Cost]:
    """A row a pretrained model and a row a cell."""
    pretrained = [one for one in resolved.models.values() if one.pretraining]
    number = len(pretrain_seeds(resolved.grid))
    return [
        *(_pretraining_cost(one, number, measured, on_cpu) for one in pretrained),
        *(_cell_cost(resolved.grid, one, measured, on_cpu) for one in resolved.cells),
    ]


def _pretraining_cost(one: ResolvedCell, number: int, measured: Measured, on_cpu: bool) -> Cost:
    timing = measured.timings[PRETRAIN, one.cell.model]
    seconds = number * trial_seconds(one, PRETRAIN, measured)
    return Cost(
        name=f"{one.cell.model} pretraining",
        trials=number,
        hours=seconds * _share(one, on_cpu) / 3600,
        peak_gib=timing.peak_gib,
        disk_mib=number * timing.weights_mib,
    )


def _cell_cost(grid: Grid, one: ResolvedCell, measured: Measured, on_cpu: bool) -> Cost:
    timing, finals = measured.timings[FINAL, one.cell.model], len(grid.seeds)
    tunes = grid.tuning.trials if grid.tuning else 0
    tuning = tunes * trial_seconds(one, TUNE, measured) if tunes else 0.0
    seconds = finals * trial_seconds(one, FINAL, measured) + tuning
    return Cost(
        name=f"{one.cell.model} {one.cell.loss} {one.cell.sampling}",
        trials=tunes + finals,
        hours=seconds * _share(one, on_cpu) / 3600,
        peak_gib=timing.peak_gib,
        disk_mib=finals * (timing.weights_mib + measured.num_test * timing.test_case_mib)
        + (tunes + finals) * measured.num_val * timing.val_case_mib,
    )


def _share(one: ResolvedCell, on_cpu: bool) -> float:
    return 1.0 if on_cpu else one.recipe.gpu_share


def working_mib(measured: Measured, slots: float) -> float:
    """Checkpoints that lie in the run folder at any one time: the last two and one being written of
    each running trial.
    """
    largest = max(timing.checkpoint_mib for timing in measured.timings.values())
    return 3 * largest * slots


def cheaper(resolved: ResolvedGrid) -> dict[str, ResolvedGrid]:
    """The grid with a seed left out, and with half its tuning, where there is one to leave out."""
    grid, found = resolved.grid, {}
    if len(grid.seeds) > 1:
        found["one seed less"] = replace(grid, seeds=grid.seeds[:-1])
    if grid.tuning is not None and grid.tuning.trials > 1:
        halved = replace(grid.tuning, trials=grid.tuning.trials // 2)
        found["half the tuning"] = replace(grid, tuning=halved)
    return {name: replace(resolved, grid=less) for name, less in found.items()}


def models_to_time(resolved: ResolvedGrid) -> list[tuple[str, str]]:
    """Every (phase, model) that is timed."""
    models = resolved.models
    pretrained = [(PRETRAIN, model) for model, one in models.items() if one.pretraining]
    return pretrained + [(FINAL, model) for model in models]
