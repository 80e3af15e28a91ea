"""A run folder as one record: its settings (run.json), the grid's text, and every trial with a
result.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from trials.records.codec import (
    LARGEST_WHOLE,
    check_kinds,
    parsed,
    read_document,
    rebuild,
    refuse_huge,
    shown,
)
from trials.records.result import (
    COMPLETE,
    FACT_KEYS,
    FAILED,
    PRUNED,
    RUN_KEYS,
    CaseScore,
    StudySummary,
    SurfaceScore,
    TrialResult,
)
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell
from trials.storage.atomic import is_there, matching, read_text

REQUIRED = ("grid", "dataset", "splits", "fold", "classes", "cells", "seeds")
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
STATES, PHASES = (COMPLETE, PRUNED, FAILED), (PRETRAIN, TUNE, FINAL)
COSTS = ("seconds", "peak_gib", "num_parameters", "num_trainable", "multiply_adds")
LONGEST_SECONDS = 1e9
# Settings searched on a logarithmic scale.
LOGARITHMIC = ("lr", "one_minus_beta")
S = TypeVar("S", CaseScore, SurfaceScore)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The content of a run folder.

    record is run.json; classes, cells and seeds are in its order. results are the trials of this
    grid, sorted by trial; other_trials are those in the folder that belong to another grid or
    split.
    """

    out: Path
    record: Mapping[str, Any]
    grid_text: str
    classes: tuple[str, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    results: tuple[TrialResult, ...]
    other_trials: tuple[str, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """The foreground labels: every class except the first."""
        return tuple(range(1, len(self.classes)))

    @property
    def finals(self) -> tuple[TrialResult, ...]:
        """The complete final trials."""
        return tuple(
            result
            for result in self.results
            if result.spec.phase == FINAL and result.state == COMPLETE
        )


def read_run(out: Path) -> Run:
    """Read a run folder. Raises ValueError naming the file that is missing or damaged."""
    record = read_document(out / "run.json", RUN_KEYS, REQUIRED)
    cells = tuple(
        rebuild(Cell, cell, f"run.json cells[{i}]") for i, cell in enumerate(record["cells"])
    )
    _refuse_other_classes(out / "run.json", record)
    with _without_garbage_collection():
        results = [read_result(path) for path in matching(out, "trials/*/result.json")]
    ours = {result.trial for result in results if _belongs(result, record, cells)}
    return Run(
        out=out,
        record=record,
        grid_text=_grid_text(out / "grid.py"),
        classes=tuple(record["classes"]),
        cells=cells,
        seeds=tuple(record["seeds"]),
        results=tuple(result for result in results if result.trial in ours),
        other_trials=tuple(result.trial for result in results if result.trial not in ours),
    )


def read_studies(out: Path) -> dict[Cell, dict[str, float]]:
    """The importance of each hyperparameter in each cell's study (studies.json), if it is known.

    Raises ValueError naming the file if it is damaged.
    """
    path = out / "studies.json"
    if not is_there(path):
        return {}
    try:
        document = parsed(read_text(path))
        refuse_huge(document)
        studies = rebuild(tuple[StudySummary, ...], document["studies"], "studies")
        return {one.cell: dict(one.importance) for one in studies if one.importance}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not a summary of studies ({error}); delete it and write the report again"
        ) from None


def read_result(path: Path) -> TrialResult:
    """Read one trial's result.json. Raises ValueError naming the file and the key."""
    try:
        document = parsed(read_text(path))
        # A large run has a million scores; checking their keys here is twenty times faster than
        # by annotation.
        scores = read_rows(CaseScore, SCORE_TYPES, document.pop("scores", []), "scores")
        surfaces = read_rows(SurfaceScore, SURFACE_TYPES, document.pop("surfaces", []), "surfaces")
        refuse_huge(document)
        result = replace(rebuild(TrialResult, document, "result"), scores=scores, surfaces=surfaces)
        _refuse_impossible(result)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path}: not a trial's result ({error}); run the grid again, which repeats this trial"
        ) from None
    if result.trial != path.parent.name:
        raise ValueError(
            f"{path}: holds trial {result.trial!r}, but its folder is named for another; delete "
            "this copy"
        )
    return result


