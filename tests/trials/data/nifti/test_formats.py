"""NRRD, MetaImage and pairs of .hdr and .img: SimpleITK's reading of the same file, nibabel's of
the same volume, and what is refused before memory is allocated.
"""

import gzip
import re
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from broken_cases import ROOM_BYTES, little_memory
from nifti_toys import asymmetric
from test_geometry import as_simpleitk_reads, oblique

from trials.data.nifti.header import channel_header, read_header, volume_fingerprint
from trials.data.nifti.volume import read_image, read_labels
from trials.data.nifti.voxels import StreamStats, stored_slabs
from trials.records.faults import FileFault

SHAPE = (7, 6, 5)
FORMATS = [
    (ending, is_packed)
    for ending in (".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
    for is_packed in (False, True)
    if (ending, is_packed) != (".hdr", True)
]
IDS = [f"{ending}{' packed' if is_packed else ''}" for ending, is_packed in FORMATS]


def written(path: Path, voxels=None, is_packed=False, affine=None) -> Path:
    """A volume as SimpleITK writes it."""
    voxels = asymmetric(SHAPE) if voxels is None else voxels
    affine = np.diag([-1.0, -1, 1, 1]) @ (oblique() if affine is None else affine)
    image = SimpleITK.GetImageFromArray(voxels.T)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path), is_packed)
    return path


def voxel_file(path: Path) -> Path:
    """Where SimpleITK put the voxels."""
    others = [file for file in path.parent.glob(f"{path.stem}.*") if file != path]
    return others[0] if path.suffix in (".nhdr", ".mhd", ".hdr") else path


def edited(path: Path, pattern: bytes, by: bytes) -> Path:
    """Replace what a pattern matches in a header of text."""
    content = path.read_bytes()
    assert re.search(pattern, content), content[:600]
    path.write_bytes(re.sub(pattern, lambda _: by, content, count=1))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(FileFault) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("ending", "is_packed"), FORMATS, ids=IDS)
def test_a_volume_is_what_simpleitk_reads_and_what_its_nifti_file_holds(
    tmp_path, ending, is_packed
):
    path = written(tmp_path / f"a{ending}", is_packed=is_packed)
    nib.save(nib.Nifti1Image(asymmetric(SHAPE), oblique()), tmp_path / "b.nii.gz")
    met = StreamStats()

    found, header = read_image(path), read_header(path)
    for _ in stored_slabs(header, met):
        pass

    affine, spacing = as_simpleitk_reads(path)
    assert found.affine == pytest.approx(affine, abs=2e-5)
    assert header.geometry.spacing_mm == pytest.approx(spacing, rel=1e-6)
    assert header.geometry.remarks == ()
    same = nib.load(tmp_path / "b.nii.gz")
    assert np.array_equal(found.voxels, np.asanyarray(same.dataobj))
    assert found.affine == pytest.approx(same.affine, abs=5e-5)
    assert met.trailing_bytes == 0
    assert met.digest == volume_fingerprint(path)


def test_every_number_that_simpleitk_stores_is_read(tmp_path):
    for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"):
        voxels = np.random.default_rng(0).integers(0, 100, SHAPE).astype(kind)
        for ending in (".nrrd", ".mha"):
            path = written(tmp_path / f"{kind}{ending}", voxels)

            assert read_header(path).dtype == voxels.dtype
            assert np.array_equal(read_image(path).voxels, voxels)


@pytest.mark.parametrize(
    ("ending", "pattern", "by"),
    [
        (".nrrd", rb"left-posterior-superior", b"right-anterior-superior"),
        (".nrrd", rb"left-posterior-superior", b"left-anterior-superior"),
        (".nrrd", rb"left-posterior-superior", b"LPS"),
        (".nrrd", rb"endian: little", b"endian: big"),
        (".nrrd", rb"type: short", b"# of a scanner\nkey:=space: value\ntype: signed short int"),
        (".mha", rb"OrderMSB = False", b"OrderMSB = true"),
        (".mha", rb"BinaryData = True", b"BinaryData = 1"),
        (".mha", rb"TransformMatrix", b"Orientation"),
        (".mha", rb"\nOffset", b"\nPosition"),
        (".mha", rb"MET_SHORT", b"MET_USHORT"),
    ],
)
def test_a_header_of_another_program_is_read_as_simpleitk_reads_it(tmp_path, ending, pattern, by):
    path = edited(written(tmp_path / f"a{ending}"), pattern, by)

    found = read_image(path)

    assert found.affine == pytest.approx(as_simpleitk_reads(path)[0], abs=2e-5)
    voxels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert np.array_equal(found.voxels.T, voxels)
    assert read_header(path).geometry.remarks == ()


