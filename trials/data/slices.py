"""Volumes as slices: the view that 2D models train on, and the files of single slices that other programs read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from trials.data.arrays import write_array
from trials.data.cache import Cache
from trials.parts import unknown

# The axis of a (D, H, W) cube that a slice lies across.
SLICE_AXES = {"axial": 0, "coronal": 1, "sagittal": 2}


def slices(volume: np.ndarray, axis: str) -> np.ndarray:
    """A [D, H, W] volume as a stack of its axial [H, W], coronal [D, W] or sagittal [D, H] slices; a view, no copy."""
    if axis not in SLICE_AXES:
        raise ValueError(unknown("slice axis", axis, SLICE_AXES))
    return np.moveaxis(volume, SLICE_AXES[axis], 0)


def export_slices(cache: Cache, out: Path, axis: str = "axial", on_case: Callable[[int, int], None] | None = None) -> None:
    """Write every slice of every cube as files of its own, for programs that read one array a slice.

    OUT/<axis>/images/<case>_slice_000.npy is float32, OUT/<axis>/masks/<case>_slice_000.npy uint8, both 2D and
    numbered in the direction of D, H or W. Files that are there are written again. on_case(done, total) follows.
    """
    for done, case in enumerate(cache.cases, 1):
        images = slices(cache.image(case), axis).astype(np.float32)
        masks = slices(cache.labels(case), axis)
        for kind, stack in (("images", images), ("masks", masks)):
            for number, array in enumerate(stack):
                path = out / axis / kind / f"{case}_slice_{number:03d}.npy"
                write_array(path, np.ascontiguousarray(array))
        if on_case:
            on_case(done, len(cache.cases))
