"""The voxels of a NIfTI file as a stream of slabs, a few planes each, so that no case is ever held
whole.

A gzip stream is read to its end, where its checksum lies.
"""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from trials.data.nifti.header import Header
from trials.data.nifti.header import read_header as read_header
from trials.data.nifti.opening import FETCH, opened
from trials.records.faults import FileFault

# What may follow the voxels before the file counts as a bomb.
MAX_TRAILING = 2**20
PIECE = 2**16
MAX_INTENSITY = 1e30
LABEL_TOLERANCE = 1e-3
# Of a slab: few enough to stay in a processor's cache, and enough to make little of the cost of
# each call.
SLAB_BYTES = 2**18


@dataclass(slots=True)
class StreamStats:
    """What a stream turned out to hold, filled in while its planes are read.

    low and high are values (HU for a CT), rounded the largest distance of a label from its integer,
    digest the fingerprint of the file as it was read.
    """

    low: float = math.inf
    high: float = -math.inf
    trailing_bytes: int = 0
    rounded: float = 0.0
    digest: str = ""


def stored_slabs(header: Header, met: StreamStats | None = None) -> Iterator[np.ndarray]:
    """Yield planes of the last file axis as stored, [n, axis 1, axis 0] at a time, read-only;
    scaled() gives their values.

    Files of one shape come in equal slabs. The stream is read to its end, where its checksum lies.
    Raises FileFault for voxels that are no finite numbers, telling how many and the first, and for
    a stream that is cut, altered or goes on for long.
    """
    for slab, _, _ in _ranged_slabs(header, met if met is not None else StreamStats()):
        yield slab


