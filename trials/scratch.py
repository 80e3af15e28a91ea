"""What a node keeps on its own disk: results that still have to reach the run folder, and copies of prepared data.

It lies in the folder that the environment variable SEGBENCH_SCRATCH names, otherwise in the machine's temporary folder.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trials.files import is_remote, read_text, write_text

VARIABLE = "SEGBENCH_SCRATCH"


def scratch() -> Path:
    """This user's folder on the node's own disk, made if need be. Raises ValueError if it belongs to somebody else."""
    folder = Path(os.environ.get(VARIABLE) or tempfile.gettempdir()) / f"segbench-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ValueError(f"{folder} belongs to another user; set {VARIABLE} to a folder of your own")
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process of this node in at a time; the lock of a process that died is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def deliver(path: Path, text: str) -> None:
    """Write a text whole; where path is at a URL or cannot be written, the text lies in scratch until it was.

    Raises OSError where it could not be written; undelivered() then returns it.
    """
    kept = _kept(path)
    if is_remote(path):
        write_text(kept, text)
    try:
        write_text(path, text)
    except OSError:
        write_text(kept, text)
        raise
    kept.unlink(missing_ok=True)


def undelivered(path: Path) -> str | None:
    """The text that an earlier deliver() of this node could not bring to path; None where there is none."""
    kept = _kept(path)
    return read_text(kept) if kept.is_file() else None


def _kept(path: Path) -> Path:
    return scratch() / "undelivered" / hashlib.sha256(str(path).encode()).hexdigest()
