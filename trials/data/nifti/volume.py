"""Volumes: voxels with their affine, read from and written to NIfTI, and reoriented to (D, H, W) by
the affine.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from trials.data.nifti.voxels import (
    apply_scaling,
    label_slabs,
    read_header,
    stored_slabs,
    with_planes,
)
from trials.storage.atomic import write_whole

# D runs from head to feet, H from front to back, W from right to left, as in the KiTS files.
CANONICAL = ("I", "P", "L")


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
    axes take the nearest.
    """
    orientations = nib.orientations
    turn = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(CANONICAL)
    )
    by_axis = {int(to): (source, step < 0) for source, (to, step) in enumerate(turn)}
    (d, d_flip), (h, h_flip), (w, w_flip) = (by_axis[axis] for axis in range(3))
    return Axes(order=(d, h, w), flips=(d_flip, h_flip, w_flip))


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


def spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel edges in millimetres, in (D, H, W) order."""
    edges = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    d, h, w = file_axes(affine).order
    return float(edges[d]), float(edges[h]), float(edges[w])


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
    header = read_header(path)
    voxels = np.empty(header.shape[::-1], np.uint8)
    for planes, slab in with_planes(label_slabs(header, num_classes)):
        voxels[planes] = slab
    return Volume(voxels.T, header.affine)


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
