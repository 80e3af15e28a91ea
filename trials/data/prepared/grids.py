"""The grids that a preparation brings cases to, and the bytes that they take."""

from collections.abc import Sequence

from trials.data.datasets.registry import Case, Dataset
from trials.data.spacing.plan import HasGrid, Size, at_spacing, native_grids, resized
from trials.records.spec import Cube, Preparation

# The record of a case and the headers of its arrays, rounded up.
RECORD_BYTES = 4096
# What is kept of where the classes lie, and of the foreground's intensities, rounded up.
INDEX_BYTES = 2**18


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
