"""What a user gets for each fault of geometry, intensities and labels."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from broken_cases import (
    DIM,
    FORM_CODES,
    OFFSET,
    PIXDIM,
    SFORM,
    altered,
    assert_skippable,
    assert_warned,
    checked,
    image,
    labels,
)
from nifti_toys import IPL, asymmetric, blocks, dataset_of, save, turned

from trials.data.prepared.case_checks import Rules
from trials.data.prepared.preprocess import prepare_case
from trials.records.faults import BAD_CASE
from trials.records.spec import Cube


@pytest.fixture
def root(tmp_path) -> Path:
    """Three sound cases in the layout of KiTS23."""
    return dataset_of(tmp_path / "data").root


@pytest.mark.parametrize(
    ("at", "values", "told"),
    [
        (
            DIM,
            np.array([3, 0], "<i2"),
            "edges must lie in 1..4096, voxels up to 2147483648; the header says [0, 14, 9]",
        ),
        (
            DIM + 2,
            np.array([-32], "<i2"),
            "edges must lie in 1..4096, voxels up to 2147483648; the header says [-32, 14, 9]",
        ),
        (DIM, np.array([0], "<i2"), "must hold one volume of three axes; its shape is []"),
        (
            OFFSET,
            np.array([np.nan], "<f4"),
            "within the first 16 MiB, after the header; got offset nan",
        ),
        (OFFSET, np.array([-5], "<f4"), "within the first 16 MiB, after the header; got offset -5"),
        (
            OFFSET,
            np.array([1e9], "<f4"),
            "within the first 16 MiB, after the header; got offset 1000000000",
        ),
    ],
)
def test_f15_edges_or_offset_without_sense(root, at, values, told):
    altered(image(root), at, values)

    assert_skippable(root, image(root), told)


def test_f16_four_axes(root):
    save(image(root), np.stack([asymmetric(), asymmetric()], axis=3))

    assert_skippable(
        root, image(root), "must hold one volume of three axes; its shape is [11, 14, 9, 2]; split"
    )

    save(image(root), asymmetric(seed=1)[..., None])
    assert_warned(
        root,
        image(root),
        "extra_axes",
        "has an axis of length 1 beyond those of its volume, dropped",
    )


@pytest.mark.parametrize("kind", ["two axes", "complex", "colours"])
def test_f17_two_axes_complex_or_colours(root, kind):
    voxels, told = {
        "two axes": (
            asymmetric()[0],
            "must hold one volume of three axes; its shape is [14, 9]; split or convert it",
        ),
        "complex": (
            asymmetric().astype(np.complex64),
            "integers or floats up to 64 bits; got complex64; convert it",
        ),
        "colours": (
            np.zeros((11, 14, 9), [(letter, "u1") for letter in "RGB"]),
            "integers or floats up to 64 bits; got [('R'",
        ),
    }[kind]
    save(image(root), voxels)

    assert_skippable(root, image(root), told)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_f18_voxels_that_are_no_numbers(root, bad):
    voxels = asymmetric().astype(np.float64)
    voxels[5, 3, 2] = voxels[6, 3, 7] = bad
    save(image(root), voxels)

    assert_skippable(
        root,
        image(root),
        "2 voxels are NaN, infinite or beyond",
        f"first: {bad} at index (5, 3, 2)",
    )


@pytest.mark.parametrize("value", [0, 40, 0.1])
def test_f19_constant_image(root, value):
    save(image(root), np.full((11, 14, 9), value, np.float32))

    assert_skippable(
        root, image(root), f"is constant: every voxel is {value:g}; fetch or export it again"
    )


def test_f20_a_mask_in_the_place_of_an_image(root):
    save(image(root), blocks(seed=5))

    assert_warned(root, image(root), "mask", "holds whole numbers from 0 to 3 alone, as a mask")


def test_f20_image_in_another_unit(root):
    for seed, case in enumerate(("case_00000", "case_00002")):
        save(root / case / "imaging.nii.gz", asymmetric(seed=seed) - 500)
    save(image(root), asymmetric().astype(np.uint16) + 24)

    assert_warned(
        root,
        image(root),
        "intensity",
        "a CT in HU passes -200 and 100",
        "0..100: ",
        "look whether it is",
    )


def test_f21_mask_of_another_shape(root):
    save(labels(root), blocks((10, 14, 9)))

    assert_skippable(
        root, labels(root), "has shape 10x14x9, its image 11x14x9; fetch the case again"
    )


def test_f22_mask_with_another_affine(root):
    shifted = IPL.copy()
    shifted[0, 3] += 5
    save(labels(root), blocks(), shifted)

    assert_skippable(
        root,
        labels(root),
        "has another affine than its image: a corner lies 5 mm off; at most 0.05 mm is taken; "
        "fetch the case again, or write the mask on its image's grid",
    )


@pytest.mark.parametrize("edge", [0, np.nan, 1e-7])
def test_f23_spacing_without_sense(root, edge):
    if edge == 1e-7:
        for path, voxels in ((image(root), asymmetric()), (labels(root), blocks())):
            save(path, voxels, IPL * [edge, edge, edge, 1])
        code, faults = checked(root)
        told = {fault.file: fault.message for fault in faults if fault.level == BAD_CASE}
        assert (code, told.keys()) == (2, {str(image(root)), str(labels(root))})
        assert (
            "voxel edges must lie in 1e-06..1e+06 mm; its header says 3e-07 x 2e-07 x 1.5e-07"
            in told[str(image(root))]
        )
        return
    altered(image(root), PIXDIM + 4, np.array([edge], "<f4"))

    told = (
        f"voxel edges (pixdim) must be positive; got [{float(edge)}, 2.0, 1.5]; write the "
        "header again"
    )
    assert_skippable(root, image(root), told)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            np.zeros(12, "<f4"),
            "its affine must be finite and invertible; got [[0.0, 0.0, 0.0, 0.0], ",
        ),
        (
            np.array([0, 0.3, -1.5, 40], "<f4"),
            "its axes are sheared, 8.53 degrees off perpendicular; at most 1 is taken; resample it",
        ),
    ],
)
def test_f24_singular_or_sheared_affine(root, row, told):
    altered(image(root), SFORM, row)

    assert_skippable(root, image(root), told)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_f25_another_orientation_gives_the_same_cubes(tmp_path, codes):
    straight = dataset_of(tmp_path / "straight", 1).cases[0]
    other = dataset_of(tmp_path / "other", 1).cases[0]
    save(other.image, *turned(asymmetric(), IPL, codes))
    save(other.labels, *turned(blocks(), IPL, codes))
    rules = Rules(classes=("background", "kidney", "tumor", "cyst"))

    one, two = (prepare_case(case, rules, Cube(edge=8)) for case in (straight, other))

    # The order of summation differs with the file's axes, by one unit in the last place of a
    # float16 at most.
    assert np.allclose(one.image, two.image, rtol=1e-3, atol=1e-3)
    assert np.array_equal(one.labels, two.labels)
    assert nib.aff2axcodes(two.header.affine) == tuple(codes)


def test_f26_neither_sform_nor_qform(root):
    altered(image(root), FORM_CODES, np.array([0, 0], "<i2"))

    # Its mask has forms, and lies elsewhere than SimpleITK or nibabel put the image.
    assert_skippable(root, image(root).with_name("segmentation.nii.gz"), "has another affine")
    altered(labels(root), FORM_CODES, np.array([0, 0], "<i2"))
    code, faults = checked(root)
    assert code == 0
    assert {fault.file for fault in faults if fault.code == "orientation"} == {
        str(image(root)),
        str(labels(root)),
    }


def test_f15_an_offset_of_zero_in_a_single_file(root):
    altered(image(root), OFFSET, np.array([0], "<f4"))

    assert_warned(root, image(root), "offset", "vox_offset is 0", "start at byte 352")
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content + b"more", mtime=0))
    assert_skippable(root, image(root), "4 bytes are left, so nothing says where voxels start")


def test_f23_a_negative_edge(root):
    altered(image(root), PIXDIM + 4, np.array([-3], "<f4"))

    assert_warned(root, image(root), "pixdim", "pixdim is negative", "the sform are taken")
    altered(image(root), FORM_CODES, np.array([1, 0], "<i2"))
    assert_skippable(root, image(root), "voxel edges (pixdim) must be positive; got [-3.0")


@pytest.mark.parametrize(("label", "dtype"), [(7, np.uint8), (-1, np.int16)])
def test_f27_a_label_that_no_class_has(root, label, dtype):
    voxels = blocks().astype(dtype)
    voxels[0, 0, :3] = label
    voxels[0, 1, :2] = 9
    save(labels(root), voxels)

    told = f"labels must lie in 0..3; got {label} (3 voxels), 9 (2 voxels); correct the mask"
    assert_skippable(root, labels(root), told)


def test_f28_labels_that_are_not_quite_integers(root):
    close, far = blocks().astype(np.float32), blocks().astype(np.float32)
    close[close == 1] = 0.9995
    far[far == 1] = 0.99
    save(labels(root), close)
    assert_warned(
        root,
        labels(root),
        "label_rounding",
        "labels were up to 0.0005 off an integer and are rounded",
    )

    save(labels(root), far)

    assert_skippable(
        root, labels(root), "labels must be integers; got 0.99 (0.01 off); correct the mask"
    )


def test_f29_an_empty_mask_is_listed_and_kept(root):
    save(labels(root), np.zeros((11, 14, 9), np.uint8))

    assert_warned(root, labels(root), "empty_mask", "marks nothing but background; look whether")


def test_f30_a_tumour_without_a_kidney_is_listed(root):
    save(labels(root), (blocks() == 2).astype(np.uint8) * 2)

    assert_warned(
        root, labels(root), "lesion_alone", "marks tumor but no kidney, in which it grows"
    )
