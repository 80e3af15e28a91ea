"""Volumes: voxels with their affine, read from and written to NIfTI, and reoriented to (D, H, W) by
the affine; and whether two files have one grid, however their axes are stored.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np

from trials.data.nifti.geometry import corner_shift_mm, directions, tolerance_mm
from trials.data.nifti.header import Header
from trials.data.nifti.voxels import (
    StreamStats,
    apply_scaling,
    label_slabs,
    read_header,
    stored_slabs,
    with_planes,
)
from trials.records.faults import FileFault
from trials.storage.atomic import write_whole

# A frame a hair off the patient's own: of two file axes exactly between two directions, as after a
# turn by 45 degrees, it tells which is which, whatever the order in which a file stores them.
_TILT = np.array([[1, -3e-4, 2e-4], [3e-4, 1, -1e-4], [-2e-4, 1e-4, 1]])
# D runs from head to feet, H from front to back, W from right to left, as in the KiTS files; an
# affine has x to the right, y to the front and z to the head.
FROM_RAS = np.array([[0, 0, -1], [0, -1, 0], [-1, 0, 0]]) @ _TILT


@dataclass(frozen=True, slots=True)
class Volume:
    """voxels in file axes (the order nibabel gives) and the affine [4, 4], voxel index to
    millimetres.
    """

    voxels: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """How a file's axes map to (D, H, W): order[d] is the file axis of D, H or W; flips[d] says it
    is reversed.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


def file_axes(affine: np.ndarray) -> Axes:
    """Derive from a valid affine which file axis is D, H and W, and which are reversed; oblique
    axes take the nearest. Files of one grid give the same patient axes, however they are stored.
    """
    cosines = FROM_RAS @ directions(affine)
    # Row d, column a: how far file axis a runs along D, H or W.
    order = max(permutations(range(3)), key=lambda axes: np.abs(cosines[range(3), axes]).sum())
    d, h, w = (bool(cosines[row, axis] < 0) for row, axis in enumerate(order))
    return Axes(order=(order[0], order[1], order[2]), flips=(d, h, w))