@pytest.mark.parametrize(
    ("ending", "pattern", "by"),
    [
        (".nrrd", rb"space: left-posterior-superior", b"space dimension: 3"),
        (".nrrd", rb"left-posterior-superior", b"scanner-xyz"),
        (".mha", rb"TransformMatrix[^\n]*\n", b""),
    ],
)
def test_axes_of_unknown_direction_are_taken_as_simpleitk_takes_them_with_a_remark(
    tmp_path, ending, pattern, by
):
    path = edited(written(tmp_path / f"a{ending}"), pattern, by)

    geometry = read_header(path).geometry

    assert geometry.affine == pytest.approx(as_simpleitk_reads(path)[0], abs=2e-5)
    assert [remark.code for remark in geometry.remarks] == ["orientation"]


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("joined", [SimpleITK.JoinSeries, SimpleITK.Compose])
def test_channels_lie_one_after_another_or_side_by_side(tmp_path, ending, joined):
    first = SimpleITK.GetImageFromArray(asymmetric(SHAPE).T)
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(joined([first, first + 7]), str(path))

    headers = [channel_header([path], channel, 2) for channel in range(2)]

    for number, header in enumerate(headers):
        planes = np.concatenate(list(stored_slabs(header)))
        assert np.array_equal(planes.T, asymmetric(SHAPE) + 7 * number)
    with pytest.raises(FileFault, match=r"must hold one volume of three axes; its shape is \[7"):
        read_header(path)


def test_voxels_at_the_end_of_a_file_are_found_from_there(tmp_path):
    plain = written(tmp_path / "a.nhdr")
    voxel_file(plain).write_bytes(b"of a scanner" + voxel_file(plain).read_bytes())
    edited(plain, rb"encoding", b"byte skip: -1\nencoding")
    meta = written(tmp_path / "b.mhd")
    voxel_file(meta).write_bytes(b"of a scanner" + voxel_file(meta).read_bytes())
    edited(meta, rb"ElementType", b"HeaderSize = -1\nElementType")

    assert np.array_equal(read_image(plain).voxels, asymmetric(SHAPE))
    assert np.array_equal(read_image(meta).voxels, asymmetric(SHAPE))


HUGE = {
    ".nrrd": (rb"sizes: 7 6 5", b"sizes: 4000 4000 100"),
    ".mha": (rb"DimSize = 7 6 5", b"DimSize = 4000 4000 100"),
}
HUGE[".nhdr"], HUGE[".mhd"] = HUGE[".nrrd"], HUGE[".mha"]


@pytest.mark.parametrize(("ending", "is_packed"), FORMATS, ids=IDS)
def test_a_small_file_that_claims_gigabytes_is_refused_without_them(tmp_path, ending, is_packed):
    path = written(tmp_path / f"a{ending}", is_packed=is_packed)
    if ending == ".hdr":
        content = bytearray(path.read_bytes())
        content[42:48] = np.array((4000, 4000, 100), "<i2").tobytes()
        path.write_bytes(content)
    else:
        edited(path, *HUGE[ending])

    with little_memory():
        assert "its header claims 3200000000 bytes, more than a file of" in refusal(path)


