"""Every fault of one case, found by reading both its files to their ends; and what is no fault but
worth a look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import DATASETS, Case, Dataset, is_ct
from trials.data.nifti.header import Header, channel_header, read_header
from trials.data.nifti.opening import FETCH
from trials.data.nifti.volume import grid_fault
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
# Raw values of 12 bits lie 1024 above HU: bone reaches this, and nothing is below 0.
RAW_CT = 2000.0
# What a mask's grid is compared with, and how to fix it.
OF_AN_IMAGE = ("image", "fetch the case again, or write the mask on its image's grid")
# The same for the further channels of an image.
OF_A_CHANNEL = ("first channel", "resample it onto the first channel's grid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Every fault and warning of a case, and the fingerprints of the voxels of its image (first
    channel) and of its mask; "" where they cannot be read, and of a mask without foreground.
    """

    faults: tuple[Fault, ...]
    voxels: str = ""
    mask: str = ""


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


def examine_case(rules: Rules, case: Case) -> Examined:
    """Read all files of a case to their ends; the image's faults come before the mask's. Nothing is
    raised.
    """
    channels = [_examine_channel(rules, case, number) for number in range(len(rules.channels))]
    image = channels[0].header
    labels, mask, label_faults = _examine_labels(rules, case)
    paths = [_file_of(case, number) for number in range(len(channels))]
    voxels = [channel.met.voxels for channel in channels]
    twins = twin_channels(rules, case.case, paths, voxels)
    faults = [*_channel_faults(case.case, channels), *twins, *label_faults]
    if image and labels and (fault := grid_fault(image, labels, *OF_AN_IMAGE)):
        faults.append(fault.of_case(case.case))
    # The channels of one file share its faults.
    return Examined(faults=tuple(dict.fromkeys(faults)), voxels=voxels[0], mask=mask)


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
    if header.dtype.kind in "iu" and met.low >= 0 and met.high < rules.labels.num_labels:
        text = f"holds whole numbers from {met.low:g} to {met.high:g} alone, as a mask does"
        notes.append(_note(case, header.path, "mask", text, "look whether it is an image"))
    if is_ct(rules.channels[channel]) and (text := _why_not_hu(rules, header, met)):
        notes.append(_note(case, header.path, "intensity", text, "look whether it is in HU"))
    return notes


def twin_channels(
    rules: Rules, case: str, paths: Sequence[Path], voxels: Sequence[str]
) -> list[Fault]:
    """A note for each channel of an image that has the voxels of one before it; paths are their
    files, voxels their fingerprints, "" where they cannot be read.
    """
    first: dict[str, int] = {}
    notes = []
    for number, (path, of_channel) in enumerate(zip(paths, voxels, strict=True)):
        before = first.setdefault(of_channel, number)
        if of_channel and before != number:
            one, other = rules.channels[before], rules.channels[number]
            text = f"channel {number}, {other}, has the voxels of channel {before}, {one}"
            fix = "look whether a file was copied"
            notes.append(_note(case, path, "twin_channel", text, fix))
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


@dataclass(slots=True)
class _Channel:
    """What was found of a channel; header is None if it is invalid."""

    header: Header | None = None
    met: StreamStats = field(default_factory=StreamStats)
    faults: list[Fault] = field(default_factory=list)


def _channel_faults(case: str, channels: Sequence[_Channel]) -> list[Fault]:
    """The faults of all channels, and of those that do not lie on the first one's grid."""
    faults = [fault for channel in channels for fault in channel.faults]
    first = channels[0].header
    for channel in channels[1:]:
        if first and channel.header:
            fault = grid_fault(first, channel.header, *OF_A_CHANNEL)
            faults += [fault.of_case(case)] if fault else []
    return faults


def _examine_channel(rules: Rules, case: Case, number: int) -> _Channel:
    channel = _Channel()
    try:
        channel.header = _channel_header(case, number, len(rules.channels))
        for _ in stored_slabs(channel.header, channel.met):
            pass
        check_varies(channel.header, channel.met)
        channel.faults = image_notes(rules, case.case, channel.header, channel.met, number)
    except (ValueError, OSError) as error:
        channel.faults = [fault_of(error, case.case)]
    return channel


def _examine_labels(rules: Rules, case: Case) -> tuple[Header | None, str, list[Fault]]:
    """The header of a mask, None if it is invalid, its fingerprint and its faults."""
    header = None
    try:
        header = _header(case.labels)
        num_labels = rules.labels.num_labels
        met, voxels = StreamStats(), np.zeros(num_labels, np.int64)
        for slab in label_slabs(header, num_labels, met):
            voxels += count_labels(slab, num_labels)
        class_voxels = voxels[: len(rules.classes)]
        notes = label_notes(rules, case.case, header, met, class_voxels)
        return header, met.voxels if class_voxels[1:].any() else "", notes
    except (ValueError, OSError) as error:
        return header, "", [fault_of(error, case.case)]


def _header(path: Path) -> Header:
    if why := why_no_file(path):
        raise FileFault(path, "missing", why, FETCH)
    return read_header(path)


def _file_of(case: Case, channel: int) -> Path:
    """The file of a channel; the last one where a file is missing."""
    return case.images[min(channel, len(case.images) - 1)]


def _channel_header(case: Case, channel: int, channels: int) -> Header:
    path = _file_of(case, channel)
    if why := why_no_file(path):
        raise FileFault(path, "missing", why, FETCH)
    return channel_header(case.images, channel, channels)


def _file_notes(case: str, header: Header, met: StreamStats) -> list[Fault]:
    notes = [remark.of_case(case) for remark in header.geometry.remarks]
    if met.trailing_bytes:
        text = f"{met.trailing_bytes} bytes follow the voxels and are ignored"
        notes.append(_note(case, header.path, "trailing", text, "write it again"))
    if header.extra_axes:
        number = "an axis" if header.extra_axes == 1 else f"{header.extra_axes} axes"
        text = f"has {number} of length 1 beyond those of its volume, dropped"
        notes.append(_note(case, header.path, "extra_axes", text, "nothing needs to be done"))
    ratio = header.plane_bytes * header.shape[2] / header.data.path.stat().st_size
    if ratio > UNUSUAL_RATIO:
        text = f"unpacks to {ratio:.0f} times its size"
        notes.append(
            _note(case, header.path, "ratio", text, "look whether it holds what it should")
        )
    return notes


def _why_not_hu(rules: Rules, header: Header, met: StreamStats) -> str:
    """Why the values of a CT are probably not in HU; "" if they may be."""
    span = f"values run from {met.low:g} to {met.high:g}"
    if rules.intensity is None:
        is_raw = met.low >= 0 and met.high >= RAW_CT
        return f"{span}; a CT in HU holds air, near -1000" if is_raw else ""
    low, high = rules.intensity
    if met.low <= low and met.high >= high:
        return ""
    return f"{span}; a CT in HU passes {low:g} and {high:g} ({_histogram(header)})"


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
