"""Where a run is stored, and whether that folder is usable: a small file is written, read back and
deleted before the run starts.
"""

import argparse
import errno
import platform
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trials.storage.atomic import UNFINISHED, is_remote, read_bytes, to_path, write_text
from trials.storage.spool import VARIABLE, scratch
from trials.storage.user import user_name

REASONS = {
    errno.ENOSPC: "its disk is full; free some space or give another folder",
    errno.EDQUOT: "your quota there is used up; free some space or give another folder",
    errno.EROFS: "it is on a read-only file system; give another folder",
}
NOT_ALLOWED = (errno.EACCES, errno.EPERM)


def check_writable(folder: Path) -> None:
    """Raise a one-sentence ValueError unless a file in the folder or below the URL can be written,
    read and deleted.
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
            f"files in {folder} cannot be written, read and deleted: {explain_error(error)}"
        ) from None
    if found != token:
        raise ValueError(f"{folder} returned other content than was written; give another folder")


def check_run_folder(out: Path) -> None:
    """check_writable() for a folder that may be missing: what was missing is missing afterwards."""
    missing = [] if is_remote(out) else [path for path in (out, *out.parents) if not path.exists()]
    try:
        check_writable(out)
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def check_scratch() -> None:
    """Raise a one-sentence ValueError, naming the variable, unless this node's scratch folder is
    usable.
    """
    try:
        check_writable(scratch())
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None


def to_local_path(text: str) -> Path:
    """A folder or file on a local disk or mount; "~" is the home folder, as in a shell. Raises
    ValueError for a URL, and for the home of an unknown user.
    """
    if "://" in text:
        raise ValueError(
            f"the path must be local; got the URL {text}; download or mount it and name the path"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text}: {error}; write the path in full") from None


def folder_or_url(text: str) -> Path:
    """An argparse type: a local folder, or an fsspec URL such as s3://bucket/run."""
    return _argument(to_path if "://" in text else to_local_path, text)


def local_path_argument(text: str) -> Path:
    """An argparse type: a local path."""
    return _argument(to_local_path, text)


def _argument(make: Callable[[str], Path], text: str) -> Path:
    try:
        return make(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def local_parent(out: Path) -> Path:
    """The local parent of a run folder, where data are generated; ./runs for a run folder at a
    URL.
    """
    return Path("runs").absolute() if is_remote(out) else out.parent


def explain_error(error: Exception) -> str:
    """Why a folder cannot be used, and how to fix it."""
    number = error.errno if isinstance(error, OSError) else None
    if number in REASONS:
        return REASONS[number]
    if number in NOT_ALLOWED:
        return (
            f"user {user_name()} has no permission; change the folder's permissions or give another"
        )
    return f"{error}; give another folder, or the rights and credentials to use this one"
