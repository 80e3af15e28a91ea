"""The estimated cost of a grid, by cell and in total, from the timed steps of its trials, and the
wall time of parallel trials. Pure arithmetic.
"""

import bisect
import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell

# Three thirds of a GPU must sum to one GPU.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTrial:
    """A trial to schedule: its seconds, the share of a slot that it takes, and the positions of the
    earlier trials that it waits for.
    """

    seconds: float
    share: float = 1.0
    after: tuple[int, ...] = ()


def wall_seconds(trials: Sequence[ScheduledTrial], slots: float) -> float:
    """Seconds until the last trial ends on so many slots. Of the trials that may run, the first
    that fits starts.

    A share above all slots counts as all of them. 0 without trials.
    """
    waits = [len(trial.after) for trial in trials]
    followers: list[list[int]] = [[] for _ in trials]
    for number, trial in enumerate(trials):
        for before in trial.after:
            followers[before].append(number)
    ready = [number for number, count in enumerate(waits) if count == 0]
    running: list[tuple[float, int]] = []
    now, free = 0.0, float(slots)
    while ready or running:
        for number in list(ready):
            share = min(trials[number].share, slots)
            if share <= free + ROUNDING:
                free -= share
                ready.remove(number)
                heapq.heappush(running, (now + trials[number].seconds, number))
        now, ended = heapq.heappop(running)
        free += min(trials[ended].share, slots)
        for number in followers[ended]:
            waits[number] -= 1
            if waits[number] == 0:
                bisect.insort(ready, number)
    return now


class Timing(Protocol):
    """The timing of a model by trials.training.timing, in seconds, GiB and MiB."""

    setup: float
    step: float
    validation: float
    checkpoint: float
    val_case: float
    test_case: float
    steps: dict[str, int]
    peak_gib: float
    gpu_gib: float
    precision: str
    checkpoint_mib: float
    weights_mib: float
    val_case_mib: float
    test_case_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """The measurements that the estimate uses. timings are keyed by (phase, model), phase pretrain
    or final.

    start is the seconds of each process before its first trial, scoring_threads the number of cases
    that a trial scores at once.
    """

    timings: Mapping[tuple[str, str], Timing]
    num_val: int
    num_test: int
    start: float
    checkpoint_minutes: float = 1.0
    scoring_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """The cost of a cell, or of all pretrainings of a model. hours count shares of a slot. gpu_gib
    is the memory of a GPU that a trial takes, an estimate where none is there. disk_mib is what
    remains in the run folder.
    """

    name: str
    trials: int
    hours: float
    peak_gib: float
    gpu_gib: float
    disk_mib: float


