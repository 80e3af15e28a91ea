"""The voxels of a NIfTI file as a stream of planes, so that no case is ever held whole.

A gzip stream is read to its end, where its checksum lies.
"""

import io
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trials.data.faults import FileFault
from trials.data.header import Header
from trials.data.header import read_header as read_header
from trials.data.opening import FETCH, opened

# What may follow the voxels before the file counts as a bomb.
MAX_TRAILING = 2**20
PIECE = 2**16
MAX_INTENSITY = 1e30
LABEL_TOLERANCE = 1e-3


@dataclass(slots=True)
class Met:
    """What a stream turned out to hold, filled in while its planes are read.

    low and high are values (HU for a CT), rounded the largest distance of a label from its integer.
    """

    low: float = math.inf
    high: float = -math.inf
    trailing_bytes: int = 0
    rounded: float = 0.0


def stored_planes(header: Header, met: Met | None = None) -> Iterator[np.ndarray]:
    """Yield the planes of the last file axis as stored, [axis 1, axis 0] each, read-only; scaled() gives their values.

    The stream is read to its end, where its checksum lies. Raises FileFault for voxels that are no finite numbers, telling
    how many and the first, and for a stream that is cut, altered or goes on for long.
    """
    met = met if met is not None else Met()
    columns, rows, planes = header.shape
    size = columns * rows * header.dtype.itemsize
    bad = _BadVoxels()
    with opened(header.path) as file:
        _skip(file, header.offset)
        for index in range(planes):
            piece = _piece(header, file, size, index)
            plane = np.frombuffer(piece, header.dtype).reshape(rows, columns)
            low, high = plane.min(), plane.max()
            if not (low >= -MAX_INTENSITY and high <= MAX_INTENSITY):
                bad.add(plane, index)
            if bad.count:
                continue
            _widen(met, header, float(low), float(high))
            yield plane
        met.trailing_bytes = _to_the_end(header, file)
    if bad.count:
        text = f"{bad.count} voxels are NaN, infinite or beyond {MAX_INTENSITY:g} (first: {bad.value} at index {bad.index})"
        raise FileFault(header.path, "not_finite", text, "correct the file")


def scaled(header: Header, stored: np.ndarray) -> np.ndarray:
    """Turn stored numbers into values (HU for a CT), float32."""
    if (header.slope, header.inter) == (1, 0):
        return stored.astype(np.float32)
    with np.errstate(over="ignore"):
        return (stored * header.slope + header.inter).astype(np.float32)


def label_planes(header: Header, num_classes: int, met: Met | None = None) -> Iterator[np.ndarray]:
    """Yield the planes as class indices, uint8 [axis 1, axis 0].

    Scaled and floating labels pass if they lie within 0.001 of an integer. Raises FileFault for one that does not, and for
    any label outside 0..num_classes - 1, with the voxels of each.
    """
    met = met if met is not None else Met()
    strangers: Counter[str] = Counter()
    for plane in stored_planes(header, met):
        if header.dtype.kind == "f" or (header.slope, header.inter) != (1, 0):
            values = plane * header.slope + header.inter
            plane = np.rint(values)
            met.rounded = max(met.rounded, float(np.abs(values - plane).max()))
            if met.rounded > LABEL_TOLERANCE:
                value = values.flat[np.abs(values - plane).argmax()]
                text = f"labels must be integers; got {value:g} ({met.rounded:.2g} off)"
                raise FileFault(header.path, "labels", text, "correct the mask; was it resampled?")
        if plane.min() < 0 or plane.max() >= num_classes:
            found, voxels = np.unique(plane[(plane < 0) | (plane >= num_classes)], return_counts=True)
            strangers.update(dict(zip((f"{label:g}" for label in found), voxels.tolist(), strict=True)))
        if not strangers:
            yield plane.astype(np.uint8, copy=False)
    if strangers:
        told = ", ".join(f"{label} ({voxels} voxels)" for label, voxels in strangers.most_common(5))
        raise FileFault(header.path, "labels", f"labels must lie in 0..{num_classes - 1}; got {told}", "correct the mask")


def count_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Voxels of each class, int64 [K], of an array of class indices."""
    if not labels.any():
        return np.eye(1, num_classes, dtype=np.int64)[0] * labels.size
    return np.bincount(labels.ravel(), minlength=num_classes)


@dataclass(slots=True)
class _BadVoxels:
    """Voxels that are no finite numbers: how many, the first and its index in file axes."""

    count: int = 0
    value: float = 0.0
    index: tuple[int, ...] = ()

    def add(self, plane: np.ndarray, index: int) -> None:
        is_bad = ~(np.abs(plane) <= MAX_INTENSITY)
        if not self.count:
            row, column = (int(axis[0]) for axis in np.nonzero(is_bad))
            self.value, self.index = float(plane[row, column]), (column, row, index)
        self.count += int(is_bad.sum())


def _widen(met: Met, header: Header, low: float, high: float) -> None:
    ends = (low * header.slope + header.inter, high * header.slope + header.inter)
    met.low, met.high = min(met.low, *ends), max(met.high, *ends)


def _skip(file: io.BufferedIOBase, count: int) -> None:
    while count > 0 and (piece := file.read(min(count, PIECE))):
        count -= len(piece)


def _piece(header: Header, file: io.BufferedIOBase, size: int, index: int) -> bytes:
    """The bytes of one plane. Raises FileFault where the stream ends before."""
    try:
        piece = file.read(size)
    except EOFError:
        piece = b""
    if len(piece) < size:
        total = header.offset + size * header.shape[2]
        at = header.offset + size * index + len(piece)
        text = f"ends early, in plane {index} of {header.shape[2]}, at about {at} of {total} bytes"
        raise FileFault(header.path, "cut", text, FETCH)
    return piece


def _to_the_end(header: Header, file: io.BufferedIOBase) -> int:
    """Read what follows the voxels, so that the checksum is tested; the number of bytes. Raises FileFault for too many."""
    trailing = 0
    while piece := file.read(PIECE):
        trailing += len(piece)
        if trailing > MAX_TRAILING:
            text = f"goes on for more than {MAX_TRAILING} bytes beyond what its header claims"
            raise FileFault(header.path, "bomb", text, "fetch it again; do not unpack it")
    return trailing
