"""run.json: what was asked of a run, read in one place and written in one place.

A run folder belongs to a series of versions: the major one, or 0.x before version 1. Each reads the
folders of its own series and refuses those of another.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trials.records.codec import check_kinds, parsed, rebuild, refuse_huge
from trials.records.grouping import Grouping
from trials.records.questions import Question
from trials.records.record import Count, record, shown
from trials.records.spec import Cell
from trials.records.targets import TargetRegion
from trials.storage.atomic import exists, read_text, write_text
from trials.storage.checksum import add_checksum

NAME = "run.json"
# The name of a grid, which is also that of its run folder, in runs/.
FOLDER_NAME = re.compile(r"\w[\w .+-]{0,59}")
# The series of this version; a test compares it with the version itself.
FORMAT = "segbench 0.1"
# A key that only unreleased versions of this series wrote.
BEFORE = "families"
# What the run.json of every version holds.
OF_A_RUN = {"grid", "dataset", "cells", "seeds"}


class OtherFormat(ValueError):
    """A run folder that versions of another series wrote."""


@record
class Geometry:
    """A case's native grid in (D, H, W), and the voxels of every class on it."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    class_voxels: tuple[Count, ...]


# What run.json holds, as far as anybody reads it: each key with its type.
RUN_KEYS: dict[str, Any] = {
    **dict.fromkeys(("format", "grid", "dataset", "splits"), str),
    **dict.fromkeys(("command", "started", "grid_file"), str),
    "dirty": bool,
    "classes": tuple[str, ...],
    "target_regions": tuple[TargetRegion, ...],
    "data.classes": tuple[str, ...],
    "cells": tuple[Cell, ...],
    **dict.fromkeys(("seeds", "folds"), tuple[int, ...]),
    "commit": str | None,
    "code": Mapping[str, str],
    "planned": Mapping[str, int],
    **dict.fromkeys(("tuning", "data", "machine", "versions"), Mapping[str, object] | None),
    "budget": Mapping[str, object],
    **dict.fromkeys(("budget.hours", "budget.estimated", "budget.whole"), float),
    "budget.unit": str,
    **dict.fromkeys(("budget.tuning_trials", "budget.seeds"), tuple[int, int]),
    "tuning.trials": int,
    **dict.fromkeys(("recipes", "hyper", "spaces"), Mapping[str, Mapping[str, object]]),
    **dict.fromkeys(("studies", "preparations"), tuple[Mapping[str, object], ...]),
    "questions": tuple[Question, ...] | None,
    "weights": Mapping[str, str],
    **dict.fromkeys(("weights_notes", "inherited"), tuple[str, ...]),
    **dict.fromkeys(
        ("data.root", "data.title", "data.licence", "data.data_digest", "data.split_rule"), str
    ),
    "data.fingerprint": str,
    "data.split_hash": Mapping[str, str],
    **dict.fromkeys(("merged", "reused"), tuple[Mapping[str, object], ...]),
    **dict.fromkeys(("data.excluded", "data.bad_cases", "data.warnings"), Mapping[str, str]),
    "data.geometry": Mapping[str, Geometry],
    "data.grouping": Grouping,
    "data.case_metadata": Mapping[str, Mapping[str, str]],
    "data.published": int | None,
    "data.fold_cases": Mapping[str, Mapping[str, tuple[str, ...]]],
    "data.cases": int,
    "data.notes": tuple[str, ...],
    **dict.fromkeys(("data.channels", "data.regions"), tuple[str, ...]),
    **dict.fromkeys(("data.shows_images", "data.has_ignore"), bool),
}


def read_run_record(out: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """What a folder's run.json holds: plain values with the needed keys, dotted or not, in which
    each of RUN_KEYS is of its type.

    Raises OtherFormat for a folder of another series, ValueError naming file and key for a file
    that is missing or damaged.
    """
    path = out / NAME
    if not exists(path):
        raise ValueError(f"{path} does not exist; name the folder that a run wrote")
    try:
        document = parsed(read_text(path))
        if not isinstance(document, dict):
            raise ValueError(f"it must be a mapping; got {shown(document)}")
        refuse_other_format(out, document)
        _name_folds(document)
        refuse_huge(document)
        check_kinds(document, RUN_KEYS)
        refuse_lacking(document, needed)
    except OtherFormat:
        raise
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); run the grid again to rewrite it"
        ) from None
    return document


def label_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the labels of a run's masks. Its classes are others where networks predict
    regions.
    """
    return tuple((document.get("data") or {}).get("classes") or document["classes"])


def target_regions_in(document: Mapping[str, Any]) -> tuple[TargetRegion, ...]:
    """The regions that a run's networks predict; none where they predict labels."""
    found: tuple[TargetRegion, ...] = rebuild(
        tuple[TargetRegion, ...], document.get("target_regions") or [], "target_regions"
    )
    return found


def _name_folds(document: dict[str, Any]) -> None:
    """Rewrite the record of a run before there were several folds: one fold, whose split stood
    alone.
    """
    if "fold" not in document:
        return
    fold, data = document.pop("fold"), document.get("data")
    document["folds"] = [fold]
    if isinstance(data, dict):
        for old, new in (("split_cases", "fold_cases"), ("split_hash", "split_hash")):
            if old in data:
                data[new] = {str(fold): data.pop(old)}


def write_run_record(out: Path, values: Mapping[str, Any]) -> None:
    """Write a folder's run.json with its format and its checksum."""
    text = json.dumps({"format": FORMAT, **values}, indent=1, sort_keys=True, allow_nan=False)
    write_text(out / NAME, add_checksum(text))


def refuse_other_format(out: Path, document: Mapping[str, Any]) -> None:
    """Raise OtherFormat for a run.json of another series, ValueError for one of another program."""
    found = document.get("format")
    if found == FORMAT and BEFORE not in document:
        return
    if found is None and not document.keys() >= OF_A_RUN:
        raise ValueError("no run of segbench wrote it")
    if found == FORMAT:
        found = f"an unreleased version of {FORMAT}"
    wrote = f"{found} wrote" if found else f"a version before {FORMAT} wrote"
    raise OtherFormat(
        f"{wrote} {out}, and {FORMAT} reads its own run folders alone; use that version for it, or "
        "run the grid again into a new --out"
    )


def refuse_lacking(document: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Raise ValueError naming the first key, dotted or not, that is needed and not there."""
    for name in needed:
        folder, _, key = name.rpartition(".")
        inner = document.get(folder) if folder else document
        if not isinstance(inner, dict) or key not in inner:
            raise ValueError(f"it has no {name!r}")


def folder_name(name: str) -> str:
    """Return name if a run folder can have it. Raises ValueError for any other name."""
    if not FOLDER_NAME.fullmatch(name):
        raise ValueError(
            "must be a letter or digit, then up to 59 letters, digits, spaces, '_', '.', '+' or "
            f"'-', since it names the run folder; got {name!r}"
        )
    return name
