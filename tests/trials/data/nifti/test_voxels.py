"""What the door lets in, and what it says of every file that it does not."""

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, save

from trials.data.nifti.volume import read_image, read_labels
from trials.data.nifti.voxels import (
    StreamStats,
    count_labels,
    label_slabs,
    read_header,
    stored_slabs,
)
from trials.storage.atomic import fingerprint


def refusal(path, read=read_image):
    """The one line a user gets; it always names the file."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.fixture
def sound(tmp_path):
    return save(
        tmp_path / "imaging.nii.gz",
        np.random.default_rng(0).integers(-1000, 1000, (20, 16, 12)).astype(np.int16),
    )


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "u2", "i4", "<f4", "<f8", ">f8"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_planes_are_those_that_nibabel_reads(tmp_path, dtype, ending):
    voxels = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(dtype)
    image = nib.Nifti1Image(
        voxels, IPL, nib.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    )
    image.set_data_dtype(voxels.dtype)
    nib.save(image, tmp_path / f"a{ending}")

    planes = np.concatenate(list(stored_slabs(read_header(tmp_path / f"a{ending}"))))

    assert np.array_equal(planes.T, voxels)


def two_members(content):
    return gzip.compress(content[:400]) + gzip.compress(content[400:])


STORED = {
    "as it is": (".nii", bytes),
    "gzip": (".nii.gz", gzip.compress),
    "two gzip members": (".nii.gz", two_members),
    "zeros behind the stream": (".nii.gz", lambda content: gzip.compress(content) + bytes(100)),
    "bytes behind the voxels": (".nii.gz", lambda content: gzip.compress(content + bytes(70_000))),
    "large": (".nii.gz", lambda content: gzip.compress(content, 0) + bytes(1_000_000)),
}


@pytest.mark.parametrize(("ending", "stored"), STORED.values(), ids=list(STORED))
def test_what_a_stream_met_has_the_fingerprint_of_the_whole_file(tmp_path, ending, stored):
    content = save(tmp_path / "plain.nii", asymmetric()).read_bytes()
    path = tmp_path / f"a{ending}"
    path.write_bytes(stored(content))
    met = StreamStats()

    for _ in stored_slabs(read_header(path), met):
        assert not met.digest

    assert met.digest == fingerprint(path)


def test_a_nifti_2_file_reads_the_same(tmp_path):
    voxels = asymmetric()
    nib.save(nib.Nifti2Image(voxels, IPL), tmp_path / "a.nii.gz")

    assert np.array_equal(read_image(tmp_path / "a.nii.gz").voxels, voxels)


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    path = save(tmp_path / "a.nii.gz", asymmetric()[..., None])

    assert read_header(path).shape == (11, 14, 9)


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 100, 1000])
def test_a_gzip_stream_that_lacks_its_last_bytes_is_refused(sound, cut):
    sound.write_bytes(sound.read_bytes()[:-cut])

    assert "ends early" in refusal(sound)


def test_every_flipped_bit_of_the_compressed_voxels_is_noticed(sound):
    content = sound.read_bytes()
    for place in np.random.default_rng(0).integers(20, 8 * len(content) - 160, 60):
        changed = bytearray(content)
        changed[20 + place // 8] ^= 1 << (place % 8)
        sound.write_bytes(changed)
        refusal(sound)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"PK\x03\x04 something else", "not a gzip file"),
        (gzip.compress(b"too short", mtime=0), "header is truncated or wrong"),
        (gzip.compress(b"\0" * 1000, mtime=0), "header is truncated or wrong"),
    ],
    ids=["empty", "page", "pointer", "zip", "short", "zeros"],
)
def test_a_file_that_is_something_else_is_told_apart(tmp_path, content, word):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)

    assert word in refusal(path)


def test_a_gzip_file_named_nii_is_told_its_name(sound):
    path = sound.rename(sound.with_name("a.nii"))

    assert "name it .nii.gz" in refusal(path)


def test_a_folder_or_a_missing_file_is_named(tmp_path):
    assert "directory" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_header_that_claims_what_the_file_cannot_hold_costs_no_memory(tmp_path, ending):
    path = save(tmp_path / f"a{ending}", asymmetric())
    content = bytearray(
        gzip.decompress(path.read_bytes()) if ending == ".nii.gz" else path.read_bytes()
    )
    content[42:48] = np.array([2000, 1000, 1000], "<i2").tobytes()
    path.write_bytes(gzip.compress(content) if ending == ".nii.gz" else bytes(content))

    tracemalloc.start()
    message = refusal(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "claims 40000" in message
    assert peak < 2**20


def test_a_plausible_claim_that_the_stream_does_not_keep_is_refused(tmp_path):
    path = save(tmp_path / "a.nii.gz", asymmetric())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-2]))

    assert "ends early, in plane 8 of 9" in refusal(path)


@pytest.mark.parametrize(
    ("start", "value", "word"),
    [
        (40, np.array([3, 0], "<i2"), "edges"),
        (42, np.array([-32], "<i2"), "edges"),
        (42, np.array([5000], "<i2"), "edges"),
        (40, np.array([2], "<i2"), "three axes"),
        (40, np.array([4, 11, 14, 9, 2], "<i2"), "three axes"),
        (70, np.array([12345], "<i2"), "unknown voxel type"),
        (70, np.array([32], "<i2"), "integers or floats"),
        (70, np.array([128], "<i2"), "integers or floats"),
        (80, np.array([0], "<f4"), "pixdim"),
        (80, np.array([np.nan], "<f4"), "pixdim"),
        (108, np.array([1e9], "<f4"), "offset"),
        (108, np.array([np.nan], "<f4"), "offset"),
        (112, np.array([np.inf], "<f4"), "scl_slope"),
        (280, np.array([np.nan], "<f4"), "invertible"),
        (280, np.zeros(12, "<f4"), "invertible"),
        (280, np.array([0, 0.3, -1.5, 40], "<f4"), "sheared, 8.53 degrees"),
    ],
)
def test_a_header_without_sense_is_refused_before_any_voxel_is_read(tmp_path, start, value, word):
    path = save(tmp_path / "a.nii", asymmetric())
    content = bytearray(path.read_bytes())
    content[start : start + value.nbytes] = value.tobytes()
    path.write_bytes(content)

    assert word in refusal(path, read_header)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_voxel_that_is_no_number_is_refused(tmp_path, bad):
    voxels = asymmetric().astype(np.float64)
    voxels[5, 3, 2] = bad

    assert f"first: {bad}" in refusal(save(tmp_path / "a.nii.gz", voxels))


@pytest.mark.parametrize(("slope", "inter"), [(2, -1024), (0.5, 0)])
def test_scaled_images_come_in_their_own_unit(tmp_path, slope, inter):
    path = save(tmp_path / "a.nii", asymmetric())
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(content)

    assert np.array_equal(read_image(path).voxels, asymmetric() * slope + inter)


@pytest.mark.parametrize("slope", [0, 1, np.nan])
def test_labels_of_any_slope_that_means_none_read_alike(tmp_path, slope):
    path = save(tmp_path / "a.nii", blocks())
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, 0], "<f4").tobytes()
    path.write_bytes(content)

    assert np.array_equal(read_labels(path, 4).voxels, blocks())


def test_labels_that_nibabel_stored_with_a_slope_read_as_integers(tmp_path):
    image = nib.Nifti1Image(blocks().astype(np.float64), IPL)
    image.set_data_dtype(np.uint8)
    nib.save(image, tmp_path / "a.nii.gz")
    assert nib.load(tmp_path / "a.nii.gz").dataobj.slope != 1

    volume = read_labels(tmp_path / "a.nii.gz", 4)

    assert volume.voxels.dtype == np.uint8
    assert np.array_equal(volume.voxels, blocks())


@pytest.mark.parametrize(("label", "dtype"), [(7, np.uint8), (4, np.float32), (-1, np.int16)])
def test_a_label_outside_the_classes_is_named(tmp_path, label, dtype):
    voxels = blocks().astype(dtype)
    voxels[0, 0, 8] = label

    message = refusal(save(tmp_path / "a.nii.gz", voxels), lambda path: read_labels(path, 4))

    assert f"labels must lie in 0..3; got {label}" in message


def test_a_label_between_two_classes_is_refused(tmp_path):
    voxels = blocks().astype(np.float32)
    voxels[3, 3, 3] = 1.5

    assert "integers; got 1.5" in refusal(
        save(tmp_path / "a.nii.gz", voxels), lambda path: read_labels(path, 4)
    )


STORED_TYPES = ["i1", "u1", ">i2", "u2", "i4", "u4", "i8", "u8", "f4", ">f8"]


@pytest.mark.parametrize("dtype", STORED_TYPES)
@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0.5, -3)])
def test_every_label_of_a_byte_arrives_whatever_type_stores_it(tmp_path, dtype, slope, inter):
    highest = min(255, int((127 if dtype == "i1" else 255) * slope + inter))
    labels = np.arange(highest + 1).reshape(-1, 1, 1)
    stored = ((labels - inter) / slope).astype(dtype)
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(stored, IPL, dtype=stored.dtype), path)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(content)

    assert np.array_equal(read_labels(path, 256).voxels, labels)


@pytest.mark.parametrize("label", [2**32 + 1, 2**53 + 1, -(2**40)])
def test_a_label_beyond_a_byte_never_becomes_one_within_it(tmp_path, label):
    voxels = blocks().astype(np.int64)
    voxels[0, 0, 8] = label
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(voxels, IPL, dtype=np.int64), path)

    assert "labels must lie in 0..255; got" in refusal(path, lambda path: read_labels(path, 256))


def test_counted_labels_are_all_voxels(tmp_path):
    labels = blocks()
    path = save(tmp_path / "a.nii.gz", labels)

    counts = sum(count_labels(slab, 5) for slab in label_slabs(read_header(path), 5))

    assert counts.tolist() == [int((labels == label).sum()) for label in range(5)]
    assert count_labels(np.zeros((2, 3), np.uint8), 4).tolist() == [6, 0, 0, 0]