def trial_seconds(one: ResolvedCell, phase: str, measured: Measurements) -> float:
    """Seconds of a trial of a cell, or of a pretraining of its model, when it trains to its last
    epoch. Pruning and early stopping only shorten it.
    """
    timing = measured.timings[PRETRAIN if phase == PRETRAIN else FINAL, one.cell.model]
    epochs = epochs_of(one, phase)
    steps = timing.steps["none" if phase == PRETRAIN else one.cell.sampling]
    training = epochs * steps * timing.step
    training += -(-epochs // one.recipe.validate_every) * timing.validation
    # A checkpoint every so many minutes, and the weights at the end.
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


def collect_trials(resolved: ResolvedGrid, measured: Measurements) -> list[ScheduledTrial]:
    """Every trial of a grid in the order in which they become due, with the trials that it waits
    for.
    """
    found: list[ScheduledTrial] = []
    for fold in resolved.grid.folds:
        _collect_fold(resolved, fold, measured, found)
    return found


def _collect_fold(
    resolved: ResolvedGrid, fold: int, measured: Measurements, found: list[ScheduledTrial]
) -> None:
    """Add the trials of a fold; they wait for none of another."""
    grid, models = resolved.grid, resolved.models
    cells = [one for one in resolved.cells if one.fold == fold]
    pretrained: dict[tuple[str, int], list[int]] = defaultdict(list)
    for spec in (spec for spec in pretrainings(resolved) if spec.fold == fold):
        model = spec.cell.model
        pretrained[model, spec.seed].append(len(found))
        found.append(_scheduled(models[model], PRETRAIN, measured))
    studies: dict[Cell, list[int]] = defaultdict(list)
    for number in range(grid.tuning.trials if grid.tuning else 0):
        assert grid.tuning is not None
        for one in cells:
            earlier = studies[one.cell][: number // grid.tuning.parallel * grid.tuning.parallel]
            first = pretrained[one.cell.model, grid.tuning.seed]
            studies[one.cell].append(len(found))
            found.append(_scheduled(one, TUNE, measured, (*first, *earlier)))
    for one in cells:
        for seed in grid.seeds:
            first = pretrained[one.cell.model, seed]
            found.append(_scheduled(one, FINAL, measured, (*first, *studies[one.cell])))


def _scheduled(
    one: ResolvedCell, phase: str, measured: Measurements, after: tuple[int, ...] = ()
) -> ScheduledTrial:
    seconds = trial_seconds(one, phase, measured)
    return ScheduledTrial(seconds=seconds, share=one.recipe.gpu_share, after=after)


def estimate_wall_seconds(
    resolved: ResolvedGrid, measured: Measurements, slots: float, on_cpu: bool
) -> float:
    """Seconds from the start of the first trial to the end of the last one on so many cores or
    GPUs.
    """
    found = collect_trials(resolved, measured)
    if on_cpu:
        found = [replace(trial, share=1.0) for trial in found]
    return wall_seconds(found, slots) + measured.start


def estimate_costs(
    resolved: ResolvedGrid, measured: Measurements, on_cpu: bool
) -> list[CostEstimate]:
    """The cost of each pretrained model, then of each cell, all folds together."""
    pretrained = [one for one in resolved.models.values() if one.pretraining]
    number = len(pretrain_seeds(resolved.grid)) * len(resolved.grid.folds)
    cells = {one.cell: one for one in resolved.cells}.values()
    return [
        *(_pretraining_cost(one, number, measured, on_cpu) for one in pretrained),
        *(_cell_cost(resolved.grid, one, measured, on_cpu) for one in cells),
    ]


def _pretraining_cost(
    one: ResolvedCell, number: int, measured: Measurements, on_cpu: bool
) -> CostEstimate:
    timing = measured.timings[PRETRAIN, one.cell.model]
    seconds = number * trial_seconds(one, PRETRAIN, measured)
    return CostEstimate(
        name=f"{one.cell.model} pretraining",
        trials=number,
        hours=seconds * _share(one, on_cpu) / 3600,
        peak_gib=timing.peak_gib,
        gpu_gib=timing.gpu_gib,
        disk_mib=number * timing.weights_mib,
    )


def _cell_cost(grid: Grid, one: ResolvedCell, measured: Measurements, on_cpu: bool) -> CostEstimate:
    timing, folds = measured.timings[FINAL, one.cell.model], len(grid.folds)
    finals, tunes = len(grid.seeds) * folds, grid.tuning.trials * folds if grid.tuning else 0
    tuning = tunes * trial_seconds(one, TUNE, measured) if tunes else 0.0
    seconds = finals * trial_seconds(one, FINAL, measured) + tuning
    return CostEstimate(
        name=f"{one.cell.model} {one.cell.loss} {one.cell.sampling}",
        trials=tunes + finals,
        hours=seconds * _share(one, on_cpu) / 3600,
        peak_gib=timing.peak_gib,
        gpu_gib=timing.gpu_gib,
        disk_mib=finals * (timing.weights_mib + measured.num_test * timing.test_case_mib)
        + (tunes + finals) * measured.num_val * timing.val_case_mib,
    )


def _share(one: ResolvedCell, on_cpu: bool) -> float:
    return 1.0 if on_cpu else one.recipe.gpu_share


def working_mib(measured: Measurements, slots: float) -> float:
    """MiB of the checkpoints in the run folder at any one time: of each running trial the last two,
    and one that is being written.
    """
    largest = max(timing.checkpoint_mib for timing in measured.timings.values())
    return 3 * largest * slots


def cheaper_grids(resolved: ResolvedGrid) -> dict[str, ResolvedGrid]:
    """Cheaper variants of a grid: with one seed less, and with half its tuning, if it has enough of
    them.
    """
    grid, found = resolved.grid, {}
    if len(grid.seeds) > 1:
        found["one seed less"] = replace(grid, seeds=grid.seeds[:-1])
    if grid.tuning is not None and grid.tuning.trials > 1:
        halved = replace(grid.tuning, trials=grid.tuning.trials // 2)
        found["half the tuning"] = replace(grid, tuning=halved)
    return {name: replace(resolved, grid=less) for name, less in found.items()}


def models_to_time(resolved: ResolvedGrid) -> list[tuple[str, str]]:
    """Every (phase, model) to time."""
    models = resolved.models
    pretrained = [(PRETRAIN, model) for model, one in models.items() if one.pretraining]
    return pretrained + [(FINAL, model) for model in models]
