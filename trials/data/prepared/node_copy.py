"""Prepared data on the node's own disk: a copy of a set that lies elsewhere, since trials map its
arrays and a map needs a file that stays and answers at once; and a cache at a URL, whose existing
cases are downloaded to this node, where missing ones are prepared and uploaded.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from trials.data.prepared.manifest import Manifest, manifest_of
from trials.data.spacing.plan import case_bytes, prepared_shape
from trials.storage.atomic import (
    find_files,
    fingerprint,
    fingerprint_of,
    is_remote,
    read_bytes,
    read_text,
    write_text,
    write_whole,
)
from trials.storage.spool import VARIABLE, locked, scratch

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


# Concurrent transfers: each waits for the network, not for the CPU.
MAX_TRANSFERS = 8


def mirror_folder(root: Path) -> Path:
    """The folder on this node's disk that mirrors a remote cache; one per cache."""
    return scratch() / "cache" / hashlib.sha256(str(root).encode()).hexdigest()[:12]


@contextmanager
def local_cache(root: Path, name: str) -> Iterator[Path]:
    """A local folder in which to prepare a data set of this name: root itself, or the mirror of a
    URL.

    Cases at the URL are first downloaded to the mirror. At the end, also after an error, files that
    the URL lacks are uploaded.
    """
    if not is_remote(root):
        yield root
        return
    local = mirror_folder(root)
    transfer(
        root,
        local,
        [
            path
            for path in find_files(root, f"{name}-*/cases/*")
            if path.suffix in (".json", ".npy")
        ],
    )
    try:
        yield local
    finally:
        there = {path.name for path in find_files(root, f"{name}-*/cases/*.npy")}
        paths = [
            *find_files(local, f"{name}-*/cases/*"),
            *find_files(local, f"{name}-*/*/manifest.json"),
        ]
        transfer(local, root, [path for path in paths if path.name not in there])


def transfer(source: Path, target: Path, paths: Iterable[Path]) -> None:
    """Copy files below source to the same relative paths below target. Existing arrays are skipped,
    since their names identify their content.
    """
    start = len(str(source)) + 1

    def copy(path: Path) -> None:
        place = target / str(path)[start:]
        if is_remote(target) or path.suffix == ".json" or not place.is_file():
            content = read_bytes(path)
            write_whole(place, lambda file: file.write(content))

    with ThreadPoolExecutor(MAX_TRANSFERS) as pool:
        list(pool.map(copy, paths))
