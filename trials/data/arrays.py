"""Arrays as the bytes of a .npy file.

numpy's own writing to an open file goes past Python's: where the disk is full its last kilobytes are lost in silence.
"""

import io
from pathlib import Path

import numpy as np

from trials.files import write_whole


def packed_array(array: np.ndarray) -> bytes:
    """What np.save writes."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file whole. Raises OSError naming it where it cannot be written."""
    write_whole(path, lambda file: file.write(packed_array(array)))
