"""What a file is known by."""

import numpy as np

from trials.data.prepared.arrays import write_array
from trials.storage.atomic import fingerprint, fingerprint_of

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