@pytest.mark.parametrize("edges", [b"70000 6 5", b"0 6 5", b"-7 6 5", b"4096 4096 4096"])
def test_edges_beyond_the_limits_are_refused(tmp_path, edges):
    for ending, field in ((".nrrd", b"sizes: "), (".mha", b"DimSize = ")):
        path = edited(written(tmp_path / f"a{ending}"), field + b"7 6 5", field + edges)

        assert "edges must lie in 1..4096, voxels up to 2147483648" in refusal(path)


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_without_them(tmp_path, ending):
    path = written(tmp_path / f"a{ending}", is_packed=True)
    pack = gzip.compress if ending in (".nrrd", ".nhdr") else zlib.compress
    content, file = path.read_bytes(), voxel_file(path)
    head = content[: read_header(path).data.start] if file == path else b""
    file.write_bytes(head + pack(asymmetric(SHAPE).T.tobytes() + bytes(2 * ROOM_BYTES), 1))

    with little_memory():
        assert "continues for more than 1048576 bytes beyond what its header" in refusal(path)


@pytest.mark.parametrize(("ending", "is_packed"), FORMATS, ids=IDS)
def test_a_file_that_is_cut_or_altered_is_refused(tmp_path, ending, is_packed):
    path = written(tmp_path / f"a{ending}", is_packed=is_packed)
    file, content = voxel_file(path), voxel_file(path).read_bytes()

    file.write_bytes(content[:-1])
    assert re.search("ends early|claims 420 bytes, more than a file of 419", refusal(path))
    if is_packed:
        file.write_bytes(content[:-40] + bytes([content[-40] ^ 4]) + content[-39:])
        assert re.search("is damaged|ends early", refusal(path))
        file.write_bytes(content + b"-----")
        met = StreamStats()
        assert len(list(stored_slabs(read_header(path), met))) == 1
        assert met.trailing_bytes == 5
    path.write_bytes(b"<!DOCTYPE html><html>Sign in</html>")
    assert "is a web page" in refusal(path)
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.write_bytes(bytes(range(256)) * 10)
    assert re.search("header is truncated or wrong|does not start as a file", refusal(path))


WRONG = [
    (".nrrd", rb"encoding: raw", b"encoding: ascii", "raw or gzip.*write it again as gzip"),
    (".nrrd", rb"encoding: raw", b"encoding: bzip2", "raw or gzip.*got 'bzip2'"),
    (".nrrd", rb"type: short", b"type: block", "'type' must be an integer or float"),
    (".nrrd", rb"endian: little\n", b"", "'endian' must be little or big; got None"),
    (".nrrd", rb"sizes: 7 6 5", b"sizes: 7 x 5", "'sizes' must be numbers; got '7 x 5'"),
    (".nrrd", rb"sizes: 7 6 5", b"sizes: 42 5", "'space directions' must be 2 vectors"),
    (".nrrd", rb"\(0[^)]*\)", b"none", "three axes in space"),
    (".nrrd", rb"sizes: 7 6 5", b"sizes: 7 6 5 2", "must be 4 vectors or .none."),
    (".nrrd", rb"space directions[^\n]*\n", b"", "no 'space directions' in it"),
    (".nrrd", rb"space directions[^\n]*", b"space directions: (1,0,0) (1,0,0) (0,0,1)", "invert"),
    (".nrrd", rb"encoding", b'space units: "um" "um" "um"\nencoding', "'space units' must be mm"),
    (".nrrd", rb"encoding", b"type: float\nencoding", "states 'type' twice"),
    (".nrrd", rb"encoding", b"Sizes: 6 7 5\nencoding", "states 'sizes' twice"),
    (
        ".nrrd",
        rb"(?s)space: left.*?space origin[^\n]*",
        b'sizes: 7 6 5\nspacings: 9 9 9\nunits: "um" "um" "um"\nendian: little\nencoding: raw',
        "'units' must be mm",
    ),
    (".mha", rb"BinaryData = True", b"BinaryData = False", "voxels must be binary"),
    (".mha", rb"DimSize", b"DistanceUnits = um\nDimSize", "'DistanceUnits' must be mm; got 'um'"),
    (".mha", rb"MET_SHORT", b"MET_STRING", "integers or floats of up to 64 bits; got 'MET_STR"),
    (".mha", rb"ElementSpacing[^\n]*\n", b"", "'ElementSpacing' must be 3 numbers; got None"),
    (".mha", rb"ElementSpacing[^\n]*", b"ElementSpacing = 1 0 1", "must be positive"),
    (".mha", rb"Matrix[^\n]*", b"Matrix = 2 0 0 0 2 0 0 0 1", "must be unit vectors"),
    (".mha", rb"Matrix[^\n]*", b"Matrix = 1 0 0 0 1 0", "'TransformMatrix' must be 9 numbers"),
    (".mha", rb"Matrix[^\n]*", b"Matrix = 1 0 0 .7 .7141 0 0 0 1", "sheared, 44.* degrees"),
    (".mha", rb"ObjectType = Image", b"ObjectType = Tube", "must have .ObjectType = Image."),
    (".mhd", rb"= a.raw", b"= ../a.raw", "must lie in its own folder or below"),
    (".mhd", rb"= a.raw", b"= /etc/passwd", "must lie in its own folder or below"),
    (".mhd", rb"= a.raw", b"= LIST\na.raw", "must lie in one file; it names 'LIST'"),
    (".mhd", rb"= a.raw", b"= a%03d.raw 1 5 1", "must lie in one file"),
    (".mhd", rb"= a.raw", b"= b.raw", "voxels are in b.raw, which is missing; put that file"),
    (".nhdr", rb"file: a.raw", b"file: sub/../../a.raw", "must lie in its own folder or below"),
    (".nhdr", rb"file: a.raw", b"file: LIST\na.raw", "must lie in one file"),
    (".nhdr", rb"file: a.raw", b"file: b.raw", "voxels are in b.raw, which is missing"),
]


