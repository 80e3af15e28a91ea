"""What becomes of freed memory: kept by the C library for the next step or case, which takes as
much. Standard library only.
"""

import ctypes
import functools
import sys

# Numbers of glibc's mallopt: how many allocations may be maps of their own, and how much free
# memory stays on the heap's top.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep what is freed and hand it out again, once a process.

    A step takes and frees the same large tensors as the step before, a case the same arrays as the
    case before; fresh pages for them cost up to a seventh of it. environment.reset_peak gives it
    back.
    """
    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
