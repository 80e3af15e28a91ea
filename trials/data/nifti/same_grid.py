"""Whether two files have one grid, by one tolerance for image and mask and for reference and
prediction, however their axes are stored.
"""

from dataclasses import replace
from itertools import product

import numpy as np

from trials.data.nifti.geometry import corner_shift_mm, tolerance_mm
from trials.data.nifti.header import Header
from trials.data.nifti.volume import dhw_to_file, file_axes
from trials.records.faults import FileFault


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
