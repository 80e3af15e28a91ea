"""One case from its two files to an image and labels at one spacing, with what drawing patches and
scaling intensities need to know of it: some voxels of each class, so that a patch around one is
drawn without a search. It writes nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import Case, is_ct
from trials.data.nifti.header import Header
from trials.data.nifti.voxels import StreamStats, apply_scaling, count_labels, stored_slabs
from trials.data.prepared.case_checks import Rules, check_varies, label_notes
from trials.data.prepared.preprocess import (
    Moments,
    PreparedCase,
    channel_notes,
    joined,
    matching_headers,
)
from trials.data.spacing.intensities import STORED_PER_DEVIATION, Histogram
from trials.data.spacing.plan import native_grid, prepared_shape
from trials.data.spacing.resample import ToStored, resample_channel, resample_labels
from trials.records.faults import WARNING, Fault, FileFault
from trials.records.spec import Spacing


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacedChannel:
    """What was met in a channel's file, how its intensities were stored, and those of a CT's
    foreground.
    """

    met: StreamStats
    used: ToStored
    foreground: Histogram


# A CT is stored in whole HU: of values that are no whole numbers a smaller range would be lost.
SMALLEST_RANGE_HU = 20.0
# Takes an image and the digests of its files.
PutAside = Callable[[np.ndarray, tuple[str, ...]], None]


def prepare_spaced(
    case: Case, rules: Rules, preparation: Spacing, put_aside: PutAside | None = None
) -> PreparedCase:
    """Prepare one case at a spacing: a CT channel as int16 HU, any other as thousandths of the
    volume's own deviation from its mean. Raises FileFault, a ValueError.

    put_aside is given the image before the labels are made, and the case then holds none: the two
    never lie in memory together.
    """
    headers, label_header = matching_headers(case, rules)
    image: np.ndarray | None
    image, channels = spaced_image(headers, rules, preparation, label_header)
    size, met = image.shape[1:], [channel.met for channel in channels]
    digests = {header.path: one.digest for header, one in zip(headers, met, strict=True)}
    if put_aside is not None:
        put_aside(image, tuple(digests.values()))
        image = None
    label_met = StreamStats()
    labels, voxels = resample_labels(label_header, size, rules.labels.num_labels, label_met)
    class_voxels = voxels[: len(rules.classes)]
    notes = [
        *channel_notes(rules, case.case, headers, met),
        *cut_notes(case.case, headers, channels),
        *label_notes(rules, case.case, label_header, label_met, class_voxels),
    ]
    return PreparedCase(
        image=image,
        labels=labels,
        header=label_header,
        class_voxels=class_voxels,
        ignored_voxels=int(voxels.sum() - class_voxels.sum()),
        mean=tuple(channel.used.offset for channel in channels),
        sd=tuple(channel.used.sd for channel in channels),
        notes=tuple(notes),
        digests=(*digests.values(), label_met.digest),
        image_voxels=met[0].voxels,
        index=class_voxel_index(labels, len(rules.classes)),
        foreground=foreground_rows(channels),
    )


def cut_notes(
    case: str, headers: Sequence[Header], channels: Sequence[SpacedChannel]
) -> list[Fault]:
    """A note for each channel with intensities beyond those that int16 holds."""
    notes = []
    for header, channel in zip(headers, channels, strict=True):
        (low, high), met = channel.used.ends, channel.met
        if met.low < low or met.high > high:
            text = (
                f"values run from {met.low:g} to {met.high:g}; those beyond {low:g} and {high:g} "
                "are cut"
            )
            fix = "look whether they are an artefact"
            notes.append(FileFault(header.path, "cut", text, fix, WARNING).of_case(case))
    return notes


def foreground_rows(channels: Sequence[SpacedChannel]) -> np.ndarray:
    """The intensities of the foreground, int32 [n, 3]: a channel's number, a value and how often
    it occurs.
    """
    rows = [
        np.insert(channel.foreground.pairs(), 0, number, axis=1)
        for number, channel in enumerate(channels)
    ]
    return np.concatenate(rows)


def spaced_image(
    headers: Sequence[Header],
    rules: Rules,
    preparation: Spacing,
    label_header: Header | None = None,
) -> tuple[np.ndarray, list[SpacedChannel]]:
    """Prepare an image alone, as prepare_spaced does it: int16 [C, D, H, W], and what is known of
    each channel; without a mask nothing is foreground. Raises FileFault, a ValueError.
    """
    size = prepared_shape(preparation, native_grid(headers[0]))
    image = np.empty((len(headers), *size), np.int16)
    channels = [
        _prepare_channel(header, label_header, into, is_ct(name), rules.labels)
        for header, into, name in zip(headers, image, rules.channels, strict=True)
    ]
    return image, channels


def _prepare_channel(
    header: Header, label_header: Header | None, into: np.ndarray, is_hu: bool, names: LabelSet
) -> SpacedChannel:
    """Stream one channel into its array."""
    met, to_stored = StreamStats(), ToStored()
    if not is_hu:
        mean, sd = volume_statistics(header, met)
        check_varies(header, met)
        to_stored = ToStored(mean, sd, STORED_PER_DEVIATION)
    foreground = resample_channel(header, label_header, into, to_stored, names, met)
    check_varies(header, met)
    is_whole = header.dtype.kind in "iu" and all(
        number.is_integer() for number in (header.slope, header.inter)
    )
    if is_hu and not is_whole and met.high - met.low < SMALLEST_RANGE_HU:
        text = f"a CT is stored in whole HU, but its values run from {met.low:g} to {met.high:g}"
        fix = "store it in HU, or give its channel another name than CT"
        raise FileFault(header.path, "intensity", text, fix)
    return SpacedChannel(met=met, used=to_stored, foreground=foreground if is_hu else Histogram())


def volume_statistics(header: Header, met: StreamStats) -> tuple[float, float]:
    """Mean and standard deviation of all voxels of an image, read as a stream; deviation 0 if it is
    constant.
    """
    total = Moments()
    for stored in stored_slabs(header, met):
        voxels = apply_scaling(header, stored).astype(np.float64)
        mean = float(voxels.mean())
        part = Moments(count=voxels.size, mean=mean, squares=float(np.square(voxels - mean).sum()))
        total = joined(total, part)
    return total.mean, math.sqrt(total.squares / total.count)


MAX_VOXELS = 10_000


def class_voxel_index(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Up to 10,000 voxels of each class but the background, drawn without replacement: int16 [n, 3]
    of places (D, H, W), class after class.

    labels is uint8 [D, H, W]. The draw depends on the labels alone; kept_voxels() says how many
    each class has.
    """
    num_labels = max(num_classes, int(labels.max(initial=0)) + 1)
    # Plane by plane: a mask of all voxels would be as large as the labels.
    totals = sum(
        (count_labels(plane, num_labels) for plane in labels), np.zeros(num_labels, np.int64)
    )
    generator = np.random.default_rng(totals)
    return np.concatenate(
        [_drawn(labels, label, int(totals[label]), generator) for label in range(1, num_classes)]
    )


def kept_voxels(class_voxels: np.ndarray) -> np.ndarray:
    """How many voxels of each class an index holds, int64 [K], from the voxels that there are; none
    of the background.
    """
    kept = np.minimum(class_voxels, MAX_VOXELS)
    kept[0] = 0
    return kept


def _drawn(
    labels: np.ndarray, label: int, total: int, generator: np.random.Generator
) -> np.ndarray:
    """The places of some voxels of one class, plane by plane."""
    kept = min(total, MAX_VOXELS)
    wanted = np.sort(generator.choice(total, kept, replace=False)) if total else np.empty(0, int)
    found, passed = [np.empty((0, 3), np.int16)], 0
    for number, plane in enumerate(labels if total else ()):
        rows, columns = np.nonzero(plane == label)
        first, last = np.searchsorted(wanted, (passed, passed + len(rows)))
        at = wanted[first:last] - passed
        depth = np.full(len(at), number)
        found.append(np.stack([depth, rows[at], columns[at]], 1).astype(np.int16))
        passed += len(rows)
    return np.concatenate(found)
