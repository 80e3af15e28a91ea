"""Where a run lies, and whether it can be used: a small file is written, read back and deleted
before anything costs time.
"""

import argparse
import errno
import getpass
import platform
import secrets
from collections.abc import Callable
from pathlib import Path

from trials.storage.atomic import UNFINISHED, is_remote, read_bytes, to_path, write_text
from trials.storage.spool import VARIABLE, scratch

REASONS = {
    errno.ENOSPC: "its disk is full; free some space or give another folder",
    errno.EDQUOT: "your quota there is used up; free some space or give another folder",
    errno.EROFS: "it lies on a read-only file system; give another folder",
}
NOT_ALLOWED = (errno.EACCES, errno.EPERM)


def probe(folder: Path) -> None:
    """Raise ValueError in one sentence unless a file in the folder, or below the URL, can be
    written, read and deleted.
    """
    path, token = (
        folder / f".probe-{platform.node()}-{secrets.token_hex(4)}{UNFINISHED}",
        secrets.token_hex(8),
    )
    try:
        write_text(path, token, patience=0)
        found = read_bytes(path, patience=0).decode()
        path.unlink()
    except Exception as error:  # the package of each store has errors of its own
        raise ValueError(
            f"{folder} cannot be written, read and deleted from: {reason_of(error)}"
        ) from None
    if found != token:
        raise ValueError(
            f"{folder} gives back something else than was written there; give another folder"
        )


def probe_scratch() -> None:
    """Raise ValueError in one sentence, which names the variable, unless this node's own folder can
    be used.
    """
    try:
        probe(scratch())
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None


def on_disk(text: str) -> Path:
    """A folder or file on this machine's own disks and mounts. Raises ValueError for a URL."""
    if "://" in text:
        raise ValueError(
            f"{text} is a URL, and this has to be a path: fetch it or mount it, and name the path"
        )
    return Path(text)


def folder_or_url(text: str) -> Path:
    """For argparse: a folder here, or what an fsspec URL such as s3://bucket/run names."""
    return _argument(to_path, text)


def here(text: str) -> Path:
    """For argparse: what on_disk takes."""
    return _argument(on_disk, text)


def _argument(make: Callable[[str], Path], text: str) -> Path:
    try:
        return make(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def local_beside(out: Path) -> Path:
    """The folder beside a run folder, where data are made; runs/ here for a run folder at a URL."""
    return Path("runs").absolute() if is_remote(out) else out.parent


def reason_of(error: Exception) -> str:
    """Why a folder cannot be used, and the way out."""
    number = error.errno if isinstance(error, OSError) else None
    if number in REASONS:
        return REASONS[number]
    if number in NOT_ALLOWED:
        return f"user {getpass.getuser()} may not; change the folder's permissions or give another"
    return f"{error}; give another folder, or the rights and credentials to use this one"
