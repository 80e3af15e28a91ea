"""A cache at a URL: existing cases are downloaded to this node's disk, missing ones are prepared
there and uploaded.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from trials.storage.atomic import find_files, is_remote, read_bytes, write_whole
from trials.storage.spool import scratch

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
