"""A NIfTI file resized to a cube while it streams past: image trilinear, labels nearest-exact, both half-pixel aligned.

Linear interpolation is separable and needs two planes at a time, so memory is that of the cube and one plane,
whatever the size of the file. The grid is that of torch's interpolate(align_corners=False), without antialiasing.
"""

from dataclasses import dataclass

import numpy as np

from trials.data.header import Header
from trials.data.nifti import Met, count_labels, label_slabs, placed, scaled, stored_slabs
from trials.data.volume import Axes, file_axes


@dataclass(frozen=True, slots=True)
class Taps:
    """Where each of n output samples reads along one file axis: (1 - weight) of low and weight of high, [n] each."""

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray


def linear_taps(source: int, target: int, flip: bool = False) -> Taps:
    """Taps of half-pixel linear interpolation from source to target samples; flip reads the file axis backwards."""
    at = np.maximum((np.arange(target) + 0.5) * source / target - 0.5, 0)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, source - 1)
    weight = (at - low).astype(np.float32)
    return Taps(source - 1 - low, source - 1 - high, weight) if flip else Taps(low, high, weight)


def nearest_index(source: int, target: int, flip: bool = False) -> np.ndarray:
    """The voxel that holds each output centre, int64 [target]: floor((i + 1/2) source / target) in whole numbers.

    A centre on the border of two voxels takes the later one, so the rule differs from its mirror image: it is
    applied in (D, H, W) and then mapped to the file axis. (torch rounds the ratio to float32 and misses a few such
    borders, for instance from 448 to 96.)
    """
    index = (2 * np.arange(target) + 1) * source // (2 * target)
    return source - 1 - index if flip else index


def image_cube(header: Header, edge: int, clip_hu: tuple[float, float] | None = None, met: Met | None = None) -> np.ndarray:
    """Stream an image into a cube, float32 [edge, edge, edge] in (D, H, W), clipped before it is resampled.

    met is filled in with what the stream held.
    """
    axes = file_axes(header.affine)
    columns, rows, planes = (linear_taps(header.shape[axis], edge, _is_flipped(axes, axis)) for axis in range(3))
    cube = np.zeros((edge, edge, edge), np.float32)
    stored = (plane for slab in stored_slabs(header, met) for plane in slab)
    for uses, plane in zip(_uses(planes, header.shape[2]), stored, strict=True):
        if uses:
            flat = _resize_plane(header, plane, rows, columns, clip_hu)
            for target, weight in uses:
                cube[target] += weight * flat
    return cube.transpose(2, 1, 0).transpose(axes.order)


def label_cube(header: Header, edge: int, num_classes: int, met: Met | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Stream a mask into a cube, uint8 [edge, edge, edge] in (D, H, W), and count its native voxels a class, int64 [K]."""
    axes = file_axes(header.affine)
    columns, rows, planes = (nearest_index(header.shape[axis], edge, _is_flipped(axes, axis)) for axis in range(3))
    cube = np.zeros((edge, edge, edge), np.uint8)
    class_voxels = np.zeros(num_classes, np.int64)
    for held, slab in placed(label_slabs(header, num_classes, met)):
        class_voxels += count_labels(slab, num_classes)
        targets = np.flatnonzero((planes >= held.start) & (planes < held.stop))
        cube[targets] = slab.take(planes[targets] - held.start, axis=0).take(rows, axis=1).take(columns, axis=2)
    return cube.transpose(2, 1, 0).transpose(axes.order), class_voxels


def _is_flipped(axes: Axes, file_axis: int) -> bool:
    return axes.flips[axes.order.index(file_axis)]


def _uses(taps: Taps, num_planes: int) -> list[list[tuple[int, np.float32]]]:
    """For each plane the (output, weight) pairs it takes part in."""
    uses: list[list[tuple[int, np.float32]]] = [[] for _ in range(num_planes)]
    for target, (low, high, weight) in enumerate(zip(taps.low, taps.high, taps.weight, strict=True)):
        uses[low].append((target, 1 - weight))
        if weight:
            uses[high].append((target, weight))
    return uses


def _resize_plane(
    header: Header, plane: np.ndarray, rows: Taps, columns: Taps, clip_hu: tuple[float, float] | None
) -> np.ndarray:
    """Bilinear resize of one plane, float32 [rows, columns]; only the rows that count are converted and clipped."""
    edge = len(rows.low)
    pairs = scaled(header, plane.take(np.concatenate((rows.low, rows.high)), axis=0))
    if clip_hu is not None:
        np.clip(pairs, *clip_hu, out=pairs)
    lines = pairs[:edge] * (1 - rows.weight)[:, None] + pairs[edge:] * rows.weight[:, None]
    return lines.take(columns.low, axis=1) * (1 - columns.weight) + lines.take(columns.high, axis=1) * columns.weight