@pytest.mark.parametrize(("ending", "pattern", "by", "told"), WRONG)
def test_what_is_not_read_is_refused_in_words(tmp_path, ending, pattern, by, told):
    path = edited(written(tmp_path / f"a{ending}"), pattern, by)

    message = refusal(path)

    assert message.startswith(f"{path}: ")
    assert re.search(told, message), message


def test_an_image_beside_a_pair_s_header_is_needed_and_analyze_is_refused(tmp_path):
    path = written(tmp_path / "a.hdr")
    content = bytearray(path.read_bytes())
    content[344:348] = bytes(4)
    (tmp_path / "b.hdr").write_bytes(content)
    voxel_file(path).unlink()

    assert "its voxels are in a.img, which is missing" in refusal(path)
    assert "is an Analyze 7.5 header" in refusal(tmp_path / "b.hdr")


def test_a_header_of_text_without_an_end_is_not_read_on(tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"NRRD0004\n" + b"key:=" + b"x" * ROOM_BYTES)

    with little_memory():
        assert "its header must end within 1048576 bytes" in refusal(path)


def test_the_fingerprint_of_two_files_is_of_their_content_not_of_a_name(tmp_path):
    first, second = written(tmp_path / "a.mhd"), written(tmp_path / "b.mhd")
    other = written(tmp_path / "c.mhd", affine=oblique((0.5, 0.5, 5)))

    assert volume_fingerprint(first) == volume_fingerprint(second)
    assert volume_fingerprint(first) != volume_fingerprint(other)
    voxel_file(second).write_bytes(voxel_file(second).read_bytes()[::-1])
    assert volume_fingerprint(first) != volume_fingerprint(second)


def test_labels_and_finite_voxels_are_checked_as_in_nifti(tmp_path):
    voxels = np.zeros(SHAPE, np.float32)
    voxels[1, 2, 3] = 5
    for ending, is_packed in FORMATS:
        path = written(tmp_path / f"a{ending}", voxels, is_packed)
        with pytest.raises(FileFault, match=r"labels must lie in 0..2; got 5 \(1 voxels\)"):
            read_labels(path, 3)
        bad = np.where(voxels, np.nan, voxels)
        told = refusal(written(tmp_path / f"a{ending}", bad, is_packed))
        assert "1 voxels are NaN, infinite or beyond 1e+30 (first: nan at index (1, 2, 3))" in told
