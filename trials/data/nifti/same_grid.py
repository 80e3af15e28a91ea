"""Whether two files have the same grid, with one tolerance for image and mask and for reference and
prediction.
"""

from itertools import product

import numpy as np

from trials.data.nifti.header import Header
from trials.records.faults import FileFault

# Orientations stored as float32 quaternions shift the far corner of a body by some micrometres; a
# real shift is larger.
MAX_CORNER_SHIFT_MM = 0.05


def check_same_grid(first: Header, second: Header, called: str, fix: str) -> None:
    """Raise grid_fault() unless the second file has the grid of the first."""
    if fault := grid_fault(first, second, called, fix):
        raise fault


def grid_fault(first: Header, second: Header, called: str, fix: str) -> FileFault | None:
    """The fault of the second file, or None if the shapes are equal and no corner differs by more
    than 0.05 mm.

    called is the word for the first file ("image"), fix the hint.
    """
    if first.shape != second.shape:
        text = f"has shape {_times(second.shape)}, its {called} {_times(first.shape)}"
        return FileFault(second.path, "grids_differ", text, fix)
    shift = corner_shift_mm(first, second)
    if shift > MAX_CORNER_SHIFT_MM:
        text = f"has another affine than its {called}: a corner lies {shift:.3g} mm off"
        return FileFault(second.path, "grids_differ", text, fix)
    return None


def corner_shift_mm(first: Header, second: Header) -> float:
    """The largest distance in mm between a volume's eight corners under the affines of two
    files.
    """
    corners = np.array([[*corner, 1] for corner in product(*((0, size) for size in first.shape))])
    apart = corners @ (first.affine - second.affine).T
    return float(np.linalg.norm(apart[:, :3], axis=1).max())


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
