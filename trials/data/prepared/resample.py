"""A NIfTI file resized to a cube while it streams past: image trilinear, labels nearest-exact, both
half-pixel aligned.

Linear interpolation is separable and needs two planes at a time, so memory is that of the cube and
one plane, whatever the size of the file. The grid is that of torch's
interpolate(align_corners=False), without antialiasing.
"""

from dataclasses import dataclass

import numpy as np

from trials.data.nifti.header import Header
from trials.data.nifti.volume import Axes, file_axes
from trials.data.nifti.voxels import (
    StreamStats,
    apply_scaling,
    count_labels,
    label_slabs,
    stored_slabs,
    with_planes,
)


@dataclass(frozen=True, slots=True)
class InterpolationWeights:
    """Where each of n output samples reads along one file axis: (1 - weight) of low and weight of
    high, [n] each.
    """

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray


def linear_taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For half-pixel linear interpolation from source to target samples: the lower and the upper
    index, int64 [target], and the upper one's share, float64. Beyond the border both are the same.
    """
    at = np.maximum((np.arange(target) + 0.5) * source / target - 0.5, 0)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, source - 1), at - low


def linear_weights(source: int, target: int, flip: bool = False) -> InterpolationWeights:
    """InterpolationWeights of half-pixel linear interpolation from source to target samples; flip
    reads the file axis backwards.
    """
    low, high, share = linear_taps(source, target)
    weight = share.astype(np.float32)
    return (
        InterpolationWeights(source - 1 - low, source - 1 - high, weight)
        if flip
        else InterpolationWeights(low, high, weight)
    )


def nearest_index(source: int, target: int, flip: bool = False) -> np.ndarray:
    """The voxel that holds each output centre, int64 [target]: floor((i + 1/2) source / target) in
    whole numbers.

    A centre on the border of two voxels takes the later one, so the rule differs from its mirror
    image: it is applied in (D, H, W) and then mapped to the file axis. (torch rounds the ratio to
    float32 and misses a few such borders, for instance from 448 to 96.)
    """
    index = (2 * np.arange(target) + 1) * source // (2 * target)
    return source - 1 - index if flip else index


def image_cube(
    header: Header,
    edge: int,
    clip_hu: tuple[float, float] | None = None,
    met: StreamStats | None = None,
) -> np.ndarray:
    """Stream an image into a cube, float32 [edge, edge, edge] in (D, H, W), clipped before it is
    resampled.

    met is filled in with what the stream held.
    """
    axes = file_axes(header.affine)
    columns, rows, planes = (
        linear_weights(header.shape[axis], edge, _is_flipped(axes, axis)) for axis in range(3)
    )
    cube = np.empty((edge, edge, edge), np.float32)
    ends = _ends(planes, header.shape[2])
    used = {int(plane) for plane in (*planes.low, *planes.high)}
    held: dict[int, np.ndarray] = {}
    for number, plane in enumerate(plane for slab in stored_slabs(header, met) for plane in slab):
        if number in used:
            held = {kept: held[kept] for kept in held if kept == number - 1}
            held[number] = _resize_rows(header, plane, rows, clip_hu)
        for target in ends[number]:
            low, high, weight = (
                held[planes.low[target]],
                held[planes.high[target]],
                planes.weight[target],
            )
            cube[target] = _resize_columns(low * (1 - weight) + high * weight, columns)
    return cube.transpose(2, 1, 0).transpose(axes.order)


def label_cube(
    header: Header, edge: int, num_classes: int, met: StreamStats | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Stream a mask into a cube, uint8 [edge, edge, edge] in (D, H, W), and count its native voxels
    a class, int64 [K].
    """
    axes = file_axes(header.affine)
    columns, rows, planes = (
        nearest_index(header.shape[axis], edge, _is_flipped(axes, axis)) for axis in range(3)
    )
    cube = np.zeros((edge, edge, edge), np.uint8)
    class_voxels = np.zeros(num_classes, np.int64)
    for held, slab in with_planes(label_slabs(header, num_classes, met)):
        counts = count_labels(slab, num_classes)
        class_voxels += counts
        if counts[0] < slab.size:
            targets = np.flatnonzero((planes >= held.start) & (planes < held.stop))
            cube[targets] = (
                slab.take(planes[targets] - held.start, axis=0)
                .take(rows, axis=1)
                .take(columns, axis=2)
            )
    return cube.transpose(2, 1, 0).transpose(axes.order), class_voxels


def laid_out(cube: np.ndarray, dtype: type) -> np.ndarray:
    """A cube as a C-contiguous array of that type: a slice at a time, which stays in a processor's
    cache while it is turned.
    """
    out: np.ndarray = np.empty(cube.shape, dtype)
    for number in range(cube.shape[1]):
        out[:, number] = cube[:, number].astype(dtype, order="K")
    return out


def _is_flipped(axes: Axes, file_axis: int) -> bool:
    return axes.flips[axes.order.index(file_axis)]


def _ends(taps: InterpolationWeights, num_planes: int) -> list[list[int]]:
    """For each plane the outputs that it is the last one of."""
    ends: list[list[int]] = [[] for _ in range(num_planes)]
    for target, last in enumerate(np.maximum(taps.low, taps.high)):
        ends[last].append(target)
    return ends


def _resize_rows(
    header: Header,
    plane: np.ndarray,
    rows: InterpolationWeights,
    clip_hu: tuple[float, float] | None,
) -> np.ndarray:
    """The rows of one plane resized, float32 [rows, axis 0]; only those that count are converted
    and clipped.
    """
    low, high = (
        apply_scaling(header, plane.take(which, axis=0)) for which in (rows.low, rows.high)
    )
    if clip_hu is not None:
        np.clip(low, *clip_hu, out=low)
        np.clip(high, *clip_hu, out=high)
    return _between(low, high, rows.weight[:, None])


def _resize_columns(lines: np.ndarray, columns: InterpolationWeights) -> np.ndarray:
    """The columns of rows [rows, axis 0] resized, float32 [rows, columns]."""
    return _between(
        lines.take(columns.low, axis=1), lines.take(columns.high, axis=1), columns.weight
    )


def _between(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(1 - weight) of low and weight of high, in the memory of low; high is spoilt too."""
    low *= 1 - weight
    high *= weight
    low += high
    return low
