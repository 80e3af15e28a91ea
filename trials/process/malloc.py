"""Let the C library keep freed memory for the next step or case, which needs as much. Standard
library only.
"""

import ctypes
import functools
import sys

# glibc's mallopt parameters: how many allocations may use mmap, and how much free memory stays at
# the top of the heap.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library reuse freed memory instead of returning it, once per process.

    Each step allocates and frees the same large tensors as the step before, each case the same
    arrays as the case before. New pages would cost up to a seventh of the time.
    environment.reset_peak returns the memory.
    """
    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