def dhw_to_file(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix [4, 4] that maps a voxel's index in (D, H, W) to its index in the file."""
    axes = file_axes(affine)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for row, (axis, is_reversed) in enumerate(zip(axes.order, axes.flips, strict=True)):
        matrix[axis, row] = -1 if is_reversed else 1
        matrix[axis, 3] = shape[axis] - 1 if is_reversed else 0
    return matrix


def to_dhw(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Reorient an array in file axes to (D, H, W); a view, no copy."""
    axes = file_axes(affine)
    return np.flip(
        voxels.transpose(axes.order), tuple(axis for axis in range(3) if axes.flips[axis])
    )


def from_dhw(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Reorient a (D, H, W) array to the axes of the file with this affine; a view, no copy."""
    axes = file_axes(affine)
    flipped = np.flip(voxels, tuple(axis for axis in range(3) if axes.flips[axis]))
    return flipped.transpose(np.argsort(axes.order))


def spacing_dhw(header: Header) -> tuple[float, float, float]:
    """A file's voxel edges in millimetres, in (D, H, W) order."""
    d, h, w = (header.geometry.spacing_mm[axis] for axis in file_axes(header.affine).order)
    return d, h, w


def read_image(path: Path) -> Volume:
    """Read a whole image as scaled float32 (HU for a CT). Raises ValueError naming the file for any
    fault in it.
    """
    header = read_header(path)
    voxels = np.empty(header.shape[::-1], np.float32)
    for planes, slab in with_planes(stored_slabs(header)):
        voxels[planes] = apply_scaling(header, slab)
    return Volume(voxels.T, header.affine)


def read_labels(path: Path, num_classes: int) -> Volume:
    """Read a whole mask as uint8 class indices below num_classes. Raises ValueError naming the file
    for any fault in it.
    """
    return read_mask(read_header(path), num_classes)


def read_mask(header: Header, num_classes: int, met: StreamStats | None = None) -> Volume:
    """Read a whole mask like read_labels(), by a header that was read before."""
    voxels = np.empty(header.shape[::-1], np.uint8)
    for planes, slab in with_planes(label_slabs(header, num_classes, met)):
        voxels[planes] = slab
    return Volume(voxels.T, header.affine)


def image_and_labels(
    image: Header, labels: Header, num_classes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the planes of stored_slabs(image), each with the classes of its voxels, uint8.

    labels must come from check_same_grid(). A mask along other axes than its image is read whole.
    """
    if file_axes(image.affine) == file_axes(labels.affine):
        yield from zip(stored_slabs(image), label_slabs(labels, num_classes), strict=True)
        return
    mask = read_mask(labels, num_classes)
    turned = from_dhw(to_dhw(mask.voxels, mask.affine), image.affine).T
    for planes, stored in with_planes(stored_slabs(image)):
        yield stored, turned[planes]


def write_labels(path: Path, labels: np.ndarray, affine: np.ndarray) -> None:
    """Write class indices (uint8, file axes) as .nii.gz without scaling, its units mm; equal labels
    give equal bytes.
    """
    assert labels.dtype == np.uint8, "labels are uint8"
    assert labels.ndim == 3, "labels have three axes"
    image = nib.Nifti1Image(labels, affine)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    write_whole(path, lambda file: file.write(gzip.compress(content, mtime=0)))


def check_same_grid(first: Header, second: Header, called: str, fix: str) -> Header:
    """The second header, with an affine by which to_dhw() lays its voxels on those of the first.

    Raises grid_fault() unless the two have one grid. A file whose sform and qform differ has the
    grid of another that agrees with either of them.
    """
    pairs = list(product(_affines(first), _affines(second)))
    for number, (one, other) in enumerate(pairs):
        if _is_one_grid(first, second, one, other):
            if number == 0:
                return second
            turn = dhw_to_file(one, first.shape) @ np.linalg.inv(dhw_to_file(other, second.shape))
            geometry = replace(second.geometry, affine=first.affine @ turn)
            return replace(second, geometry=geometry)
    raise _fault(first, second, called, fix)


def grid_fault(first: Header, second: Header, called: str, fix: str) -> FileFault | None:
    """The fault of the second file, or None if it has as many voxels as the first and no corner
    lies farther off than tolerance_mm().

    called is the word for the first file ("image"), fix the hint.
    """
    try:
        check_same_grid(first, second, called, fix)
    except FileFault as fault:
        return fault
    return None


def _affines(header: Header) -> list[np.ndarray]:
    other = header.geometry.other_affine
    return [header.affine] if other is None else [header.affine, other]


def _is_one_grid(first: Header, second: Header, one: np.ndarray, other: np.ndarray) -> bool:
    if _dhw_shape(first, one) != _dhw_shape(second, other):
        return False
    shift = _shift_mm(first, second, one, other)
    return shift <= tolerance_mm(first.geometry.spacing_mm)


def _shift_mm(first: Header, second: Header, one: np.ndarray, other: np.ndarray) -> float:
    """How far apart two volumes of one shape in (D, H, W) lie."""
    return corner_shift_mm(
        _dhw_shape(first, one),
        one @ dhw_to_file(one, first.shape),
        other @ dhw_to_file(other, second.shape),
    )


def _dhw_shape(header: Header, affine: np.ndarray) -> tuple[int, ...]:
    return tuple(header.shape[axis] for axis in file_axes(affine).order)


def _fault(first: Header, second: Header, called: str, fix: str) -> FileFault:
    if sorted(first.shape) != sorted(second.shape):
        text = f"has shape {_times(second.shape)}, its {called} {_times(first.shape)}"
        return FileFault(second.path, "grids_differ", text, fix)
    shapes = [_dhw_shape(one, one.affine) for one in (second, first)]
    if shapes[0] == shapes[1]:
        shift = _shift_mm(first, second, first.affine, second.affine)
        limit = tolerance_mm(first.geometry.spacing_mm)
        where = f"a corner lies {shift:.3g} mm off; at most {limit:.3g} mm is taken"
    else:
        where = (
            f"in the patient's axes (D, H, W) it has {' voxels, not '.join(map(_times, shapes))}"
        )
    text = f"has another affine than its {called}: {where}"
    return FileFault(second.path, "grids_differ", text, fix)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
