"""One case from its two files to prepared image and labels: checked, oriented, clipped, resampled,
normalised. It writes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import Case, is_ct
from trials.data.nifti.header import Header, read_header, read_headers
from trials.data.nifti.volume import check_same_grid, image_and_labels
from trials.data.nifti.voxels import StreamStats, apply_scaling
from trials.data.prepared.case_checks import (
    OF_A_CHANNEL,
    OF_AN_IMAGE,
    Rules,
    check_varies,
    image_notes,
    label_notes,
    twin_channels,
)
from trials.data.prepared.resample import image_cube, label_cube, laid_out
from trials.records.faults import Fault, FileFault
from trials.records.spec import Cube

# Interpolating a constant in float32 leaves deviations of about 1e-7 of it: not a signal to scale
# up.
CONSTANT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Mean and standard deviation in HU that a "train" preparation normalises by."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Number of voxels, their mean, and the sum of squared deviations from it; moments of parts can
    be joined.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCase:
    """image float16 [C, n, n, n] (int16 [C, D, H, W] at a spacing) and labels uint8 of the same
    size, both in (D, H, W); class_voxels [K] and ignored_voxels count the native
    mask.

    mean and sd are what each channel was normalised by. notes say what is worth a look in its
    files; digests are the fingerprints of the image's files and of the mask as they were read,
    image_voxels that of the voxels of the first channel.
    index and foreground, of a case at a spacing, are what class_voxel_index() gives, and int32 [n,
    3] of a CT channel, a value and how often its foreground holds it. image is None where it was
    put aside before the labels were made.
    """

    image: np.ndarray | None
    labels: np.ndarray
    header: Header
    class_voxels: np.ndarray
    ignored_voxels: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    notes: tuple[Fault, ...]
    digests: tuple[str, ...]
    image_voxels: str
    index: np.ndarray | None = None
    foreground: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedChannel:
    """One channel: its voxels float16 [n, n, n], what they were normalised by, and what was met in
    its file.
    """

    voxels: np.ndarray
    used: Statistics
    met: StreamStats


def prepare_case(
    case: Case,
    rules: Rules,
    preparation: Cube,
    statistics: Sequence[Statistics | None] = (),
) -> PreparedCase:
    """Prepare one case as a cube; a channel without statistics is normalised by the cube's own mean
    and deviation. Raises FileFault, a ValueError.
    """
    headers, label_header = matching_headers(case, rules)
    channels = prepare_image(headers, rules, preparation, statistics)
    label_met = StreamStats()
    label_voxels, label_counts = label_cube(
        label_header, preparation.edge, rules.labels.num_labels, label_met
    )
    class_voxels = label_counts[: len(rules.classes)]
    digests = {
        header.path: channel.met.digest for header, channel in zip(headers, channels, strict=True)
    }
    notes = [
        *channel_notes(rules, case.case, headers, [channel.met for channel in channels]),
        *label_notes(rules, case.case, label_header, label_met, class_voxels),
    ]
    return PreparedCase(
        image=np.stack([channel.voxels for channel in channels]),
        labels=laid_out(label_voxels, np.uint8),
        header=label_header,
        class_voxels=class_voxels,
        ignored_voxels=int(label_counts.sum() - class_voxels.sum()),
        mean=tuple(channel.used.mean for channel in channels),
        sd=tuple(channel.used.sd for channel in channels),
        notes=tuple(notes),
        digests=(*digests.values(), label_met.digest),
        image_voxels=channels[0].met.voxels,
    )


def prepare_image(
    headers: Sequence[Header],
    rules: Rules,
    preparation: Cube,
    statistics: Sequence[Statistics | None] = (),
) -> list[PreparedChannel]:
    """Prepare an image alone, as prepare_case does it. Raises FileFault, a ValueError."""
    return [
        prepare_channel(header, preparation, is_ct(name), given)
        for header, name, given in zip(
            headers, rules.channels, statistics or [None] * len(headers), strict=True
        )
    ]


def channel_notes(
    rules: Rules, case: str, headers: Sequence[Header], met: Sequence[StreamStats]
) -> list[Fault]:
    """What is worth a look in an image that can be used, by what was met in each channel; the
    channels of one file share its notes.
    """
    notes = [
        note
        for number, (header, of_channel) in enumerate(zip(headers, met, strict=True))
        for note in image_notes(rules, case, header, of_channel, number)
    ]
    paths = [header.path for header in headers]
    twins = twin_channels(rules, case, paths, [of_channel.voxels for of_channel in met])
    return list(dict.fromkeys([*notes, *twins]))


def prepare_channel(
    header: Header, preparation: Cube, is_hu: bool, statistics: Statistics | None
) -> PreparedChannel:
    """Stream one channel into its cube and normalise it; only one in HU is clipped."""
    met = StreamStats()
    clip_hu = preparation.clip_hu if is_hu else None
    raw_cube = image_cube(header, preparation.edge, clip_hu, met)
    check_varies(header, met)
    voxels, used = normalised(header.path, raw_cube, statistics)
    return PreparedChannel(voxels=voxels, used=used, met=met)


def matching_headers(case: Case, rules: Rules) -> tuple[tuple[Header, ...], Header]:
    """Headers of a case's channels and of its mask. Raises ValueError if they do not lie on one
    grid.
    """
    headers = image_headers(case.images, rules)
    return headers, check_same_grid(headers[0], read_header(case.labels), *OF_AN_IMAGE)


def image_headers(images: Sequence[Path], rules: Rules) -> tuple[Header, ...]:
    """Headers of an image's channels. Raises ValueError if they do not lie on one grid."""
    first, *others = read_headers(images, len(rules.channels))
    return (first, *(check_same_grid(first, other, *OF_A_CHANNEL) for other in others))


