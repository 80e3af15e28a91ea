"""Streams the voxels of a file in slabs of a few planes, so that no whole case is in memory.

A compressed stream is read to its end, where its checksum is.
"""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import xxhash

from trials.data.nifti.header import Header
from trials.data.nifti.header import read_header as read_header
from trials.data.nifti.opening import FETCH, DigestingFile, open_voxels
from trials.records.faults import FileFault

# Bytes allowed after the voxels before the file counts as a decompression bomb.
MAX_TRAILING = 2**20
CHUNK_BYTES = 2**16
MAX_INTENSITY = 1e30
LABEL_TOLERANCE = 1e-3
# Small enough for the CPU's cache, and large enough that the cost per call is negligible.
SLAB_VOXELS = 2**17


@dataclass(slots=True)
class StreamStats:
    """Statistics of a stream, filled in while its planes are read.

    low and high are values (HU for a CT), rounded the largest distance of a label from its integer,
    digest the fingerprint of the file as it was read, voxels that of the numbers it stores: a copy
    that was packed again, or has another header, has it too.
    """

    low: float = math.inf
    high: float = -math.inf
    trailing_bytes: int = 0
    rounded: float = 0.0
    digest: str = ""
    voxels: str = ""


def stored_slabs(header: Header, stats: StreamStats | None = None) -> Iterator[np.ndarray]:
    """Yield planes of the last file axis as stored, [n, axis 1, axis 0] at a time, read-only;
    apply_scaling() gives their values.

    Files of equal shape give equal slabs. The stream is read to its end, where its
    checksum is. Raises FileFault for voxels that are not finite, with their number and the first,
    and for a stream that is truncated, altered or too long.
    """
    for slab, _, _ in _ranged_slabs(header, stats if stats is not None else StreamStats()):
        yield slab


