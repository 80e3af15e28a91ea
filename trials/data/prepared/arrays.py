"""Arrays as the bytes of a .npy file.

numpy's own writing to an open file goes past Python's: where the disk is full its last kilobytes
are lost in silence.
"""

import io
from pathlib import Path

import numpy as np

from trials.storage.atomic import fingerprint_of, write_whole


def write_array(path: Path, array: np.ndarray) -> str:
    """Write a .npy file whole and return its fingerprint. Raises OSError naming it where it cannot
    be written.
    """
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    parts = (header.getvalue(), array.data)
    write_whole(path, lambda file: [file.write(part) for part in parts])
    return fingerprint_of(*parts)
