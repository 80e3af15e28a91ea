"""The key 'labels' of dataset.json: which class each label is, and which one is ignored."""

from pathlib import Path
from typing import Any

from trials.data.datasets.registry import LabelSet
from trials.records.record import shown

LONGEST_LABEL = 9
# nnU-Net's name of the label of voxels that are not annotated.
IGNORE = "ignore"


def label_set(path: Path, labels: dict[str, Any]) -> LabelSet:
    """Read the labels of dataset.json at path: nnU-Net v2 writes {name: label}, the Decathlon
    {label: name}.

    Raises ValueError naming the label at fault.
    """
    by_label: dict[int, str] = {}
    for key, value in labels.items():
        if isinstance(value, list):
            raise ValueError(
                f"{path}: label {shown(key)} is a region, {shown(value)}; region-based labels are "
                "not supported, give one label a class"
            )
        name, label = (
            (value, key) if isinstance(value, str) and str(key).isdecimal() else (key, value)
        )
        if not _is_number(label):
            raise ValueError(
                f"{path}: label {shown(key)} must have a whole number; got {shown(value)}"
            )
        by_label[int(label)] = str(name)
    numbers = sorted(by_label)
    if numbers != list(range(len(labels))):
        raise ValueError(
            f"{path}: labels must be 0, 1, 2, ... without gaps, 0 the background; got "
            f"{shown(numbers)}"
        )
    names = [by_label[label] for label in numbers]
    if IGNORE in names[:-1]:
        raise ValueError(
            f"{path}: the label 'ignore' must be the highest, {len(names) - 1}; got "
            f"{names.index(IGNORE)}"
        )
    has_ignore = names[-1:] == [IGNORE]
    classes = tuple(names[:-1] if has_ignore else names)
    if len(classes) < 2:
        raise ValueError(
            f"{path}: labels must name the background and a class, without gaps; got "
            f"{shown(labels)}"
        )
    return LabelSet(classes=classes, has_ignore=has_ignore)


def _is_number(label: Any) -> bool:
    """Whether a label is a non-negative integer, as a number or as text."""
    if isinstance(label, str):
        return label.isdecimal() and len(label) <= LONGEST_LABEL
    return type(label) is int and label >= 0
