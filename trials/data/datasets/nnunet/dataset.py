"""Any data set described by a dataset.json: nnU-Net v2 or the Medical Segmentation Decathlon."""

from pathlib import Path
from typing import Any

from trials.data.datasets.channels import channel_names, missing_files
from trials.data.datasets.label_set import LabelSet, Region
from trials.data.datasets.nnunet.cases import read_layout
from trials.data.datasets.nnunet.splits import own_splits
from trials.data.datasets.nnunet.unused import unused
from trials.data.datasets.phantoms.record import RECORD
from trials.data.datasets.registry import Dataset
from trials.records.codec import parsed
from trials.records.faults import Fault, printable, set_warning, why_no_file
from trials.records.record import shown
from trials.storage.foreign_text import read_foreign_text

# Of a title that a page shows.
LONGEST = 60


def nnunet(root: Path) -> Dataset:
    """Read a folder with dataset.json, imagesTr and labelsTr; its faults name invalid cases and
    files.

    Raises ValueError naming the key of dataset.json at fault.
    """
    path = root / "dataset.json"
    facts = _read(path)
    labels = label_set(path, facts)
    channels = channel_names(path, facts)
    layout = read_layout(path, facts, len(channels))
    splits, split_faults = own_splits(root, layout)
    missing = [fault for case in layout.cases() for fault in missing_files(case)]
    incomplete = {fault.case for fault in missing}
    published = facts.get("numTraining")
    return Dataset(
        name="nnunet",
        title=_title(root, facts),
        root=root,
        classes=labels.classes,
        has_ignore=labels.has_ignore,
        regions=labels.regions,
        class_order=labels.class_order,
        cases=tuple(case for case in layout.cases() if case.case not in incomplete),
        channels=channels,
        published=published + len(layout.names("test")) if type(published) is int else None,
        licence=_as_text(facts.get("licence") or facts.get("license") or "not stated"),
        own_splits=splits,
        faults=(
            *layout.faults,
            *split_faults,
            *missing,
            *unused(path, facts, layout),
            *_phantoms_beside(root),
        ),
    )


def _phantoms_beside(root: Path) -> list[Fault]:
    """A warning if a run generated phantoms in the folder: they are not part of the data set and
    not read.
    """
    path = root / RECORD
    if why_no_file(path) is not None:
        return []
    text = (
        "says that phantoms were generated in this folder; they are not part of the data "
        "set and are not read"
    )
    fix = "delete it and the case_XXXXX folders beside it"
    return [set_warning(path, "phantoms", text, fix)]


def labels_of_masks(folder: Path) -> LabelSet:
    """The labels of dataset.json in a folder of masks or the one above. Raises ValueError naming
    the key at fault.
    """
    here, above = folder / "dataset.json", folder.resolve().parent / "dataset.json"
    path = above if above.is_file() and not here.is_file() else here
    return label_set(path, _read(path))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"{path.parent} holds no dataset.json; point to a folder of nnU-Net or the Decathlon"
        )
    try:
        facts = parsed(read_foreign_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); correct it") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("labels"), dict):
        raise ValueError(f"{path}: key 'labels' must map class names to numbers; add it")
    return facts


def _title(root: Path, facts: dict[str, Any]) -> str:
    """The name that dataset.json gives the data, or else its folder."""
    name = facts.get("name")
    return printable(name if isinstance(name, str) and name else root.absolute().name)[:LONGEST]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


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
