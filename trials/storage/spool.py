"""What a node keeps on its own disk: results not yet written to the run folder, and copies of
prepared data.

They are in the folder that the environment variable SEGBENCH_SCRATCH names, by default the
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
from trials.storage.object_store import retry

VARIABLE = "SEGBENCH_SCRATCH"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# Another process's temporary file may fill a disk briefly; a disk that stays full needs a person.
FULL_SECONDS = 60.0


def scratch() -> Path:
    """This user's folder on the node's disk, created if missing. Raises ValueError if it cannot be
    created or belongs to another user.
    """
    parent = os.path.expanduser(os.environ.get(VARIABLE) or tempfile.gettempdir())
    return private_folder(Path(parent))


def private_folder(parent: Path) -> Path:
    """This user's folder in a folder that all users share, created if missing. Raises ValueError as
    scratch() does.
    """
    folder = parent / f"segbench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        text = (
            f"{folder} cannot be created ({error.strerror}); set {VARIABLE} to a folder that you "
            "can write to"
        )
        raise ValueError(text) from None
    # lstat: a link left by another user belongs to that user, whoever owns its target.
    if folder.lstat().st_uid != os.getuid():
        raise ValueError(
            f"{folder} belongs to another user; set {VARIABLE} to a folder of your own"
        )
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock among this node's processes; the lock of a dead process is
    released.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_or_spool(path: Path, text: str) -> None:
    """Write a text atomically; if that fails at first, keep it in scratch until it succeeds.

    A failing store is retried for half an hour, a full disk for a minute. Raises NotWritten if the
    text could not be written; read_spooled() then returns it.
    """
    kept = _spool_path(path)
    try:
        write_text(path, text, patience=0)
    except NotWritten as error:
        # If the node's own disk is full, the text is kept in memory only.
        with suppress(NotWritten):
            write_text(kept, text)
        _retry_write(path, text, error)
    kept.unlink(missing_ok=True)


def _retry_write(path: Path, text: str, error: NotWritten) -> None:
    if is_remote(path):
        write_text(path, text)
    elif error.errno in DISK_FULL:
        try:
            retry(partial(write_text, path, text), str(path), FULL_SECONDS)
        except OSError:
            raise error from None
    else:
        raise error


def read_spooled(path: Path) -> str | None:
    """The text that an earlier write_or_spool() on this node could not write to path; None if there
    is none.
    """
    kept = _spool_path(path)
    with suppress(FileNotFoundError, UnicodeDecodeError):
        return read_text(kept)
    return None


def _spool_path(path: Path) -> Path:
    return scratch() / "read_spooled" / hashlib.sha256(str(path).encode()).hexdigest()
