"""What a data set was understood to be, in a few lines: cases, channels, classes, spacing, size and
splits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.patients import grouping_line
from trials.data.datasets.registry import (
    OWN,
    Case,
    Dataset,
    default_scheme,
    num_folds,
    official_regions,
    split_cases,
)
from trials.data.datasets.splits import explain, present_classes, sizes
from trials.data.datasets.targets import target_regions
from trials.data.nifti.header import read_header
from trials.data.nifti.volume import file_axes, spacing_dhw
from trials.records.faults import printable
from trials.records.targets import REGIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLook:
    """A case's native grid in (D, H, W), and whether each class occurs in it."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    present: tuple[bool, ...]


def look_at_case(case: Case, labels: LabelSet) -> CaseLook:
    """The grid and the classes of a case's mask. Raises ValueError naming the file at fault."""
    header = read_header(case.labels)
    d, h, w = file_axes(header.affine).order
    return CaseLook(
        shape=(header.shape[d], header.shape[h], header.shape[w]),
        spacing_mm=spacing_dhw(header),
        present=present_classes(case, labels),
    )


def usable_part(dataset: Dataset, looks: Mapping[str, CaseLook]) -> Dataset:
    """The cases that can be used, with what is needed to split them without their files."""
    return replace(
        dataset,
        cases=tuple(case for case in dataset.cases if case.case in looks),
        class_voxels={case: tuple(map(int, look.present)) for case, look in looks.items()},
    )


def summarise(dataset: Dataset, looks: Mapping[str, CaseLook]) -> dict[str, str]:
    """Subject to one line each; looks are those of the cases that can be used."""
    sound = usable_part(dataset, looks)
    found = list(looks.values())
    published = f" of {dataset.published}" if dataset.published else ""
    names = sorted(looks)
    shown = f", {printable(names[0])} to {printable(names[-1])}" if names else ""
    told = grouping_line(dataset.grouping, names)
    return {
        "cases": f"{len(looks)}{published} can be used{shown}",
        "patients": told.replace(" patients", "", 1) or f"{len(names)}, one a case",
        "channels": f"{len(dataset.channels)}: {printable(', '.join(dataset.channels))}",
        "classes": ", ".join(
            f"{label} {printable(name)} ({sum(look.present[label] for look in found)} cases)"
            for label, name in enumerate(dataset.classes)
        )
        + (f", {len(dataset.classes)} ignore" if dataset.has_ignore else ""),
        "regions": _regions(dataset),
        "spacing": _range([look.spacing_mm for look in found], "{:.4g}", "mm"),
        "size": _range([look.shape for look in found], "{:.0f}", "voxels"),
        "splits": _splits(sound),
    }


def _regions(dataset: Dataset) -> str:
    """The regions that are scored, and those that networks predict if a grid asks for regions."""
    regions = (*official_regions(dataset.name), *dataset.regions)
    if not regions:
        return "none besides the classes"
    names = ", ".join(f"{region.name} ({'+'.join(map(str, region.labels))})" for region in regions)
    try:
        predicted = ", ".join(region.name for region in target_regions(dataset, REGIONS))
    except ValueError as error:
        return f"{printable(names)}; no network can predict them: {error}"
    return printable(f"{names}; with targets='regions' networks predict {predicted}")


def _range(values: Sequence[Sequence[float]], form: str, unit: str) -> str:
    """The smallest and the largest of each axis (D, H, W)."""
    if not values:
        return "unknown"
    low, high = np.min(values, axis=0), np.max(values, axis=0)
    texts = [" x ".join(form.format(edge) for edge in edges) for edges in (low, high)]
    if texts[0] == texts[1]:
        return f"{texts[0]} {unit} (D x H x W) in every case"
    return f"{texts[0]} to {texts[1]} {unit} (D x H x W, each axis by itself)"


def _splits(dataset: Dataset) -> str:
    """The default split: how its only fold is made, or the parts of every fold."""
    scheme = default_scheme(dataset)
    told = [_fold(dataset, scheme, fold) for fold in range(num_folds(dataset, scheme))]
    if len(told) == 1:
        return f"{scheme}, fold 0: {told[0]}; {explain(dataset, scheme, 0)}"
    parts = "; ".join(f"fold {fold}: {text}" for fold, text in enumerate(told))
    if len(set(told)) == 1:
        parts = f"{told[0]} in each"
    made = f"; {explain(dataset, scheme, 0)}" if scheme == OWN else ""
    return f"{scheme}, {len(told)} folds, {parts}{made}"


def _fold(dataset: Dataset, scheme: str, fold: int) -> str:
    """The sizes of a fold's parts, or why there is no such fold."""
    try:
        split = split_cases(dataset, scheme, fold)
    except ValueError as error:
        return str(error)
    excluded = f", {len(split.excluded)} excluded" if split.excluded else ""
    return sizes(dataset, split) + excluded
