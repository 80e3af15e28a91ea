"""Which grid cases are prepared on, and the bytes that they take there. A spacing follows nnU-Net's
rule from the headers of all cases of a data set alone, so that one prepared set serves every split
and fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from trials.data.datasets.registry import Case, Dataset
from trials.data.nifti.header import Header, channel_header
from trials.data.nifti.volume import file_axes, spacing_dhw
from trials.records.spec import Cube, Preparation, Spacing

# Isensee et al. 2021 (nnU-Net), supplementary note 2: an axis more than three times as coarse as
# the others takes the 10th percentile of its spacings.
ANISOTROPY, FINE_PERCENTILE = 3.0, 10.0
# The low resolution is where a patch of 128^3, nnU-Net's for 8 GB, covers a quarter of the median
# volume; it is found by steps of 3 %.
PATCH_VOXELS, COVERED, STEP = 128**3, 0.25, 1.03
# An axis that is this much finer than the coarsest one grows alone until it is not.
LARGEST_RATIO = 2.0
Size = tuple[int, int, int]
Edges = tuple[float, float, float]
# The record of a case and the headers of its arrays, rounded up.
RECORD_BYTES = 4096
# What is kept of where the classes lie, and of the foreground's intensities, rounded up.
INDEX_BYTES = 2**18


class HasGrid(Protocol):
    """A volume's size and spacing in (D, H, W): a header's, or a case's record."""

    @property
    def shape(self) -> Size: ...

    @property
    def spacing_mm(self) -> Edges: ...


class HasImages(Protocol):
    """A case whose image has one file a channel, or one file."""

    @property
    def images(self) -> tuple[Path, ...]: ...


@dataclass(frozen=True, slots=True)
class NativeGrid:
    """What a header says of a volume, in (D, H, W): its size in voxels and their edges in mm."""

    shape: Size
    spacing_mm: Edges


def native_grid(header: Header) -> NativeGrid:
    """The grid of a file, from its header."""
    d, h, w = file_axes(header.affine).order
    shape = (header.shape[d], header.shape[h], header.shape[w])
    return NativeGrid(shape=shape, spacing_mm=spacing_dhw(header))


def native_grids(cases: Sequence[HasImages], channels: int) -> list[NativeGrid]:
    """The grids of the cases, of so many channels, whose header can be read; the others are refused
    when they are prepared.
    """
    found = []
    for case in cases:
        try:
            found.append(native_grid(channel_header(case.images, 0, channels)))
        except ValueError:
            continue
    return found


def at_spacing(preparation: Spacing, grids: Sequence[NativeGrid]) -> Spacing:
    """The preparation with its rule replaced by the spacing that it gives for these grids. Raises
    ValueError if there are none.
    """
    if not isinstance(preparation.mm, str):
        return preparation
    if not grids:
        raise ValueError(
            f"Spacing(mm={preparation.mm!r}) needs the headers of the data set's images, and none "
            "can be read; run `segbench check` on it"
        )
    rule = {"fullres": fullres_mm, "lowres": lowres_mm}[preparation.mm]
    return replace(preparation, mm=tuple(float(f"{edge:.6g}") for edge in rule(grids)))


def fullres_mm(grids: Sequence[NativeGrid]) -> np.ndarray:
    """The median spacing along each axis, float64 [3]; the coarsest axis takes a low percentile if
    it is more than three times as coarse as the others and has less than a third of their voxels.
    """
    spacings = np.array([grid.spacing_mm for grid in grids])
    sizes = np.median([grid.shape for grid in grids], axis=0)
    target = np.median(spacings, axis=0)
    coarse = int(target.argmax())
    others = np.delete(target, coarse).max()
    if (
        target[coarse] > ANISOTROPY * others
        and sizes[coarse] * ANISOTROPY < np.delete(sizes, coarse).min()
    ):
        fine = np.percentile(spacings[:, coarse], FINE_PERCENTILE)
        target[coarse] = max(fine, others)
    return target


def lowres_mm(grids: Sequence[NativeGrid]) -> np.ndarray:
    """The full resolution made coarser, 3 % at a time, until a patch covers a quarter of the median
    volume, float64 [3].

    Where one axis is more than twice as coarse as others, those grow first. It is the full
    resolution itself where a patch covers as much already.
    """
    fine = fullres_mm(grids)
    voxels = np.prod(median_size(grids, fine))
    target = fine.copy()
    while COVERED * voxels * np.prod(fine / target) > PATCH_VOXELS:
        lagging = target.max() / target > LARGEST_RATIO
        target[lagging if lagging.any() else slice(None)] *= STEP
    return target


def median_size(grids: Sequence[NativeGrid], mm: Sequence[float] | np.ndarray) -> np.ndarray:
    """The median number of voxels along each axis at a spacing, float64 [3]."""
    return np.median([resized(grid, mm) for grid in grids], axis=0)


def resized(grid: HasGrid, mm: Sequence[float] | np.ndarray) -> Size:
    """The size of a volume at another spacing, rounded, at least one voxel along each axis."""
    d, h, w = (
        max(1, round(size * edge / target))
        for size, edge, target in zip(grid.shape, grid.spacing_mm, mm, strict=True)
    )
    return d, h, w


def resolved(preparation: Preparation, dataset: Dataset) -> Preparation:
    """The preparation with the spacing that its rule gives for a data set, if it has one."""
    if isinstance(preparation, Cube) or not isinstance(preparation.mm, str):
        return preparation
    return at_spacing(preparation, native_grids(dataset.cases, len(dataset.channels)))


def prepared_shape(preparation: Preparation, grid: HasGrid) -> Size:
    """The size (D, H, W) to which a resolved preparation brings a volume."""
    if isinstance(preparation, Cube):
        return (preparation.edge,) * 3
    assert not isinstance(preparation.mm, str), "the spacing is known"
    return resized(grid, preparation.mm)


def case_bytes(preparation: Preparation, channels: int, shape: Size) -> int:
    """The bytes of a prepared case: two for a voxel and channel of its image, one for a label."""
    voxels = shape[0] * shape[1] * shape[2]
    return (2 * channels + 1) * voxels + (0 if isinstance(preparation, Cube) else INDEX_BYTES)


def set_bytes(preparation: Preparation, cases: Sequence[Case], channels: int) -> int:
    """The bytes that these cases of so many channels will take on disk. Of a spacing the headers
    are read; a case without one counts nothing.
    """
    if isinstance(preparation, Cube):
        one = case_bytes(preparation, channels, (preparation.edge,) * 3)
        return len(cases) * (one + RECORD_BYTES)
    return sum(
        case_bytes(preparation, channels, prepared_shape(preparation, grid)) + RECORD_BYTES
        for grid in native_grids(cases, channels)
    )
