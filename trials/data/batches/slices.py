"""Volumes as slices: the view that 2D models train on, and the files of single slices that other
programs read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.own_folder import list_contents, refuse_foreign
from trials.data.prepared.cache import Cache
from trials.data.prepared.case_store import write_array
from trials.records.codec import read_record, to_json
from trials.records.faults import why_no_file
from trials.records.registry import unknown
from trials.storage.atomic import write_text

# The axis of a (D, H, W) cube that a slice lies across.
SLICE_AXES = {"axial": 0, "coronal": 1, "sagittal": 2}
# Written before the first slice: whose slices a folder holds.
RECORD = "slices.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The prepared set that a folder's slices are of, by the digest of its content."""

    prepared: str


def slices(volume: np.ndarray, axis: str) -> np.ndarray:
    """A volume [..., D, H, W] as a stack of its axial [..., H, W], coronal [..., D, W] or sagittal
    [..., D, H] slices; a view, no copy.
    """
    if axis not in SLICE_AXES:
        raise ValueError(unknown("slice axis", axis, SLICE_AXES))
    return np.moveaxis(volume, SLICE_AXES[axis] - 3, 0)


def export_slices(
    cache: Cache, out: Path, axis: str = "axial", on_case: Callable[[int, int], None] | None = None
) -> None:
    """Write every slice of every cube as files of its own, for programs that read one array a
    slice.

    OUT/<axis>/images/<case>_slice_000.npy is float32, OUT/<axis>/masks/<case>_slice_000.npy uint8,
    both 2D and numbered in the direction of D, H or W; images of several channels keep that axis in
    front. OUT/slices.json names the prepared set;
    slices of the same set that are there are written again. on_case(done, total) follows. Raises
    ValueError, before a file is written, for a folder that holds anything else.
    """
    refuse_foreign_slices(out, cache.digest)
    write_text(out / RECORD, to_json(Exported(prepared=cache.digest)))
    for done, case in enumerate(cache.cases, 1):
        image = cache.image(case)
        images = slices(image[0] if cache.channels == 1 else image, axis).astype(np.float32)
        masks = slices(cache.labels(case), axis)
        for kind, stack in (("images", images), ("masks", masks)):
            for number, array in enumerate(stack):
                path = out / axis / kind / f"{case}_slice_{number:03d}.npy"
                write_array(path, np.ascontiguousarray(array))
        if on_case:
            on_case(done, len(cache.cases))


def refuse_foreign_slices(out: Path, digest: str) -> None:
    """Raise ValueError unless a folder is missing, empty, or holds slices of the prepared set with
    this digest.
    """
    fix = "name an empty folder"
    names = list_contents(out)
    refuse_foreign(
        out, [] if RECORD in names else names, f"hold the {RECORD} of an earlier export", fix
    )
    if why_no_file(out / RECORD) is None:
        found = read_record(Exported, out / RECORD, fix)
        if found.prepared != digest:
            raise ValueError(
                f"{out} holds slices of another prepared set, {found.prepared}, not of {digest}; "
                f"{fix}"
            )
