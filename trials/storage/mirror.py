"""A cache at a URL: prepared on this node's own disk, with what the URL already holds, and stored
there object by object.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from trials.storage.atomic import is_remote, matching, read_bytes, write_whole
from trials.storage.spool import scratch

# Objects in flight at once: each waits for its answer, not for the processor.
AT_ONCE = 8


def mirror_of(root: Path) -> Path:
    """The folder on this node's own disk that stands for a cache elsewhere; one for each."""
    return scratch() / "cache" / hashlib.sha256(str(root).encode()).hexdigest()[:12]


@contextmanager
def at_hand(root: Path, name: str) -> Iterator[Path]:
    """A local folder in which a data set of this name is prepared: root itself, or the mirror of a
    URL.

    The mirror first gets the cases that the URL holds; at the end, also after an error, the URL
    gets what it lacks.
    """
    if not is_remote(root):
        yield root
        return
    local = mirror_of(root)
    transfer(
        root,
        local,
        [path for path in matching(root, f"{name}-*/cases/*") if path.suffix in (".json", ".npy")],
    )
    try:
        yield local
    finally:
        there = {path.name for path in matching(root, f"{name}-*/cases/*.npy")}
        paths = [
            *matching(local, f"{name}-*/cases/*"),
            *matching(local, f"{name}-*/*/manifest.json"),
        ]
        transfer(local, root, [path for path in paths if path.name not in there])


def transfer(source: Path, target: Path, paths: Iterable[Path]) -> None:
    """Copy files below source to the same places below target; arrays, whose names stand for their
    content, only once.
    """
    start = len(str(source)) + 1

    def copy(path: Path) -> None:
        place = target / str(path)[start:]
        if is_remote(target) or path.suffix == ".json" or not place.is_file():
            content = read_bytes(path)
            write_whole(place, lambda file: file.write(content))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, paths))
