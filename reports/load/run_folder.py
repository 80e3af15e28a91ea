"""A run folder as one record: its settings (run.json), the grid's text, and every trial with a
result.
"""

import gc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.records.codec import parsed, rebuild
from trials.records.grouping import NOT_RECORDED, Grouping
from trials.records.record import shown
from trials.records.result import (
    COMPLETE,
    CaseScore,
    StudySummary,
    TrialResult,
)
from trials.records.result_file import read_result
from trials.records.run_record import label_names, read_run_record, target_regions_in
from trials.records.spec import FINAL, PRETRAIN, Cell
from trials.records.targets import TargetRegion, Targets
from trials.storage.atomic import exists, find_files, read_text

REQUIRED = ("grid", "dataset", "splits", "folds", "classes", "cells", "seeds")
SCORE_TYPES = {
    "case": str,
    "split": str,
    "space": str,
    "label": int,
    "true_voxels": int,
    "pred_voxels": int,
    "overlap_voxels": int,
}
# What results of earlier versions do not hold, and is null where there is nothing to measure.
MAYBE = {"voxel_mm3": float, "hd95_mm": float}
SURFACE_TYPES = {
    **dict.fromkeys(("case", "split", "region"), str),
    **dict.fromkeys(
        ("tolerance_mm", "true_mm2", "pred_mm2", "true_within_mm2", "pred_within_mm2"), float
    ),
    **dict.fromkeys(
        (
            "true_voxels",
            "pred_voxels",
            "overlap_voxels",
            "lesions",
            "lesions_found",
            "lesions_false",
        ),
        int,
    ),
    **MAYBE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The content of a run folder.

    record is run.json; classes, cells, seeds and folds are in its order; several folds are a
    cross-validation. classes are what the networks predict and what is scored: the background, then
    every label or region. results are the trials of this grid, sorted by trial; other_trials are
    those in the folder that belong to another grid or split.
    """

    out: Path
    record: Mapping[str, Any]
    grid_text: str
    classes: tuple[str, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    results: tuple[TrialResult, ...]
    other_trials: tuple[str, ...]

    @property
    def title(self) -> str:
        """What people call the data: "Hippocampus", or else the name of the data set's kind."""
        return (self.record.get("data") or {}).get("title") or self.record["dataset"]

    @property
    def is_kits23(self) -> bool:
        """Whether the data are KiTS23, of which the page may speak as the paper does."""
        return self.record["dataset"] == "kits23"

    @property
    def labels(self) -> tuple[int, ...]:
        """The foreground labels: every class except the first."""
        return tuple(range(1, len(self.classes)))

    @property
    def grouping(self) -> Grouping:
        """Which cases are scans of one patient."""
        found = (self.record.get("data") or {}).get("grouping")
        return NOT_RECORDED if found is None else Grouping(**found)

    @property
    def target_regions(self) -> tuple[TargetRegion, ...]:
        """The regions that the networks predict; none where they predict labels."""
        return target_regions_in(self.record)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels of masks and pictures, the background first."""
        return label_names(self.record)

    @property
    def noun(self) -> str:
        """What a class of this run is: "class" or "region"."""
        return "region" if self.target_regions else "class"

    @property
    def nouns(self) -> str:
        """The plural of noun."""
        return "regions" if self.target_regions else "classes"

    @property
    def regions(self) -> tuple[str, ...]:
        """What is scored besides the classes: the regions that the data set's dataset.json declares
        or, where networks predict regions, the labels that they tell apart.
        """
        declared = (self.record.get("data") or {}).get("regions") or ()
        restored = {region.label for region in self.target_regions}
        labels = (name for label, name in enumerate(self.label_names) if label in restored)
        return tuple(
            name for name in dict.fromkeys((*declared, *labels)) if name not in self.classes
        )

    def class_voxels(self, cases: Iterable[str]) -> tuple[tuple[int, ...], ...]:
        """The native reference voxels of every class in each of these cases that recorded them."""
        groups = Targets(len(self.label_names), self.target_regions).groups
        return tuple(
            tuple(sum(of_labels[label] for label in group) for group in groups)
            for of_labels in self._label_voxels(cases)
        )

    def annotated_voxels(self, cases: Iterable[str]) -> tuple[int, ...]:
        """The native annotated voxels of each of these cases where classes are regions, whose
        voxels do not add up to them; () where classes are labels.
        """
        return tuple(map(sum, self._label_voxels(cases))) if self.target_regions else ()

    def _label_voxels(self, cases: Iterable[str]) -> list[Sequence[int]]:
        geometry = (self.record.get("data") or {}).get("geometry") or {}
        return [geometry[case]["class_voxels"] for case in cases if case in geometry]

    @property
    def finals(self) -> tuple[TrialResult, ...]:
        """The complete final trials."""
        return tuple(
            result
            for result in self.results
            if result.spec.phase == FINAL and result.state == COMPLETE
        )

    @property
    def pooled_folds(self) -> tuple[int, ...]:
        """The folds whose test patients are pooled: all of them once a configuration has a final
        trial in each under some seed; before that, those that most configurations and seeds have.
        """
        done = defaultdict(set)
        for result in self.finals:
            done[result.spec.cell, result.spec.seed].add(result.spec.fold)
        times = Counter(fold for folds in done.values() for fold in folds)
        if len(self.folds) == 1 or any(folds >= {*self.folds} for folds in done.values()):
            return self.folds
        return tuple(fold for fold in self.folds if times[fold] == max(times.values(), default=0))

    @property
    def pooled(self) -> tuple[TrialResult, ...]:
        """The complete final trials that are compared: of a configuration under a seed, those of
        the pooled folds, if it has all of them.
        """
        folds, finals = {*self.pooled_folds}, self.finals
        done = defaultdict(set)
        for result in finals:
            done[result.spec.cell, result.spec.seed].add(result.spec.fold)
        return tuple(
            result
            for result in finals
            if result.spec.fold in folds and done[result.spec.cell, result.spec.seed] >= folds
        )

    @property
    def split_cases(self) -> dict[int, Mapping[str, tuple[str, ...]]]:
        """The cases of each part, train, val and test, by fold; empty if the run recorded none."""
        recorded = (self.record.get("data") or {}).get("fold_cases") or {}
        return {fold: recorded[str(fold)] for fold in self.folds if str(fold) in recorded}

    @property
    def is_trained_once(self) -> bool:
        """Whether each configuration has one training, so that trainings cannot be compared."""
        return len(self.seeds) == 1 and len(self.folds) == 1


def read_run(out: Path) -> Run:
    """Read a run folder. Raises ValueError naming the file that is missing or damaged."""
    record = read_run_record(out, REQUIRED)
    cells = tuple(
        rebuild(Cell, cell, f"run.json cells[{i}]") for i, cell in enumerate(record["cells"])
    )
    _refuse_other_classes(out / "run.json", record)
    with _without_garbage_collection():
        results = [result_in(path) for path in find_files(out, "trials/*/result.json")]
    ours = {result.trial for result in results if _belongs(result, record, cells)}
    return Run(
        out=out,
        record=record,
        grid_text=_grid_text(out / "grid.py"),
        classes=tuple(record["classes"]),
        cells=cells,
        seeds=tuple(record["seeds"]),
        folds=tuple(record["folds"]),
        results=tuple(result for result in results if result.trial in ours),
        other_trials=tuple(result.trial for result in results if result.trial not in ours),
    )


def read_studies(out: Path, fold: int) -> dict[Cell, dict[str, float]]:
    """The importance of each hyperparameter in each cell's study of a fold (studies.json), if it is
    known.

    Raises ValueError naming the file if it is damaged.
    """
    path = out / "studies.json"
    if not exists(path):
        return {}
    try:
        document = parsed(read_text(path))
        studies = rebuild(tuple[StudySummary, ...], document["studies"], "studies")
        return {
            one.cell: dict(one.importance)
            for one in studies
            if one.importance and one.fold in (None, fold)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not a summary of studies ({error}); delete it and write the report again"
        ) from None


def result_in(path: Path) -> TrialResult:
    """Read one trial's result.json. Raises ValueError naming the file and the key."""
    try:
        return read_result(path.parents[2], path.parent.name)
    except (OSError, ValueError) as error:
        raise ValueError(f"{error}; run the grid again to repeat this trial") from None


def refuse_overlaps(scores: Sequence[CaseScore]) -> None:
    """Raise ValueError naming the first case whose overlap is larger than one of its masks."""
    for score in scores:
        if score.overlap_voxels > min(score.true_voxels, score.pred_voxels):
            raise ValueError(
                f"label {score.label} of {shown(score.case)} has more overlapping voxels than one "
                "of its masks"
            )


def _refuse_other_classes(path: Path, record: Mapping[str, Any]) -> None:
    """Raise ValueError unless run.json has a voxel count for every label, if it has any."""
    num = len(label_names(record))
    for case, grid in ((record.get("data") or {}).get("geometry") or {}).items():
        if len(grid["class_voxels"]) != num:
            key = f"data.geometry.{shown(case)}.class_voxels"
            raise ValueError(
                f"{path}: {key} must hold {num} counts, one per class; run the grid again to "
                "rewrite it"
            )


def _grid_text(path: Path) -> str:
    """The text of the grid file, "" if there is none."""
    try:
        return read_text(path) if exists(path) else ""
    except ValueError as error:
        raise ValueError(
            f"{path} is not a text file ({error}); delete it: the page is made without it, and a "
            "run writes it again"
        ) from None


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Switch the cyclic garbage collector off: a large run has a million records without cycles,
    and each collection visits all of them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _belongs(result: TrialResult, record: Mapping[str, Any], cells: tuple[Cell, ...]) -> bool:
    spec = result.spec
    same_data = (spec.dataset, spec.splits) == (record["dataset"], record["splits"])
    same_data = same_data and spec.fold in record["folds"]
    same_grid = spec.phase == PRETRAIN or (
        spec.cell in cells and spec.regions == target_regions_in(record)
    )
    return same_data and same_grid and (spec.phase != FINAL or spec.seed in record["seeds"])