def normalised(
    path: Path, cube: np.ndarray, statistics: Statistics | None
) -> tuple[np.ndarray, Statistics]:
    """(cube - mean) / sd as float16, and the numbers used; a constant cube gives zeros and sd 0. sd
    divides by n.
    """
    used = statistics or _own_statistics(cube)
    with np.errstate(over="ignore", invalid="ignore"):
        image = cube - np.float32(used.mean)
        image *= np.float32(1 / used.sd if used.sd else 0)
    largest = np.finfo(np.float16).max
    if not (image.min() >= -largest and image.max() <= largest):
        raise FileFault(
            path,
            "intensity",
            "intensities leave float16 after normalisation",
            "set preparation.clip_hu",
        )
    return laid_out(image, np.float16), used


def _own_statistics(cube: np.ndarray) -> Statistics:
    mean = float(cube.mean(dtype=np.float64))
    squares = cube - np.float32(mean)
    with np.errstate(over="ignore"):
        sd = math.sqrt(float(np.square(squares, out=squares).mean(dtype=np.float64)))
    return Statistics(mean=mean, sd=0.0 if sd <= CONSTANT_TOLERANCE * abs(mean) else sd)


def foreground_moments(
    header: Header,
    label_header: Header,
    labels: LabelSet,
    clip_hu: tuple[float, float] | None = None,
) -> Moments:
    """Moments of a channel's native, clipped intensities (HU) where the mask marks a class other
    than the background; count 0 where it marks none.
    """
    total = Moments()
    for stored, mask in image_and_labels(header, label_header, labels.num_labels):
        is_foreground = (mask > 0) & (mask < len(labels.classes))
        if is_foreground.any():
            voxels = apply_scaling(header, stored[is_foreground]).astype(np.float64)
            if clip_hu is not None:
                voxels = voxels.clip(*clip_hu)
            mean = float(voxels.mean())
            part = Moments(
                count=voxels.size, mean=mean, squares=float(np.square(voxels - mean).sum())
            )
            total = joined(total, part)
    return total


def joined(a: Moments, b: Moments) -> Moments:
    """Moments of two parts taken together. Chan, Golub and LeVeque 1979, equation 2.1."""
    count = a.count + b.count
    if not count:
        return a
    gap = b.mean - a.mean
    mean = a.mean + gap * b.count / count
    return Moments(
        count=count,
        mean=mean,
        squares=a.squares + b.squares + gap * gap * a.count * b.count / count,
    )


def train_statistics(moments: Moments) -> Statistics:
    """Mean and deviation to normalise by, to six digits, so that the last bits of a sum do not make
    other data.
    """
    if not moments.count or not moments.squares > 0:
        raise ValueError(
            "normalise='train' needs foreground of varying intensity in the training cases; it has "
            "none"
        )
    sd = math.sqrt(moments.squares / moments.count)
    return Statistics(mean=float(f"{moments.mean:.6g}"), sd=float(f"{sd:.6g}"))