def read_rows(kind: type[S], types: Mapping[str, type], rows: Any, where: str) -> tuple[S, ...]:
    """Many small records of one kind. Raises ValueError naming the first invalid one."""
    if not isinstance(rows, list):
        raise ValueError(f"{where} must be a list; got {shown(rows)}")
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or not _is_row(row, types):
            raise ValueError(f"{where}[{i}] must hold {', '.join(types)}; got {shown(row)}")
    built = tuple(kind(**row) for row in rows)
    refuse_beyond(built, [name for name, of in types.items() if of is not str], where)
    return built


def _is_row(row: Mapping[str, Any], types: Mapping[str, type]) -> bool:
    found = {name: type(value) for name, value in row.items()}
    if found == types:
        return True
    found = {name: of for name, of in found.items() if name not in MAYBE or of is not type(None)}
    return found == {name: of for name, of in types.items() if name in found or name not in MAYBE}


def refuse_beyond(rows: Sequence[S], names: Iterable[str], where: str) -> None:
    """Raise ValueError naming the first record with a count or area below 0, or above the largest
    integer a table can store.
    """
    for name in names:
        values = [value for value in map(attrgetter(name), rows) if value is not None]
        if values and not (min(values) >= 0 and max(values) <= LARGEST_WHOLE):
            i, value = next(
                (i, value)
                for i, value in enumerate(map(attrgetter(name), rows))
                if value is not None and not 0 <= value <= LARGEST_WHOLE
            )
            raise ValueError(
                f"{where}[{i}].{name} must lie in 0..{LARGEST_WHOLE}; got {shown(value)}"
            )


def refuse_overlaps(scores: Sequence[CaseScore]) -> None:
    """Raise ValueError naming the first case whose overlap is larger than one of its masks."""
    for score in scores:
        if score.overlap_voxels > min(score.true_voxels, score.pred_voxels):
            raise ValueError(
                f"label {score.label} of {shown(score.case)} has more overlapping voxels than one "
                "of its masks"
            )


def _refuse_impossible(result: TrialResult) -> None:
    """Raise ValueError naming the key whose value no trial can have."""
    check_kinds(result.facts, FACT_KEYS)
    for name, word, known in (
        ("state", result.state, STATES),
        ("spec.phase", result.spec.phase, PHASES),
    ):
        if word not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {shown(word)}")
    for name in COSTS:
        if not 0 <= getattr(result, name) <= LARGEST_WHOLE:
            raise ValueError(f"{name} must lie in 0..{LARGEST_WHOLE}; got {getattr(result, name)}")
    if result.seconds > LONGEST_SECONDS or not _is_time(result.started):
        span = shown((result.started, result.seconds))
        raise ValueError(
            f"started and seconds must be a date and time and at most {LONGEST_SECONDS:g} s; got "
            f"{span}"
        )
    for name in LOGARITHMIC:
        value = result.spec.hyper.get(name, 1.0)
        if not isinstance(value, float) or value <= 0:
            raise ValueError(f"spec.hyper.{name} must be above 0; got {shown(value)}")


def _is_time(text: str) -> bool:
    """Whether a text is empty or a date and time in 1971..8999."""
    try:
        return not text or 1970 < datetime.fromisoformat(text).year < 9000
    except ValueError:
        return False


def _refuse_other_classes(path: Path, record: Mapping[str, Any]) -> None:
    """Raise ValueError unless run.json has a voxel count for every class, if it has any."""
    num = len(record["classes"])
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
        return read_text(path) if is_there(path) else ""
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
    same_data = (spec.dataset, spec.splits, spec.fold) == (
        record["dataset"],
        record["splits"],
        record["fold"],
    )
    same_grid = spec.phase == PRETRAIN or spec.cell in cells
    return same_data and same_grid and (spec.phase != FINAL or spec.seed in record["seeds"])