def placed(slabs: Iterable[np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
    """Each slab of a stream with the planes that it holds, counted from the file's first."""
    first = 0
    for slab in slabs:
        yield slice(first, first + len(slab)), slab
        first += len(slab)


def scaled(header: Header, stored: np.ndarray) -> np.ndarray:
    """Turn stored numbers into values (HU for a CT), float32."""
    if (header.slope, header.inter) == (1, 0):
        return stored.astype(np.float32)
    with np.errstate(over="ignore"):
        return (stored * header.slope + header.inter).astype(np.float32)


def label_slabs(
    header: Header, num_classes: int, met: StreamStats | None = None
) -> Iterator[np.ndarray]:
    """Yield planes as class indices, uint8 [n, axis 1, axis 0] at a time.

    Scaled and floating labels pass if they lie within 0.001 of an integer. Raises FileFault for one
    that does not, and for any label outside 0..num_classes - 1, with the voxels of each.
    """
    met = met if met is not None else StreamStats()
    strangers: Counter[str] = Counter()
    needs_rounding = header.dtype.kind == "f" or (header.slope, header.inter) != (1, 0)
    for slab, low, high in _ranged_slabs(header, met):
        if needs_rounding:
            slab = _rounded(header, slab, met)
        if round(low) < 0 or round(high) >= num_classes:
            found, voxels = np.unique(slab[(slab < 0) | (slab >= num_classes)], return_counts=True)
            strangers.update(
                dict(zip((f"{label:g}" for label in found), voxels.tolist(), strict=True))
            )
        if not strangers:
            yield slab.astype(np.uint8, copy=False)
    if strangers:
        told = ", ".join(f"{label} ({voxels} voxels)" for label, voxels in strangers.most_common(5))
        raise FileFault(
            header.path,
            "labels",
            f"labels must lie in 0..{num_classes - 1}; got {told}",
            "correct the mask",
        )


def count_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Voxels of each class, int64 [K], of an array of class indices below num_classes."""
    counts = np.zeros(num_classes, np.int64)
    for label in range(1, int(labels.max(initial=0)) + 1):
        counts[label] = np.count_nonzero(labels == label)
    counts[0] = labels.size - counts.sum()
    return counts


def _ranged_slabs(header: Header, met: StreamStats) -> Iterator[tuple[np.ndarray, float, float]]:
    """The slabs of stored_slabs(), each with its lowest and its highest value, scaled."""
    planes, is_unsigned = header.shape[2], header.dtype.kind == "u"
    bad = _BadVoxels()
    with opened(header.path) as (file, source):
        _skip(file, header.offset)
        for first in range(0, planes, step := _planes_of_slab(header)):
            slab = _slab(header, file, min(step, planes - first))
            high = slab.max()
            # Of most slabs of a mask this spares the second pass.
            stored = high if is_unsigned and not high else slab.min(), high
            if not (stored[0] >= -MAX_INTENSITY and stored[1] <= MAX_INTENSITY):
                bad.add(slab, first)
            if bad.count:
                continue
            lowest, highest = sorted(float(end) * header.slope + header.inter for end in stored)
            met.low, met.high = min(met.low, lowest), max(met.high, highest)
            yield slab, lowest, highest
        met.trailing_bytes = _to_the_end(header, file)
        met.digest = source.digest()
    if bad.count:
        text = (
            f"{bad.count} voxels are NaN, infinite or beyond {MAX_INTENSITY:g} (first: "
            f"{bad.value} at index {bad.index})"
        )
        raise FileFault(header.path, "not_finite", text, "correct the file")


def _rounded(header: Header, slab: np.ndarray, met: StreamStats) -> np.ndarray:
    """Labels as the integers next to them. Raises FileFault for one that is too far from any."""
    values = slab * header.slope + header.inter
    labels = np.rint(values)
    met.rounded = max(met.rounded, float(np.abs(values - labels).max()))
    if met.rounded > LABEL_TOLERANCE:
        value = values.flat[np.abs(values - labels).argmax()]
        text = f"labels must be integers; got {value:g} ({met.rounded:.2g} off)"
        raise FileFault(header.path, "labels", text, "correct the mask; was it resampled?")
    return labels


@dataclass(slots=True)
class _BadVoxels:
    """Voxels that are no finite numbers: how many, the first and its index in file axes."""

    count: int = 0
    value: float = 0.0
    index: tuple[int, ...] = ()

    def add(self, slab: np.ndarray, first: int) -> None:
        is_bad = ~(np.abs(slab) <= MAX_INTENSITY)
        if not self.count:
            plane, row, column = (int(axis[0]) for axis in np.nonzero(is_bad))
            self.value, self.index = float(slab[plane, row, column]), (column, row, first + plane)
        self.count += int(is_bad.sum())


def _planes_of_slab(header: Header) -> int:
    return max(1, SLAB_BYTES // (header.shape[0] * header.shape[1] * header.dtype.itemsize))


def _skip(file: io.BufferedIOBase, count: int) -> None:
    while count > 0 and (piece := file.read(min(count, PIECE))):
        count -= len(piece)


def _slab(header: Header, file: io.BufferedIOBase, count: int) -> np.ndarray:
    """The next planes of a file, count of them. Raises FileFault where the stream ends before."""
    columns, rows, planes = header.shape
    size = columns * rows * header.dtype.itemsize
    try:
        piece = file.read(size * count)
    except EOFError:
        piece = b""
    if len(piece) < size * count:
        reached, total = file.tell(), header.offset + size * planes
        plane = max(0, reached - header.offset) // size
        text = f"ends early, in plane {plane} of {planes}, at about {reached} of {total} bytes"
        raise FileFault(header.path, "cut", text, FETCH)
    return np.frombuffer(piece, header.dtype).reshape(count, rows, columns)


def _to_the_end(header: Header, file: io.BufferedIOBase) -> int:
    """Read what follows the voxels, so that the checksum is tested; the number of bytes. Raises
    FileFault for too many.
    """
    trailing = 0
    while piece := file.read(PIECE):
        trailing += len(piece)
        if trailing > MAX_TRAILING:
            text = f"goes on for more than {MAX_TRAILING} bytes beyond what its header claims"
            raise FileFault(header.path, "bomb", text, "fetch it again; do not unpack it")
    return trailing
