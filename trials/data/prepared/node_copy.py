"""A prepared set on the node's own disk: trials map its arrays, and a map needs a file that stays
and answers at once.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from trials.data.prepared.grids import case_bytes, prepared_shape
from trials.data.prepared.manifest import Manifest, manifest_of
from trials.storage.atomic import (
    fingerprint,
    fingerprint_of,
    is_remote,
    read_bytes,
    read_text,
    write_text,
    write_whole,
)
from trials.storage.mirror import MAX_TRANSFERS, mirror_folder
from trials.storage.spool import VARIABLE, locked

# File systems that another machine holds.
NETWORKS = {"nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "beegfs", "gpfs", "glusterfs", "afs"}
# The headers of an image's and a labels' file.
HEADER_BYTES = 256


def nearby(folder: Path) -> Path:
    """The folder of a prepared set on this machine's own disk: the folder itself, or a copy that is
    made once a node.

    A set is copied where it lies at a URL or on a network's file system, or where SEGBENCH_SCRATCH
    says where copies go. While one process copies, the others wait. Raises ValueError for a damaged
    array, and where there is no room.
    """
    if not is_far(folder):
        return folder
    copy = mirror_folder(folder.parent.parent) / folder.parent.name / folder.name
    text = read_text(folder / "manifest.json")
    with locked(copy.parent / f".{copy.name}.lock"):
        if not _holds(copy / "manifest.json", text):
            _copy(folder, copy, manifest_of(folder / "manifest.json", text))
            write_text(copy / "manifest.json", text)
    return copy


def is_far(folder: Path) -> bool:
    """True where prepared data at folder are copied before they are mapped."""
    return is_remote(folder) or VARIABLE in os.environ or filesystem(folder) in NETWORKS


def filesystem(folder: Path) -> str:
    """The type of the file system that a local folder lies on, "" where the system does not say."""
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return ""
    fields = [line.split() for line in mounts.read_text().splitlines()]
    holding = [
        (len(point), kind)
        for _, point, kind, *_ in fields
        if folder.resolve().is_relative_to(point)
    ]
    return max(holding, default=(0, ""))[1]


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _copy(folder: Path, copy: Path, manifest: Manifest) -> None:
    preparation = manifest.preparation
    shapes = [prepared_shape(preparation, record) for record in manifest.cases.values()]
    needed = sum(
        case_bytes(preparation, len(manifest.channels), shape) + HEADER_BYTES for shape in shapes
    )
    copy.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(copy).free
    if free < needed:
        raise ValueError(
            f"{folder} needs {needed / 2**30:.1f} GiB on the node's own disk and {copy} has "
            f"{free / 2**30:.1f}; "
            f"set {VARIABLE} to a folder with more room"
        )
    names = [
        pair
        for record in manifest.cases.values()
        for pair in zip(record.arrays, record.digests, strict=True)
    ]
    bring = partial(_bring, folder.parent / "cases", copy.parent / "cases")
    with ThreadPoolExecutor(MAX_TRANSFERS) as pool:
        list(pool.map(lambda pair: bring(*pair), names))


def _bring(source: Path, target: Path, name: str, digest: str) -> None:
    """Copy an array unless it is there whole."""
    if (target / name).is_file() and fingerprint(target / name) == digest:
        return
    content = read_bytes(source / name)
    if fingerprint_of(content) != digest:
        raise ValueError(f"{source / name} is damaged; prepare the data set again")
    write_whole(target / name, lambda file: file.write(content))
