"""The rule of sform, qform, pixdim and unit: SimpleITK's reading of the same file, and what is
warned of or refused.
"""

import math

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from trials.data.nifti.header import read_header
from trials.records.faults import FileFault

SHAPE = (4, 5, 6)
STRAIGHT = np.array([[-0.8, 0, 0, 12.5], [0, -0.8, 0, -7], [0, 0, 2.5, 3], [0, 0, 0, 1]])
METRE, MILLIMETRE, MICROMETRE = 1, 2, 3


def oblique(spacing=(0.7617, 0.7617, 5.0)):
    """Turned by 23.7 degrees about z, then by 0.4 about x; det > 0, or < 0 for a negative edge."""
    a, b = math.radians(23.7), 0.4
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x * spacing
    affine[:3, 3] = (-195.123, 180.7, -321.98)
    return affine


def sheared(degrees):
    affine = STRAIGHT.copy()
    affine[0, 2] = 2.5 * math.tan(math.radians(degrees))
    return affine


def written(path, sform=None, qform=None, codes=(1, 1), pixdim=None, unit=MILLIMETRE):
    """A file whose header says just this; None leaves a form unset, or pixdim as the forms do."""
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), None)
    image.set_sform(sform, 0 if sform is None else codes[0])
    if qform is not None:
        image.set_qform(qform, codes[1])
    else:
        image.header.set_zooms(np.linalg.norm(sform[:3, :3], axis=0))
    if pixdim is not None:
        image.header["pixdim"][1:4] = pixdim
    image.header["xyzt_units"] = unit
    nib.save(image, path)
    return path


def as_simpleitk_reads(path):
    """SimpleITK's affine in the NIfTI axes: x and y of its patient space are turned round."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine, image.GetSpacing()


MOVED = STRAIGHT + np.array([[0, 0, 0, 20], [0] * 4, [0] * 4, [0] * 4])
UNIT_MM = np.diag([-1.0, -1, 1, 1])
# A name, what the header says, and the codes of the remarks.
TAKEN = {
    "straight": ({"sform": STRAIGHT}, []),
    "straight, both forms": ({"sform": STRAIGHT, "qform": STRAIGHT}, []),
    "qform alone": ({"qform": oblique()}, []),
    "oblique": ({"sform": oblique()}, []),
    "left-handed": ({"sform": oblique((-0.7617, 0.7617, 5))}, []),
    "left-handed qform": ({"qform": oblique((0.7617, 0.7617, -5))}, []),
    "sform of another space": ({"sform": MOVED, "qform": STRAIGHT, "codes": (4, 1)}, ["forms"]),
    "sform 20 mm off": ({"sform": MOVED, "qform": STRAIGHT}, ["forms"]),
    "sform of unit edges": ({"sform": UNIT_MM, "qform": STRAIGHT}, ["spacing", "forms"]),
    "pixdim rounded": ({"sform": STRAIGHT, "pixdim": (0.8, 0.8, 2.51)}, ["spacing"]),
    "sheared atlas space": (
        {"sform": sheared(5), "qform": STRAIGHT, "codes": (4, 1)},
        ["spacing", "forms"],
    ),
    "metres": ({"sform": STRAIGHT @ np.diag([1e-3] * 3 + [1]), "unit": METRE}, []),
    "micrometres": ({"sform": np.diag([20.0, 20, 20, 1]), "unit": MICROMETRE}, []),
    "unit unknown": ({"sform": STRAIGHT, "unit": 0}, []),
    "unit of no length": ({"sform": STRAIGHT, "unit": 6}, []),
    "thin": ({"sform": np.diag([0.02, 0.02, 0.02, 1])}, []),
    "thick": ({"sform": np.diag([-1.3, -1.3, 24, 1])}, []),
    "300 mm": ({"sform": np.diag([300.0, 300, 300, 1])}, ["spacing"]),
}


@pytest.mark.parametrize(("said", "remarks"), TAKEN.values(), ids=list(TAKEN))
def test_a_header_is_read_as_simpleitk_reads_it(tmp_path, said, remarks):
    path = written(tmp_path / "a.nii", **said)

    geometry = read_header(path).geometry

    affine, spacing = as_simpleitk_reads(path)
    assert geometry.affine == pytest.approx(affine, rel=1e-5, abs=2e-5)
    assert geometry.spacing_mm == pytest.approx(spacing, rel=1e-6)
    assert [remark.code for remark in geometry.remarks] == remarks


def test_a_rounded_direction_of_the_qform_does_not_matter(tmp_path):
    path = written(tmp_path / "a.nii", qform=STRAIGHT)
    content = bytearray(path.read_bytes())
    content[76:80] = np.array([0], "<f4").tobytes()
    path.write_bytes(content)

    # pixdim[0] = 0 is a file without a side, which counts as 1.
    assert np.linalg.det(read_header(path).affine[:3, :3]) > 0


def test_axes_a_fifth_of_a_degree_off_are_taken_with_the_angle(tmp_path):
    geometry = read_header(written(tmp_path / "a.nii", sform=sheared(0.2))).geometry

    (remark,) = geometry.remarks
    assert "0.2 degrees off perpendicular" in str(remark)
    assert geometry.spacing_mm[:2] == (0.8, 0.8)


REFUSED = {
    "a gantry's tilt": ({"sform": sheared(13.5)}, "sheared, 13.5 degrees off .* at most 1 is"),
    "a tilt that the qform hides": (
        {"sform": sheared(13.5), "qform": STRAIGHT},
        "sheared, 13.5 degrees",
    ),
    "two spacings, no qform": (
        {"sform": UNIT_MM, "pixdim": (1.3158, 1.3158, 10)},
        r"sform says voxel edges of 1 x 1 x 1 mm, pixdim 1.316 x 1.316 x 10 mm, and no qform tells",
    ),
    "below a nanometre": ({"sform": np.diag([1e-7, 1e-7, 1e-7, 1])}, r"must lie in 1e-06..1e\+06"),
}


@pytest.mark.parametrize(("said", "told"), REFUSED.values(), ids=list(REFUSED))
def test_what_nothing_can_decide_is_refused_with_its_numbers(tmp_path, said, told):
    with pytest.raises(FileFault, match=told):
        read_header(written(tmp_path / "a.nii", **said))


def test_an_edge_is_the_decimal_that_was_written(tmp_path):
    edges = (0.7617, 0.76171875, 2.4)

    on_file = read_header(written(tmp_path / "a.nii", sform=oblique(edges))).geometry
    in_metres = oblique(edges)
    in_metres[:3] /= 1000

    # Float32 holds 0.7617 as 0.76169997...; 0.76171875 it holds exactly.
    assert on_file.spacing_mm == edges
    path = written(tmp_path / "b.nii", sform=in_metres, unit=METRE)
    assert read_header(path).geometry.spacing_mm == (0.7617, pytest.approx(0.76171875), 2.4)
