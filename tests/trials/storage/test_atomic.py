"""What a file is known by, and with which rights it is written."""

import os

import numpy as np
import pytest

from trials.data.prepared.case_store import write_array
from trials.storage.atomic import fingerprint, fingerprint_of, write_text

# Of no bytes, with seed 0: the first of XXH3's published test vectors for 128 bits.
OF_NOTHING = "99aa06d3014798d86001c324468d497f"


def test_the_fingerprint_is_xxh3_of_128_bits(tmp_path):
    (tmp_path / "empty").write_bytes(b"")

    assert fingerprint(tmp_path / "empty") == fingerprint_of() == OF_NOTHING


def test_parts_have_the_fingerprint_of_the_file_that_holds_them(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "whole").write_bytes(content)

    assert fingerprint(tmp_path / "whole") == fingerprint_of(
        content[:700_001], memoryview(content)[700_001:]
    )
    assert fingerprint_of(content) != fingerprint_of(content[:-1] + b"\0")


def test_an_array_is_written_as_numpy_writes_it(tmp_path):
    array = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    np.save(tmp_path / "numpy.npy", array)

    digest = write_array(tmp_path / "ours.npy", array)

    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    assert digest == fingerprint(tmp_path / "numpy.npy")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_a_file_has_the_rights_that_the_callers_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "folder" / "a.txt", "a")
    finally:
        os.umask(before)

    assert (tmp_path / "folder" / "a.txt").stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask
