"""An image and its mask resampled while both files stream past: memory is that of the
result and a few planes, whatever the size of the files.

Both are filtered linearly with half-pixel centres: between voxels where the grid becomes finer, and
by the tent as wide as the new voxel where it becomes coarser, so that noise is averaged and no
thin structure falls between samples. A mask is filtered a class at a time, and each voxel takes the
class with the largest share. All axes are treated alike: an axis of thick slices is interpolated
too, and its slices are not repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.nifti.header import Header
from trials.data.nifti.volume import Axes, file_axes, from_dhw, read_mask, to_dhw
from trials.data.nifti.voxels import (
    StreamStats,
    apply_scaling,
    count_labels,
    label_slabs,
    stored_slabs,
)
from trials.data.spacing.intensities import Histogram

Size = tuple[int, int, int]
# Planes that are written at a time: a run of them is a cache line of the result.
PLANES_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class ToStored:
    """How intensities become int16: (value - offset) / sd * steps, rounded and cut at int16's
    ends.
    """

    offset: float = 0.0
    sd: float = 1.0
    steps: float = 1.0

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest intensity that is not cut."""
        step = self.sd / self.steps
        return self.offset - 2**15 * step, self.offset + (2**15 - 1) * step

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Stored numbers, int16, of float32 values of any shape."""
        scaled = (values - np.float32(self.offset)) * np.float32(self.steps / self.sd)
        return np.rint(scaled.clip(-(2**15), 2**15 - 1)).astype(np.int16)


def linear_filter(source: int, target: int, flip: bool = False) -> np.ndarray:
    """The weights of linear resampling along one axis, float32 [target, source]; rows sum to one.

    flip reads the source backwards. Beyond the border the edge goes on. For target >= source it is
    torch's interpolate(align_corners=False), otherwise the same with antialias=True.
    """
    scale = source / target
    reach = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0, 1 - distance)
    weights /= weights.sum(1, keepdims=True)
    return (weights[:, ::-1] if flip else weights).astype(np.float32)


def resample_channel(
    header: Header,
    label_header: Header | None,
    into: np.ndarray,
    to_stored: ToStored,
    names: LabelSet,
    met: StreamStats,
) -> Histogram:
    """Stream a channel into an int16 array (D, H, W), and return the stored intensities where its
    mask, of the same grid, marks a class other than the background; none without a mask. met is
    filled in with what the stream held.
    """
    axes, foreground = file_axes(header.affine), Histogram()
    columns, rows, planes = _filters(header, axes, into.shape)
    values, out = Blend(planes), _PlaneWriter(into, axes)
    pairs = zip(
        _planes(stored_slabs(header, met)),
        _mask_planes(header, label_header, names.num_labels),
        strict=True,
    )
    for number, (stored, mask) in enumerate(pairs):
        plane = apply_scaling(header, stored)
        if mask.any():
            foreground.add(to_stored(plane[(mask > 0) & (mask < len(names.classes))]))
        values.add(number, rows @ plane @ columns.T)
        for target in values.complete_at(number):
            blended = values.take(target)
            assert blended is not None, "every plane of an image counts"
            out.put(target, to_stored(blended))
    out.flush()
    return foreground


def resample_labels(
    header: Header, size: Size, num_labels: int, met: StreamStats
) -> tuple[np.ndarray, np.ndarray]:
    """Stream a mask to a size: labels uint8 (D, H, W), and the voxels of each label in the file,
    int64 [num_labels]. met is filled in with what the stream held.
    """
    axes, voxels = file_axes(header.affine), np.zeros(num_labels, np.int64)
    labels = np.zeros(size, np.uint8)
    columns, rows, planes = _filters(header, axes, size)
    shares, out = [Blend(planes) for _ in range(num_labels - 1)], _PlaneWriter(labels, axes)
    for number, mask in enumerate(_planes(label_slabs(header, num_labels, met))):
        counts = count_labels(mask, num_labels)
        voxels += counts
        for label in np.flatnonzero(counts[1:]) + 1:
            shares[label - 1].add(number, _share(mask == label, rows, columns))
        for target in shares[0].complete_at(number):
            taken = [share.take(target) for share in shares]
            out.put(target, _most_likely(taken, (len(rows), len(columns))))
    out.flush()
    return labels, voxels


class Blend:
    """Weighted sums of the planes of a stream: weights [target, source], planes added in order."""

    def __init__(self, weights: np.ndarray):
        self.weights = weights
        used = weights > 0
        self.last = len(weights[0]) - 1 - used[:, ::-1].argmax(1)
        self.sums: dict[int, np.ndarray] = {}

    def complete_at(self, number: int) -> list[int]:
        """The targets whose last plane is that of this number."""
        return np.flatnonzero(self.last == number).tolist()

    def add(self, number: int, plane: np.ndarray) -> None:
        """Add a plane to the sums of all targets that it has a weight in."""
        for target in np.flatnonzero(self.weights[:, number]).tolist():
            part = plane * self.weights[target, number]
            if target in self.sums:
                self.sums[target] += part
            else:
                self.sums[target] = part

    def take(self, target: int) -> np.ndarray | None:
        """The sum of a target, which is forgotten; None where no plane was added."""
        return self.sums.pop(target, None)


@dataclass(slots=True)
class _PlaneWriter:
    """Writes planes [axis 1, axis 0] of the last file axis into an array (D, H, W), several at a
    time: single ones would touch every line of it.
    """

    array: np.ndarray
    axes: Axes
    waiting: dict[int, np.ndarray] = field(default_factory=dict)

    def put(self, target: int, plane: np.ndarray) -> None:
        self.waiting[target] = plane
        if len(self.waiting) == PLANES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            in_file = self.array.transpose(np.argsort(self.axes.order))
            numbers = sorted(self.waiting)
            stack = np.stack([self.waiting.pop(number) for number in numbers])
            in_file[:, :, numbers[0] : numbers[-1] + 1] = stack.T


def _filters(header: Header, axes: Axes, size: tuple[int, ...]) -> list[np.ndarray]:
    """The filter along each file axis; a reversed axis is read backwards, so that results lie in
    (D, H, W).
    """
    places = [axes.order.index(axis) for axis in range(3)]
    return [
        linear_filter(source, size[place], axes.flips[place])
        for source, place in zip(header.shape, places, strict=True)
    ]


def _planes(slabs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    return (plane for slab in slabs for plane in slab)


def _mask_planes(image: Header, labels: Header | None, num_labels: int) -> Iterator[np.ndarray]:
    """The planes of a mask in the order of its image's; one along other axes is read whole. No mask
    is a mask of background.
    """
    if labels is None:
        return repeat(np.zeros(image.shape[1::-1], np.uint8), image.shape[2])
    if file_axes(image.affine) == file_axes(labels.affine):
        return _planes(label_slabs(labels, num_labels))
    mask = read_mask(labels, num_labels)
    turned: np.ndarray = from_dhw(to_dhw(mask.voxels, mask.affine), image.affine).T
    return iter(turned)


def _share(is_class: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The share of a class in each voxel of a resized plane; only the box around it is computed."""
    at_rows, at_columns = (_extent(np.any(is_class, axis)) for axis in (1, 0))
    box = is_class[at_rows, at_columns].astype(np.float32)
    return rows[:, at_rows] @ box @ columns[:, at_columns].T


def _extent(held: Any) -> slice:
    numbers = np.flatnonzero(held)
    return slice(numbers[0], numbers[-1] + 1)


def _most_likely(shares: list[np.ndarray | None], plane_size: tuple[int, int]) -> np.ndarray:
    """The class with the largest share, uint8; the background has what is left, ties go to the
    lowest label.
    """
    labels, best = np.zeros(plane_size, np.uint8), np.ones(plane_size, np.float32)
    present = [(label, share) for label, share in enumerate(shares, 1) if share is not None]
    for _, share in present:
        best -= share
    for label, share in present:
        labels[share > best] = label
        np.maximum(best, share, out=best)
    return labels
