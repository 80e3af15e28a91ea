"""Orientation by the affine, and masks written so that any tool reads them back."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, save, turned

from trials.data.nifti.header import read_header
from trials.data.nifti.volume import (
    file_axes,
    from_dhw,
    read_image,
    spacing_dhw,
    to_dhw,
    write_labels,
)

ALL_CODES = [
    "".join(codes[axis] for axis in order)
    for codes in itertools.product("IS", "PA", "LR")
    for order in itertools.permutations(range(3))
]


def test_there_are_48_orientations():
    assert len(set(ALL_CODES)) == 48


@pytest.mark.parametrize("codes", ALL_CODES)
def test_every_orientation_of_a_patient_gives_the_same_array(tmp_path, codes):
    voxels, affine = turned(asymmetric(), IPL, codes)

    volume = read_image(save(tmp_path / "a.nii.gz", voxels, affine))
    array = to_dhw(volume.voxels, volume.affine)

    assert np.array_equal(array, asymmetric())
    assert np.array_equal(from_dhw(array, volume.affine), voxels)
    assert spacing_dhw(read_header(tmp_path / "a.nii.gz")) == (3, 2, 1.5)


def test_a_kits_file_is_already_in_order():
    axes = file_axes(IPL)

    assert axes.order == (0, 1, 2)
    assert axes.flips == (False, False, False)


def test_a_ras_file_has_its_axial_axis_last_and_runs_from_the_feet():
    axes = file_axes(np.diag([1.0, 1, 2, 1]))

    assert axes.order == (2, 1, 0)
    assert axes.flips == (True, True, True)


@pytest.mark.parametrize("codes", ["IPL", "RAS", "LPS"])
def test_written_labels_keep_shape_and_affine_and_have_no_slope(tmp_path, codes):
    labels, affine = turned(blocks(), IPL, codes)

    write_labels(tmp_path / "a.nii.gz", np.ascontiguousarray(labels), affine)

    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    assert np.array_equal(np.asanyarray(image.dataobj), labels)
    assert np.allclose(image.affine, affine, atol=1e-6)


def test_equal_labels_are_written_as_equal_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, blocks(), IPL)

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
