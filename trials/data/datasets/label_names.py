"""The key 'labels' of dataset.json: which class each label is, which regions are unions of labels,
and which label is ignored.
"""

from pathlib import Path
from typing import Any

from trials.data.datasets.label_set import LabelSet, Region
from trials.records.record import shown

LONGEST_LABEL = 9
# nnU-Net's name of the label of voxels that are not annotated.
IGNORE = "ignore"
TOLERANCE_MM = 1.0


def label_set(path: Path, facts: dict[str, Any]) -> LabelSet:
    """Read the labels of dataset.json at path: nnU-Net v2 writes {name: label}, or {name: [labels]}
    for a region, the Decathlon {label: name}.

    A label that is no region of its own is named "label N". Raises ValueError naming the label at
    fault.
    """
    named = _by_name(path, facts["labels"])
    ignore = named.pop(IGNORE, None)
    numbers = sorted({label for labels in named.values() for label in labels})
    if ignore is not None and ignore != (len(numbers),):
        raise ValueError(
            f"{path}: the label 'ignore' must be the highest, {len(numbers)}; got {shown(ignore)}"
        )
    if numbers != list(range(len(numbers))):
        raise ValueError(
            f"{path}: labels must be 0, 1, 2, ... without gaps, 0 the background; got "
            f"{shown(numbers)}; renumber them here and in the masks"
        )
    if len(numbers) < 2:
        raise ValueError(
            f"{path}: labels must name the background and a class; got {shown(facts['labels'])}"
        )
    names = {labels[0]: name for name, labels in named.items() if len(labels) == 1}
    for label in set(numbers) - set(names):
        if f"label {label}" in named:
            raise ValueError(f"{path}: no region may be named 'label {label}'; rename it")
    regions = _regions(path, named) if any(len(of) > 1 for of in named.values()) else ()
    return LabelSet(
        classes=tuple(names.get(label, f"label {label}") for label in numbers),
        has_ignore=ignore is not None,
        regions=regions,
        class_order=_class_order(path, facts, regions),
    )


def _by_name(path: Path, labels: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The labels of every name, sorted. Raises ValueError for two names of one label, and two
    labels of one name in the Decathlon's way of writing.
    """
    named: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        name, label = (
            (value, key) if isinstance(value, str) and str(key).isdecimal() else (key, value)
        )
        held = label if isinstance(label, list) and label else [label]
        if not all(map(_is_number, held)):
            raise ValueError(
                f"{path}: label {shown(key)} must have a whole number, or a list of them for a "
                f"region; got {shown(value)}"
            )
        union = tuple(sorted({int(str(one)) for one in held}))
        if name in named:
            raise ValueError(f"{path}: gives two labels one name, {shown(name)}; rename one")
        if union in named.values():
            raise ValueError(f"{path}: gives {shown(list(union))} two names; remove one")
        named[str(name)] = union
    return named


def _regions(path: Path, named: dict[str, tuple[int, ...]]) -> tuple[Region, ...]:
    """Every entry but the background as a region, in the order of the file."""
    for name, labels in named.items():
        if 0 in labels and len(labels) > 1:
            raise ValueError(f"{path}: region {shown(name)} must not hold the background, 0")
    return tuple(
        Region(name=name, labels=labels, tolerance_mm=TOLERANCE_MM)
        for name, labels in named.items()
        if labels != (0,)
    )


def _class_order(path: Path, facts: dict[str, Any], regions: tuple[Region, ...]) -> tuple[int, ...]:
    """The key regions_class_order: for each region one of its labels. Raises ValueError if it is
    missing or does not fit.
    """
    if not regions:
        return ()
    order = facts.get("regions_class_order")
    fits = (
        isinstance(order, list)
        and len(order) == len(regions)
        and all(_is_number(label) for label in order)
        and all(int(label) in of.labels for label, of in zip(order, regions, strict=True))
    )
    if not fits or not isinstance(order, list):
        names = ", ".join(region.name for region in regions)
        raise ValueError(
            f"{path}: key 'regions_class_order' must hold a label of each region ({names}), in "
            f"their order; got {shown(order)}"
        )
    return tuple(map(int, order))


def _is_number(label: Any) -> bool:
    """Whether a label is a non-negative integer, as a number or as text."""
    if isinstance(label, str):
        return label.isdecimal() and len(label) <= LONGEST_LABEL
    return type(label) is int and label >= 0
