"""Every fault of one case, found by reading both its files to their ends; and what is no fault but
worth a look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import DATASETS, Case, Dataset, is_ct
from trials.data.nifti.header import Header, channel_header, read_header
from trials.data.nifti.opening import FETCH
from trials.data.nifti.same_grid import grid_fault
from trials.data.nifti.voxels import (
    StreamStats,
    apply_scaling,
    count_labels,
    label_slabs,
    stored_slabs,
)
from trials.records.faults import WARNING, Fault, FileFault, fault_of, why_no_file

# Real masks reach a ratio of 216; beyond this a stream is worth a look.
UNUSUAL_RATIO = 300
# What a mask's grid is compared with, and how to fix it.
OF_AN_IMAGE = ("image", "fetch the case again, or write the mask on its image's grid")
# The same for the further channels of an image.
OF_A_CHANNEL = ("first channel", "resample it onto the first channel's grid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a data set's entry says of its cases.

    channels are the names of every image's channels; has_ignore is as in LabelSet. intensity (low,
    high): a CT that does not reach below and above is probably not in HU; None knows no unit.
    within maps a class to the class it grows in.
    """

    classes: tuple[str, ...]
    channels: tuple[str, ...] = ("CT",)
    has_ignore: bool = False
    intensity: tuple[float, float] | None = None
    within: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> LabelSet:
        """What the labels of the masks mean."""
        return LabelSet(classes=self.classes, has_ignore=self.has_ignore)


def rules_of(dataset: Dataset) -> Rules:
    """The rules for the cases of a data set; one that is not registered knows its labels and
    channels alone.
    """
    return rules_for(dataset.name, dataset.labels, dataset.channels)


def rules_for(name: str, labels: LabelSet, channels: tuple[str, ...]) -> Rules:
    """The same by the name of a data set, its labels and its channels."""
    rules = Rules(classes=labels.classes, has_ignore=labels.has_ignore, channels=channels)
    part = DATASETS.get(name)
    return replace(rules, intensity=part.intensity, within=part.within) if part else rules


def examine_case(rules: Rules, case: Case) -> tuple[Fault, ...]:
    """Every fault and warning of a case, the image's before the mask's. Nothing is raised."""
    image, image_faults = _examine_images(rules, case)
    labels, label_faults = _examine_labels(rules, case)
    faults = [*image_faults, *label_faults]
    if image and labels and (fault := grid_fault(image, labels, *OF_AN_IMAGE)):
        faults.append(fault.of_case(case.case))
    # The channels of one file share its faults.
    return tuple(dict.fromkeys(faults))


def check_varies(image: Header, met: StreamStats) -> None:
    """Raise FileFault for an image of one value: it cannot be normalised."""
    if met.low == met.high:
        text = f"is constant: every voxel is {met.low:g}"
        raise FileFault(image.path, "constant", text, "fetch or export it again")


def image_notes(
    rules: Rules, case: str, header: Header, met: StreamStats, channel: int = 0
) -> list[Fault]:
    """What is worth a look in a channel of an image that can be used."""
    notes = _file_notes(case, header, met)
    is_hu = rules.intensity and is_ct(rules.channels[channel])
    if (
        rules.intensity
        and is_hu
        and not (met.low <= rules.intensity[0] and met.high >= rules.intensity[1])
    ):
        low, high = rules.intensity
        text = (
            f"values run from {met.low:g} to {met.high:g}; a CT in HU passes {low:g} and "
            f"{high:g} ({_histogram(header)})"
        )
        notes.append(_note(case, header.path, "intensity", text, "look whether it is in HU"))
    return notes


def label_notes(
    rules: Rules, case: str, header: Header, met: StreamStats, class_voxels: np.ndarray
) -> list[Fault]:
    """What is worth a look in a mask that can be used."""
    notes = _file_notes(case, header, met)
    if met.rounded:
        text = f"labels were up to {met.rounded:.2g} off an integer and are rounded"
        notes.append(
            _note(case, header.path, "label_rounding", text, "look whether it was resampled")
        )
    if not class_voxels.any():
        text = "marks every voxel as not annotated"
        notes.append(_note(case, header.path, "all_ignored", text, "look whether it is finished"))
    elif not class_voxels[1:].any():
        notes.append(
            _note(
                case,
                header.path,
                "empty_mask",
                "marks nothing but background",
                "look whether it is finished",
            )
        )
    present = {name for name, voxels in zip(rules.classes, class_voxels, strict=True) if voxels}
    for inner, outer in rules.within.items():
        if inner in present and outer in rules.classes and outer not in present:
            text = f"marks {inner} but no {outer}, in which it grows"
            notes.append(
                _note(case, header.path, "lesion_alone", text, "look whether a label is missing")
            )
    return notes


