"""One tolerance for two files on one grid: 0.05 mm at the farthest corner."""

from pathlib import Path

import numpy as np
import pytest

from trials.data.nifti.header import Header
from trials.data.nifti.same_grid import check_same_grid, corner_shift_mm
from trials.records.faults import FileFault


def header(spacing_mm=1.0, shape=(100, 10, 10)):
    affine = np.diag([spacing_mm, 1.0, 1.0, 1.0])
    dtype = np.dtype(np.uint8)
    return Header(
        path=Path("a.nii"),
        shape=shape,
        dtype=dtype,
        offset=352,
        slope=1.0,
        inter=0.0,
        affine=affine,
    )


def test_a_spacing_that_is_a_thousandth_off_moves_the_far_corner_of_100_voxels_by_a_tenth():
    assert corner_shift_mm(header(), header(1.001)) == pytest.approx(0.1)


def test_a_shift_within_the_tolerance_passes_and_one_beyond_it_is_named():
    check_same_grid(header(), header(1.0004), "image", "fetch it again")

    with pytest.raises(
        FileFault,
        match=r"a.nii: has another affine than its image: a corner lies 0.06 mm off; fetch",
    ):
        check_same_grid(header(), header(1.0006), "image", "fetch it again")


def test_another_shape_is_named():
    with pytest.raises(FileFault, match="has shape 100x10x9, its reference 100x10x10; write it"):
        check_same_grid(header(), header(shape=(100, 10, 9)), "reference", "write it again")
