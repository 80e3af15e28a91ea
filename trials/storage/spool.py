"""What a node keeps on its own disk: results that still have to reach the run folder, and copies of
prepared data.

It lies in the folder that the environment variable SEGBENCH_SCRATCH names, otherwise in the
machine's temporary folder.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from trials.storage.atomic import NotWritten, is_remote, read_text, write_text
from trials.storage.object_store import patiently

VARIABLE = "SEGBENCH_SCRATCH"
FULL = (errno.ENOSPC, errno.EDQUOT)
# A neighbour's temporary file may fill a disk for a moment; a disk that stays full waits for its
# owner.
FULL_SECONDS = 60.0


def scratch() -> Path:
    """This user's folder on the node's own disk, made if need be. Raises ValueError if it cannot
    be, or is somebody else's.
    """
    folder = Path(os.environ.get(VARIABLE) or tempfile.gettempdir()) / f"segbench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        text = (
            f"{folder} cannot be made ({error.strerror}); set {VARIABLE} to a folder where you "
            "may write"
        )
        raise ValueError(text) from None
    # Of a link that somebody else left in a shared folder, the owner is not who owns what it leads
    # to.
    if folder.lstat().st_uid != os.getuid():
        raise ValueError(
            f"{folder} belongs to another user; set {VARIABLE} to a folder of your own"
        )
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process of this node in at a time; the lock of a process that died is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_or_spool(path: Path, text: str) -> None:
    """Write a text whole; where that is not to be had at once, it lies in scratch until it was.

    A store that is away is asked again for half an hour, a disk that is full for a minute. Raises
    NotWritten where it could not be written; read_spooled() then returns it.
    """
    kept = _kept(path)
    try:
        write_text(path, text, patience=0)
    except NotWritten as error:
        # Where the node's own disk is the full one, the text waits in memory alone.
        with suppress(NotWritten):
            write_text(kept, text)
        _once_more(path, text, error)
    kept.unlink(missing_ok=True)


def _once_more(path: Path, text: str, error: NotWritten) -> None:
    if is_remote(path):
        write_text(path, text)
    elif error.errno in FULL:
        try:
            patiently(partial(write_text, path, text), str(path), FULL_SECONDS)
        except OSError:
            raise error from None
    else:
        raise error


def read_spooled(path: Path) -> str | None:
    """The text that an earlier write_or_spool() of this node could not bring to path; None where
    there is none.
    """
    kept = _kept(path)
    with suppress(FileNotFoundError, UnicodeDecodeError):
        return read_text(kept)
    return None


def _kept(path: Path) -> Path:
    return scratch() / "read_spooled" / hashlib.sha256(str(path).encode()).hexdigest()