def _examine_images(rules: Rules, case: Case) -> tuple[Header | None, list[Fault]]:
    """The header of the first channel, None if it is invalid, and the faults of all channels."""
    found = [_examine_channel(rules, case, channel) for channel in range(len(rules.channels))]
    first = found[0][0]
    faults = [fault for _, faults in found for fault in faults]
    for header, _ in found[1:]:
        if first and header and (fault := grid_fault(first, header, *OF_A_CHANNEL)):
            faults.append(fault.of_case(case.case))
    return first, faults


def _examine_channel(rules: Rules, case: Case, channel: int) -> tuple[Header | None, list[Fault]]:
    header = None
    try:
        header = _channel_header(case, channel, len(rules.channels))
        met = StreamStats()
        for _ in stored_slabs(header, met):
            pass
        check_varies(header, met)
        return header, image_notes(rules, case.case, header, met, channel)
    except (ValueError, OSError) as error:
        return header, [fault_of(error, case.case)]


def _examine_labels(rules: Rules, case: Case) -> tuple[Header | None, list[Fault]]:
    header = None
    try:
        header = _header(case.labels)
        num_labels = rules.labels.num_labels
        met, voxels = StreamStats(), np.zeros(num_labels, np.int64)
        for slab in label_slabs(header, num_labels, met):
            voxels += count_labels(slab, num_labels)
        class_voxels = voxels[: len(rules.classes)]
        return header, label_notes(rules, case.case, header, met, class_voxels)
    except (ValueError, OSError) as error:
        return header, [fault_of(error, case.case)]


def _header(path: Path) -> Header:
    if why := why_no_file(path):
        raise FileFault(path, "missing", why, FETCH)
    return read_header(path)


def _channel_header(case: Case, channel: int, channels: int) -> Header:
    path = case.images[min(channel, len(case.images) - 1)]
    if why := why_no_file(path):
        raise FileFault(path, "missing", why, FETCH)
    return channel_header(case.images, channel, channels)


def _file_notes(case: str, header: Header, met: StreamStats) -> list[Fault]:
    notes = [remark.of_case(case) for remark in header.geometry.remarks]
    if met.trailing_bytes:
        text = f"{met.trailing_bytes} bytes follow the voxels and are ignored"
        notes.append(_note(case, header.path, "trailing", text, "write it again"))
    if header.extra_axes:
        text = (
            f"has {header.extra_axes + 3} axes; those beyond the third have length 1 and are "
            "dropped"
        )
        notes.append(_note(case, header.path, "extra_axes", text, "nothing needs to be done"))
    ratio = header.plane_bytes * header.shape[2] / header.data.path.stat().st_size
    if ratio > UNUSUAL_RATIO:
        text = f"unpacks to {ratio:.0f} times its size"
        notes.append(
            _note(case, header.path, "ratio", text, "look whether it holds what it should")
        )
    return notes


def _histogram(header: Header) -> str:
    """Where an image's values lie, as shares of its voxels between some marks in HU."""
    marks = np.array([-np.inf, -200, 0, 100, 1000, np.inf])
    counts = sum(
        np.histogram(apply_scaling(header, slab), marks)[0] for slab in stored_slabs(header)
    )
    shares = counts / np.sum(counts)
    names = ("below -200", "-200..0", "0..100", "100..1000", "above 1000")
    return ", ".join(
        f"{name}: {share:.0%}" for name, share in zip(names, shares, strict=True) if share
    )


def _note(case: str, path: Path, code: str, message: str, fix: str) -> Fault:
    return Fault(case=case, file=str(path), code=code, message=message, fix=fix, level=WARNING)