def with_planes(slabs: Iterable[np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield each slab of a stream with its slice of planes in the file."""
    first = 0
    for slab in slabs:
        yield slice(first, first + len(slab)), slab
        first += len(slab)


def apply_scaling(header: Header, stored: np.ndarray) -> np.ndarray:
    """Convert stored numbers to values (HU for a CT), float32."""
    if (header.slope, header.inter) == (1, 0):
        return stored.astype(np.float32)
    with np.errstate(over="ignore"):
        return (stored * header.slope + header.inter).astype(np.float32)


def label_slabs(
    header: Header, num_classes: int, stats: StreamStats | None = None
) -> Iterator[np.ndarray]:
    """Yield planes as class indices, uint8 [n, axis 1, axis 0] at a time.

    Scaled and floating-point labels must be within 0.001 of an integer. Raises FileFault otherwise,
    and for labels outside 0..num_classes - 1, with the voxels of each.
    """
    stats = stats if stats is not None else StreamStats()
    bad_labels: Counter[str] = Counter()
    needs_rounding = header.dtype.kind == "f" or (header.slope, header.inter) != (1, 0)
    for slab, low, high in _ranged_slabs(header, stats):
        if needs_rounding:
            slab = _rounded(header, slab, stats)
        if round(low) < 0 or round(high) >= num_classes:
            found, voxels = np.unique(slab[(slab < 0) | (slab >= num_classes)], return_counts=True)
            bad_labels.update(
                dict(zip((f"{label:g}" for label in found), voxels.tolist(), strict=True))
            )
        if not bad_labels:
            yield slab.astype(np.uint8, copy=False)
    if bad_labels:
        listed = ", ".join(
            f"{label} ({voxels} voxels)" for label, voxels in bad_labels.most_common(5)
        )
        raise FileFault(
            header.path,
            "labels",
            f"labels must lie in 0..{num_classes - 1}; got {listed}",
            "correct the mask",
        )


def count_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Voxels of each class, int64 [K], of an array of class indices below num_classes."""
    counts = np.zeros(num_classes, np.int64)
    for label in range(1, int(labels.max(initial=0)) + 1):
        counts[label] = np.count_nonzero(labels == label)
    counts[0] = labels.size - counts.sum()
    return counts


def _ranged_slabs(header: Header, stats: StreamStats) -> Iterator[tuple[np.ndarray, float, float]]:
    """The slabs of stored_slabs(), each with its lowest and its highest value, scaled."""
    planes, is_unsigned = header.shape[2], header.dtype.kind == "u"
    bad, stored_sum = _BadVoxels(), xxhash.xxh3_128()
    with open_voxels(header.data) as (file, source):
        _skip(file, header.offset)
        for first in range(0, planes, step := _planes_of_slab(header)):
            slab = _slab(header, file, min(step, planes - first))
            stored_sum.update(np.ascontiguousarray(slab).data)
            high = slab.max()
            # For most slabs of a mask this saves the second pass.
            stored = high if is_unsigned and not high else slab.min(), high
            if not (stored[0] >= -MAX_INTENSITY and stored[1] <= MAX_INTENSITY):
                bad.add(slab, first)
            if bad.count:
                continue
            lowest, highest = sorted(float(end) * header.slope + header.inter for end in stored)
            stats.low, stats.high = min(stats.low, lowest), max(stats.high, highest)
            yield slab, lowest, highest
        stats.trailing_bytes = _to_the_end(header, file, source)
        stats.digest, stats.voxels = source.digest(), stored_sum.hexdigest()
    if bad.count:
        text = (
            f"{bad.count} voxels are NaN, infinite or beyond {MAX_INTENSITY:g} (first: "
            f"{bad.value} at index {bad.index})"
        )
        raise FileFault(header.path, "not_finite", text, "correct the file")


def _rounded(header: Header, slab: np.ndarray, stats: StreamStats) -> np.ndarray:
    """Labels rounded to integers. Raises FileFault for a label too far from any integer."""
    values = slab * header.slope + header.inter
    labels = np.rint(values)
    stats.rounded = max(stats.rounded, float(np.abs(values - labels).max()))
    if stats.rounded > LABEL_TOLERANCE:
        value = values.flat[np.abs(values - labels).argmax()]
        text = f"labels must be integers; got {value:g} ({stats.rounded:.2g} off)"
        fix = "correct the mask; was it resampled?"
        if (header.slope, header.inter) != (1, 0):
            fix = f"store it without scl_slope {header.slope:g} and scl_inter {header.inter:g}"
        raise FileFault(header.path, "labels", text, fix)
    return labels


@dataclass(slots=True)
class _BadVoxels:
    """Voxels that are not finite: their number, the first and its index in file axes."""

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
    return max(1, SLAB_VOXELS // (header.shape[0] * header.shape[1]))


def _skip(file: io.BufferedIOBase, count: int) -> None:
    while count > 0 and (piece := file.read(min(count, CHUNK_BYTES))):
        count -= len(piece)


def _slab(header: Header, file: io.BufferedIOBase, count: int) -> np.ndarray:
    """The next `count` planes of a file. Raises FileFault if the stream ends early."""
    columns, rows, planes = header.shape
    size = header.plane_bytes
    try:
        piece = file.read(size * count)
    except EOFError:
        piece = b""
    if len(piece) < size * count:
        start = 0 if header.data.encoding else header.data.start
        reached, total = file.tell() - start, header.offset + size * planes
        plane = max(0, reached - header.offset) // size
        text = f"ends early, in plane {plane} of {planes}, at about {reached} of {total} bytes"
        raise FileFault(header.path, "cut", text, FETCH)
    numbers = np.frombuffer(piece, header.dtype)
    return numbers[header.channel :: header.num_interleaved].reshape(count, rows, columns)


def _to_the_end(header: Header, file: io.BufferedIOBase, source: DigestingFile) -> int:
    """Read to the end, so that the checksum is verified, and return the number of bytes, with those
    behind a compressed stream. Raises FileFault for too many.
    """
    trailing = -header.following
    while piece := file.read(CHUNK_BYTES):
        trailing += len(piece)
        if trailing > MAX_TRAILING:
            text = f"continues for more than {MAX_TRAILING} bytes beyond what its header claims"
            raise FileFault(header.path, "bomb", text, "fetch it again; do not unpack it")
    if trailing < 0:
        text = f"ends early: {-trailing} bytes of its last channels are missing"
        raise FileFault(header.path, "cut", text, FETCH)
    if header.is_exact and trailing:
        text = f"vox_offset is 0 and {trailing} bytes are left, so nothing says where voxels start"
        raise FileFault(header.path, "offset", text, "write the file again")
    return trailing + source.left_over
