"""One tolerance for two files on one grid: 0.05 mm at the farthest corner, whatever way the axes
are stored.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, save, turned

from trials.data.nifti.geometry import Geometry, corner_shift_mm
from trials.data.nifti.header import Header, read_header
from trials.data.nifti.opening import VoxelFile
from trials.data.nifti.volume import check_same_grid, image_and_labels, read_mask, to_dhw
from trials.records.faults import FileFault


def header(spacing_mm=1.0, shape=(100, 10, 10), scale=1.0):
    affine = np.diag([spacing_mm * scale, scale, scale, 1.0])
    return Header(
        path=Path("a.nii"),
        shape=shape,
        dtype=np.dtype(np.uint8),
        data=VoxelFile(path=Path("a.nii")),
        offset=352,
        slope=1.0,
        inter=0.0,
        geometry=Geometry(affine=affine, spacing_mm=(spacing_mm * scale, scale, scale)),
    )


def test_a_spacing_that_is_a_thousandth_off_moves_the_far_corner_of_100_voxels_by_a_tenth():
    shift = corner_shift_mm((100, 10, 10), header().affine, header(1.001).affine)

    assert shift == pytest.approx(0.1)


def test_a_shift_within_the_tolerance_passes_and_one_beyond_it_is_named():
    check_same_grid(header(), header(1.0004), "image", "fetch it again")

    with pytest.raises(
        FileFault,
        match=r"a.nii: has another affine than its image: a corner lies 0.0594 mm off; at most "
        r"0.05 mm is taken; fetch",
    ):
        check_same_grid(header(), header(1.0006), "image", "fetch it again")


def test_a_voxel_of_a_micro_ct_is_not_within_the_tolerance():
    check_same_grid(header(scale=0.02), header(1.0009, scale=0.02), "image", "fetch it again")

    with pytest.raises(FileFault, match=r"0.0198 mm off; at most 0.002 mm is taken"):
        check_same_grid(header(scale=0.02), header(1.01, scale=0.02), "image", "fetch it again")


def test_another_shape_is_named():
    with pytest.raises(FileFault, match="has shape 100x10x9, its reference 100x10x10; write it"):
        check_same_grid(header(), header(shape=(100, 10, 9)), "reference", "write it again")


def test_axes_in_another_order_that_say_another_place_are_named():
    with pytest.raises(FileFault, match=r"\(D, H, W\) it has 10x100x10 voxels, not 10x10x100"):
        check_same_grid(header(), header(shape=(10, 100, 10)), "reference", "write it again")


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL", "PIR"])
def test_a_mask_along_other_axes_lies_on_the_same_voxels(tmp_path, codes):
    image = read_header(save(tmp_path / "image.nii", asymmetric()))
    mask = read_header(save(tmp_path / "mask.nii", *turned(blocks(), IPL, codes)))

    mask = check_same_grid(image, mask, "image", "fetch it again")

    volume = read_mask(mask, 4)
    assert np.array_equal(to_dhw(volume.voxels, volume.affine), blocks())
    pairs = list(image_and_labels(image, mask, 4))
    assert np.array_equal(np.concatenate([stored for stored, _ in pairs]).T, asymmetric())
    assert np.array_equal(np.concatenate([classes for _, classes in pairs]).T, blocks())


def test_a_turn_by_45_degrees_leaves_no_doubt_between_two_axes(tmp_path):
    half = np.sqrt(0.5)
    turn = np.array([[1, 0, 0, 0], [0, half, -half, 0], [0, half, half, 0], [0, 0, 0, 1]])
    image = read_header(save(tmp_path / "image.nii", asymmetric(), turn @ IPL))
    for number, order in enumerate([(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)]):
        affine = (turn @ IPL)[:, [*order, 3]]
        affine[:3] += 1e-7
        path = save(tmp_path / f"{number}.nii", blocks().transpose(order), affine)

        mask = read_mask(check_same_grid(image, read_header(path), "image", "fetch it again"), 4)

        right = to_dhw(blocks(), image.affine)
        assert np.array_equal(to_dhw(mask.voxels, mask.affine), right)


def test_a_mask_written_by_either_form_of_its_image_is_on_its_grid(tmp_path):
    both = nib.Nifti1Image(asymmetric(), None)
    moved = IPL.copy()
    moved[:3, 3] += 20
    # Mirrored: by its own affine such a mask would be turned round.
    moved[:, 2] *= -1
    both.set_sform(moved, 2)
    both.set_qform(IPL, 1)
    nib.save(both, tmp_path / "image.nii")
    image = read_header(tmp_path / "image.nii")
    assert np.allclose(image.affine, IPL, atol=1e-4)

    for number, affine in enumerate((IPL, moved)):
        mask = read_header(save(tmp_path / f"{number}.nii", blocks(), affine))
        mask = read_mask(check_same_grid(image, mask, "image", "fetch it again"), 4)

        assert np.array_equal(to_dhw(mask.voxels, mask.affine), to_dhw(blocks(), image.affine))


def test_planes_of_an_image_and_of_its_mask_of_another_type_go_together(tmp_path):
    shape = (256, 256, 5)
    voxels = np.arange(np.prod(shape)).reshape(shape)
    image = read_header(save(tmp_path / "image.nii", (voxels % 997).astype(np.float64)))
    mask = read_header(save(tmp_path / "mask.nii", (voxels % 3).astype(np.uint8)))

    pairs = list(image_and_labels(image, mask, 3))

    assert all(stored.shape == classes.shape for stored, classes in pairs)
    assert sum(len(stored) for stored, _ in pairs) == 5
