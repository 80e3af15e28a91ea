"""Which classes a folder of reference masks has, and which data set it is of, by its layout."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import DATASETS, default_dataset, detect_dataset
from trials.data.nifti.header import read_header
from trials.data.nifti.opening import ending_of
from trials.data.nifti.volume import read_mask
from trials.process.workers import run_on_cases
from trials.records.faults import printable
from trials.scoring.folders import labels_of
from trials.scoring.found_masks import (
    ANY_VALUE,
    mask_files,
)

OWN_LABEL = "label {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a folder of masks was understood to be: its data set, "" for none; what the labels mean;
    and one line that says so.
    """

    dataset: str
    labels: LabelSet
    text: str


@dataclass(frozen=True, slots=True)
class _Mask:
    case: str
    path: Path


def layout_of(reference: Path, dataset: str | None, workers: int | None = None) -> Layout:
    """The layout of a folder of reference masks; dataset None finds out.

    dataset.json, there or one folder up, is that of nnU-Net or another data set with a marker file.
    CASE/segmentation.nii.gz, or masks named as KiTS23's cases, are KiTS23's. Folders with a file
    for each class give its names, and other masks the labels that they hold. Raises ValueError for
    a folder without masks.
    """
    found = told_dataset(reference) if dataset is None else dataset
    if found:
        labels = labels_of(found, reference)
        return Layout(dataset=found, labels=labels, text=_text(f"as {found}", labels.classes))
    if names := class_names(reference):
        classes = ("background", *names)
        return Layout(
            dataset="",
            labels=LabelSet(classes=classes),
            text=_text("of one file a class", classes),
        )
    masks = [_Mask(case, path) for case, path in mask_files(reference).items()]
    largest = max(run_on_cases(masks, _largest, workers, lambda: None, "read").values())
    classes = ("background", *(OWN_LABEL.format(label) for label in range(1, largest + 1)))
    return Layout(
        dataset="", labels=LabelSet(classes=classes), text=_text("by their values", classes)
    )


def told_dataset(reference: Path) -> str:
    """The data set of a folder of masks; "" if nothing says which it is."""
    for folder in (reference, reference.resolve().parent):
        if folder.is_dir() and DATASETS[name := detect_dataset(folder)].marker_file:
            return name
    part = DATASETS[default_dataset()]
    if next(reference.glob(f"*/{part.mask_file}"), None):
        return default_dataset()
    stems = [_stem(path) for path in _niftis(reference)]
    is_named = stems and all(re.fullmatch(part.case_names, stem) for stem in stems)
    return default_dataset() if is_named else ""


def class_names(reference: Path) -> tuple[str, ...]:
    """The names of the classes of folders that hold one file for each, sorted; () if the folder
    holds no such folders.
    """
    if not reference.is_dir() or _niftis(reference):
        return ()
    folders = [entry for entry in reference.iterdir() if entry.is_dir()]
    return tuple(sorted({_stem(path) for folder in folders for path in _niftis(folder)}))


def _largest(mask: _Mask) -> int:
    return int(read_mask(read_header(mask.path), ANY_VALUE).voxels.max())


def _niftis(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if path.is_file() and ending_of(path.name) and not path.name.startswith(".")
    ]


def _stem(path: Path) -> str:
    return path.name.removesuffix(ending_of(path.name))


def _text(how: str, classes: Sequence[str]) -> str:
    return f"masks read {how}: {printable(', '.join(classes[1:]))}"
