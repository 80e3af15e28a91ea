"""A grid that is ready to run or to be timed: data prepared, initial weights fetched, every cell
resolved; and of each of its trials that is due the job of a worker.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.execution.data import Prepared, open_grid_data, prepare_grid
from bench.execution.start_weights import digests, fetch_imagenet
from bench.execution.trial_queue import Due
from bench.grid.own_data import PatientNumbers
from bench.grid.part_checks import check_parts
from bench.grid.resolve import ResolvedGrid, resolve
from bench.grid.validate import check_settings
from trials.data.datasets.targets import target_regions
from trials.identity.code_identity import code_of
from trials.models.registry import check_channels
from trials.records.grouping import cases_by_patient
from trials.records.job import Job, best_path
from trials.records.questions import check_scores
from trials.records.result_file import digest_of
from trials.records.spec import FINAL
from trials.records.targets import target_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a run reads and writes. data None: an error tells how to get the data set."""

    out: Path
    cache: Path
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyGrid:
    """A resolved grid with the prepared data of each fold. files maps a model to the file of its
    initial weights.
    """

    resolved: ResolvedGrid
    prepared: Mapping[int, Prepared]
    files: Mapping[str, Path]

    def needed(self) -> list[str]:
        """The paths that every node must see: files of weights, the data set's folder, and the
        manifest of each preparation.
        """
        of_folds = (path for one in self.prepared.values() for path in one.needed())
        return list(dict.fromkeys(map(str, (*self.files.values(), *of_folds))))

    def patients(self) -> PatientNumbers:
        """The patients of all folds: those that are tested, and those of any part."""
        grouping = next(iter(self.prepared.values())).dataset.grouping
        splits = [one.split for one in self.prepared.values()]
        tested = [case for split in splits for case in split.test]
        others = [case for split in splits for case in (*split.train, *split.val)]
        return PatientNumbers(
            tested=len(cases_by_patient(grouping, tested)),
            everyone=len(cases_by_patient(grouping, [*tested, *others])),
        )

    def largest(self, part: str) -> int:
        """The most cases that "train", "val" or "test" has in any fold."""
        return max(len(getattr(one.split, part)) for one in self.prepared.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlaces:
    """Where a grid reads and prepares its data. data is the data set's folder, None if the data set
    is generated in made; cache receives the prepared data; skip_bad excludes cases that cannot be
    used.
    """

    data: Path | None
    made: Path
    cache: Path
    skip_bad: bool = False


def make_ready(
    declared: ResolvedGrid,
    given: Mapping[str, Path],
    places: DataPlaces,
    console: Console,
    fetch: Callable[[ResolvedGrid], Mapping[str, Path]] = fetch_imagenet,
) -> ReadyGrid:
    """Open and prepare the data of a grid, fetch the initial weights that are not given, and
    resolve it again with the facts of the data. Raises ValueError for what the user can fix.
    """
    grid = declared.grid
    skipped = places.cache if places.skip_bad else None
    dataset, scheme, splits = open_grid_data(grid, places.data, places.made, console, skipped)
    scored = target_names(dataset.classes, target_regions(dataset, grid.targets))
    check_scores(f"grid {grid.name!r}: ", grid.questions, scored)
    for model in declared.models:
        check_channels(model, dataset.channels)
    files = {**given, **fetch(declared)}
    prepared = prepare_grid(declared, dataset, scheme, splits, places.cache, console)
    weights = digests(files)
    resolved = resolve(grid, *(one.facts(weights) for one in prepared.values()))
    check_settings(resolved)
    check_parts(resolved, dataset, next(iter(prepared.values())).training_voxels())
    return ReadyGrid(resolved=resolved, prepared=prepared, files=files)


def job_maker(
    places: Places,
    ready: ReadyGrid,
    options: argparse.Namespace,
    revision: str,
    scoring_threads: int = 1,
) -> Callable[[Due], Job]:
    """A function that turns a due trial into the job of a worker. Only final trials get test cases.

    scoring_threads is the number of cores of a trial.
    """
    files, known_weights = ready.files, ready.resolved.weights

    def make_job(due: Due) -> Job:
        spec = due.spec
        prepared = ready.prepared[spec.fold]
        known = {*prepared.split.train, *prepared.split.val}
        patients = prepared.dataset.grouping.patients
        source, _, trial = spec.weights.partition(":")
        weights = (
            best_path(places.out, trial) if source == "pretrain" else files.get(spec.cell.model)
        )
        return Job(
            trial=due.trial,
            spec=spec,
            out=str(places.out),
            cache=str(prepared.folders[spec.recipe.preparation]),
            train=prepared.split.train,
            val=prepared.split.val,
            test=prepared.split.test if spec.phase == FINAL else (),
            patients={case: patient for case, patient in patients.items() if case in known},
            rungs=due.rungs,
            weights=None if weights is None or spec.weights == "random" else str(weights),
            weights_sha256=digest_of(places.out, trial)
            if source == "pretrain"
            else known_weights.get(spec.cell.model, ""),
            save_predictions=options.save_predictions and spec.phase == FINAL,
            checkpoint_minutes=options.checkpoint_minutes,
            commit=revision,
            scoring_threads=scoring_threads,
            code=code_of(spec),
        )

    return make_job
