"""What a user gets for each fault a file can have, before a voxel is looked at."""

import gzip
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from broken_cases import (
    DIM,
    MAGIC,
    VICTIM,
    altered,
    assert_skippable,
    assert_warned,
    found,
    image,
    labels,
)
from nifti_toys import blocks, dataset_of, save

from trials.data.faults import BAD_CASE
from trials.data.header import read_header
from trials.data.nifti import stored_slabs


@pytest.fixture
def root(tmp_path) -> Path:
    """Three sound cases in the layout of KiTS23."""
    return dataset_of(tmp_path / "data").root


def test_f01_image_file_missing(root):
    image(root).unlink()

    assert_skippable(root, image(root), "is missing")


def test_f02_mask_missing(root):
    labels(root).unlink()

    assert_skippable(root, labels(root), "is missing")


def test_f03_empty_file(root):
    image(root).write_bytes(b"")

    assert_skippable(root, image(root), "0 bytes")


def test_f04_gzip_stream_truncated(root):
    save(image(root), np.random.default_rng(0).integers(-1000, 1000, (11, 14, 1000)).astype(np.int16))
    save(labels(root), blocks((11, 14, 1000)))
    content = image(root).read_bytes()
    image(root).write_bytes(content[: len(content) // 2])

    assert_skippable(root, image(root), "ends early", "of 308352 bytes")


@pytest.mark.parametrize("missing", [1, 4, 8, 9])
def test_f05_last_bytes_of_the_gzip_stream_missing(root, missing):
    image(root).write_bytes(image(root).read_bytes()[:-missing])

    assert_skippable(root, image(root), "ends early")


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
    assert_skippable(root, image(root), "CRC mismatch")


def test_f07_a_web_page_saved_under_the_name(root):
    image(root).write_bytes(b"<!DOCTYPE html><html>Sign in</html>")

    assert_skippable(root, image(root), "<!DOCTYPE html>", "download failed")


def test_f08_a_git_lfs_pointer(root):
    image(root).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    assert_skippable(root, image(root), "git-LFS pointer")
    assert found(root, BAD_CASE)[0].fix == "run `git lfs pull`"


def test_f09_content_and_name_disagree(root, tmp_path):
    packed = image(root).read_bytes()
    image(root).write_bytes(gzip.decompress(packed))
    (tmp_path / "a.nii").write_bytes(packed)

    assert_skippable(root, image(root), "not a gzip file")
    with pytest.raises(ValueError, match=r"a.nii: is a gzip file by content; name it .nii.gz"):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize("content", [b"n+9\0", None], ids=["magic", "cut"])
def test_f10_wrong_magic_or_cut_header(root, content):
    if content:
        altered(image(root), MAGIC, np.frombuffer(content, np.uint8))
    else:
        image(root).write_bytes(gzip.compress(gzip.decompress(image(root).read_bytes())[:300], mtime=0))

    assert_skippable(root, image(root), "header is cut or wrong")


def test_f11_data_shorter_than_the_header_says(root, tmp_path):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content[:-2], mtime=0))
    (tmp_path / "a.nii").write_bytes(content[:-2])

    assert_skippable(root, image(root), "ends early, in plane 8 of 9")
    with pytest.raises(ValueError, match="claims 3124 bytes, more than a file of 3122 bytes can hold"):
        read_header(tmp_path / "a.nii")


@contextmanager
def little_memory(limit: int):
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < limit


@pytest.mark.parametrize(
    ("edges", "word"), [((2000, 1000, 1000), "claims 40000"), ((4096, 4096, 2**7), "claims"), ((32767, 32767, 32767), "edges")]
)
def test_f12_header_claims_more_than_the_file(root, edges, word):
    altered(image(root), DIM + 2, np.array(edges, "<i2"))

    with little_memory(2**21):
        faults = found(root, BAD_CASE)

    assert [fault.case for fault in faults] == [VICTIM]
    assert word in faults[0].message


def test_f13_a_gzip_bomb(root):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content + bytes(2**25), 6, mtime=0))

    with little_memory(2**21):
        faults = found(root, BAD_CASE)

    assert [(fault.case, fault.code) for fault in faults] == [(VICTIM, "bomb")]
    assert "more than 1048576 bytes beyond" in faults[0].message


def test_f14_trailing_data_after_the_voxels_is_listed_and_ignored(root):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content + b"more", mtime=0))

    assert_warned(root, image(root), "trailing", "4 bytes follow")


def test_a_case_is_never_held_whole(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.zeros((64, 64, 600), np.float64))

    with little_memory(2**22):
        for _ in stored_slabs(read_header(path)):
            pass
