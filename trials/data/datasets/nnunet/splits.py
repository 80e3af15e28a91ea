"""The splits that a data set brings itself: splits_final.json of nnU-Net, folds and validation
lists in dataset.json, and the test cases of labelsTs.
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trials.data.datasets.nnunet.cases import Layout
from trials.data.datasets.registry import Split
from trials.records.codec import parsed
from trials.records.faults import (
    BAD_CASE,
    FATAL,
    Fault,
    FileFault,
    printable,
    set_warning,
    why_no_file,
)
from trials.records.record import shown
from trials.storage.foreign_text import read_foreign_text

NAME = "splits_final.json"
PICKLE = "splits_final.pkl"
FIX = "correct it, or remove the file to have the cases drawn"


def own_splits(root: Path, layout: Layout) -> tuple[tuple[Split, ...], list[Fault]]:
    """The splits of a data set, one a fold, and their faults; () if it brings none.

    A split without test cases has validation cases, and one without validation cases has test
    cases: splits.own() draws what is missing.
    """
    path, faults = root / NAME, []
    if os.path.lexists(path):
        try:
            return _read_splits(path, layout)
        except FileFault as fault:
            return (), [fault.of_case("")]
    if (root / PICKLE).is_file():
        text = f"{PICKLE} is a pickle and is not read; write its folds as {NAME}"
        faults.append(set_warning(root / PICKLE, "unused", text))
    if layout.folds:
        return _numbered_folds(layout), faults
    train, val, test = (layout.names(part) for part in ("train", "val", "test"))
    if val or test:
        return (Split(train=train, val=val, test=test),), faults
    return (), faults


def _read_splits(path: Path, layout: Layout) -> tuple[tuple[Split, ...], list[Fault]]:
    """The folds of splits_final.json, [{"train": [case], "val": [case]}, ...]. Raises FileFault for
    anything else.
    """
    if why := why_no_file(path):
        raise FileFault(path, "splits", why, FIX, FATAL)
    try:
        folds = parsed(read_foreign_text(path))
    except ValueError as error:
        raise FileFault(path, "splits", f"is not valid JSON ({error})", FIX, FATAL) from None
    if not isinstance(folds, list) or not folds or not all(map(_is_fold, folds)):
        text = f"must be a list of folds with 'train' and 'val', lists of cases; got {shown(folds)}"
        raise FileFault(path, "splits", text, FIX, FATAL)
    splits, test = [], layout.names("test")
    known = {case.case for case in layout.cases()}
    faults: dict[str, Fault] = {}
    for number, fold in enumerate(folds):
        train, val = (_composed(fold[part]) for part in ("train", "val"))
        if both := sorted({*train} & {*val} | {*train, *val} & {*test}):
            text = f"fold {number} names {printable(both[0])} in two parts: a leak"
            raise FileFault(path, "leak", text, FIX, FATAL)
        for case in sorted({*train, *val} - known):
            text = f"names {printable(case)}, which the folder does not hold"
            fault = FileFault(path, "missing", text, "add the case or correct the file", BAD_CASE)
            faults.setdefault(case, fault.of_case(printable(case)))
        splits.append(Split(train=train, val=val, test=test))
    return tuple(splits), list(faults.values())


def _numbered_folds(layout: Layout) -> tuple[Split, ...]:
    """A split for each number that a list gives its cases: those of the number validate."""
    names, test = layout.names("train", "val"), layout.names("test")
    return tuple(
        Split(
            train=tuple(name for name in names if layout.folds.get(name) != fold),
            val=tuple(name for name in names if layout.folds.get(name) == fold),
            test=test,
        )
        for fold in sorted(set(layout.folds.values()))
    )


def _is_fold(fold: Any) -> bool:
    return isinstance(fold, Mapping) and all(
        isinstance(fold.get(part), list) and all(isinstance(one, str) for one in fold[part])
        for part in ("train", "val")
    )


def _composed(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(unicodedata.normalize("NFC", name) for name in names))
