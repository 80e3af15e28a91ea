"""What a user gets for each fault a file can have, before a voxel is looked at."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from broken_cases import (
    DIM,
    MAGIC,
    ROOM_BYTES,
    VICTIM,
    altered,
    assert_skippable,
    assert_warned,
    found,
    image,
    labels,
    little_memory,
)
from isal import igzip
from nifti_toys import blocks, dataset_of, save

from trials.data.nifti.header import read_header
from trials.data.nifti.voxels import stored_slabs
from trials.records.faults import BAD_CASE


@pytest.fixture
def root(tmp_path) -> Path:
    """Three sound cases in the layout of KiTS23."""
    return dataset_of(tmp_path / "data").root


def test_f01_image_file_missing(root):
    image(root).unlink()

    assert_skippable(
        root,
        image(root),
        "is missing",
        "fetch it again (kits23: `segbench prepare kits23 FOLDER",
        "or move the case's folder",
    )


def test_f02_mask_missing(root):
    labels(root).unlink()

    assert_skippable(
        root,
        labels(root),
        "is missing",
        "fetch it again (kits23: `segbench prepare kits23 FOLDER",
        "or move the case's folder",
    )


def test_f03_empty_file(root):
    image(root).write_bytes(b"")

    assert_skippable(root, image(root), "is empty (0 bytes)", "fetch it again")


def test_f04_gzip_stream_truncated(root):
    save(
        image(root), np.random.default_rng(0).integers(-1000, 1000, (11, 14, 1000)).astype(np.int16)
    )
    save(labels(root), blocks((11, 14, 1000)))
    content = image(root).read_bytes()
    image(root).write_bytes(content[: len(content) // 2])

    told = assert_skippable(root, image(root), "ends early, in plane ", "fetch it again")

    plane, reached = map(
        int, re.search(r"in plane (\d+) of 1000, at about (\d+) of 308352 bytes", told).groups()
    )
    assert 400 < plane < 600
    assert plane == (reached - 352) // 308


@pytest.mark.parametrize("missing", [1, 4, 8, 9])
def test_f05_last_bytes_of_the_gzip_stream_missing(root, missing):
    image(root).write_bytes(image(root).read_bytes()[:-missing])

    size = image(root).stat().st_size
    assert_skippable(
        root,
        image(root),
        f"ends early: its gzip stream is truncated after {size} bytes",
        "fetch it again",
    )


def test_f06_a_flipped_bit_in_the_gzip_stream(root):
    sound = image(root).read_bytes()
    for place in np.random.default_rng(0).integers(20 * 8, 8 * len(sound) - 64, 30):
        changed = bytearray(sound)
        changed[place // 8] ^= 1 << (place % 8)
        image(root).write_bytes(changed)
        assert [fault.case for fault in found(root, BAD_CASE)] == [VICTIM]
    changed = bytearray(sound)
    changed[-8] ^= 1
    image(root).write_bytes(changed)
    assert_skippable(root, image(root), "is damaged (CRC mismatch)", "fetch it again")


def test_f07_a_web_page_saved_under_the_name(root):
    image(root).write_bytes(b"<!DOCTYPE html><html>Sign in</html>")

    told = "is a web page, starting with '<!DOCTYPE html><': the download failed"
    assert_skippable(root, image(root), told, "fetch it again")


def test_f08_a_git_lfs_pointer(root):
    image(root).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    assert_skippable(root, image(root), "is a git-LFS pointer, not the file; run `git lfs pull`")


def test_f09_content_and_name_disagree(root, tmp_path):
    packed = image(root).read_bytes()
    image(root).write_bytes(gzip.decompress(packed))
    (tmp_path / "a.nii").write_bytes(packed)

    assert_skippable(
        root,
        image(root),
        r"is not a gzip file: it starts with b'\\\x01",
        "or name it .nii if it is one",
    )
    with pytest.raises(ValueError, match=r"a.nii: is a gzip file by content; name it .nii.gz"):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize("content", [b"n+9\0", None], ids=["magic", "cut"])
def test_f10_wrong_magic_or_cut_header(root, content):
    if content:
        altered(image(root), MAGIC, np.frombuffer(content, np.uint8))
    else:
        image(root).write_bytes(
            gzip.compress(gzip.decompress(image(root).read_bytes())[:300], mtime=0)
        )

    assert_skippable(
        root,
        image(root),
        "is not a single-file NIfTI: its header is truncated or wrong",
        "fetch or write it again",
    )


def test_f11_data_shorter_than_the_header_says(root, tmp_path):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content[:-2], mtime=0))
    (tmp_path / "a.nii").write_bytes(content[:-2])

    assert_skippable(
        root,
        image(root),
        "ends early, in plane 8 of 9, at about ",
        "of 3124 bytes",
        "fetch it again",
    )
    with pytest.raises(
        ValueError, match="claims 3124 bytes, more than a file of 3122 bytes can hold"
    ):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("edges", "word"),
    [
        ((2000, 1000, 1000), "its header claims 4000000352 bytes, more than a file of"),
        ((4096, 4096, 2**7), "its header claims 4294967648 bytes, more than a file of"),
        (
            (32767, 32767, 32767),
            "edges must lie in 1..4096, voxels up to 2147483648; the header says [32767, 32767, "
            "32767]",
        ),
    ],
)
def test_f12_header_claims_more_than_the_file(root, edges, word):
    altered(image(root), DIM + 2, np.array(edges, "<i2"))

    with little_memory():
        assert_skippable(root, image(root), word, "fetch ")


def test_f13_a_gzip_bomb(root):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(igzip.compress(content + bytes(2 * ROOM_BYTES)))

    with little_memory():
        assert_skippable(
            root, image(root), "continues for more than 1048576 bytes beyond", "do not unpack it"
        )


def test_f14_trailing_data_after_the_voxels_is_listed_and_ignored(root):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content + b"more", mtime=0))

    assert_warned(root, image(root), "trailing", "4 bytes follow")
    image(root).write_bytes(gzip.compress(content, mtime=0) + bytes(9) + b"--signature--")
    assert_warned(root, image(root), "trailing", "13 bytes follow")


def test_a_case_is_never_held_whole(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.zeros((1, 1, 1), np.float64))
    head = bytearray(gzip.decompress(path.read_bytes())[:352])
    head[DIM + 2 : DIM + 8] = np.array((512, 512, ROOM_BYTES // 2**20), "<i2").tobytes()
    path.write_bytes(igzip.compress(head + bytes(2 * ROOM_BYTES)))

    with little_memory():
        assert sum(len(slab) for slab in stored_slabs(read_header(path))) == ROOM_BYTES // 2**20
