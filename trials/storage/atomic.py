"""Files that are complete if they exist: written under a temporary name, fsynced, renamed; on an
object store one PUT.

The folder is fsynced after the renaming, and those above it that were made, or a loss of power
could take the name back that a reader has seen.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import xxhash

from trials.storage.object_store import PATIENCE_SECONDS, patiently, put, remote_path

# How the name of every temporary file and folder of ours ends; it begins with a dot.
UNFINISHED = ".unfinished"
# Nobody takes an hour to write a file: an older temporary one was left by a killed process.
ABANDONED_SECONDS = 3600.0
FIXES = {
    errno.EISDIR: "a folder has this name; move it away",
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST), "a file stands where a folder must be; move it away"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "take a folder that you may write to"
    ),
}


class NotWritten(OSError):
    """A file of ours could not be written: no fault of what it was made from."""


def to_path(text: str | Path) -> Path:
    """Where a text points: a local path or, for a URL such as s3://bucket/run, an object with the
    methods of a Path.
    """
    return remote_path(str(text)) if "://" in str(text) else Path(text)


def is_remote(path: Path) -> bool:
    """True for what to_path() made of a URL."""
    return not isinstance(path, Path)


def write_whole(
    path: Path, write: Callable[[BinaryIO], object], patience: float = PATIENCE_SECONDS
) -> None:
    """Let write() fill an open file, then give it its name in one step; on failure nothing of it
    remains.

    An object store that is away is asked again for so many seconds of patience; a disk is not,
    since a full one stays full. Raises NotWritten.
    """
    if is_remote(path):
        return _put_whole(path, write, patience)
    new = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(path, write)
        for folder in (path.parent, *(made.parent for made in new)):
            _keep_names(folder)
    except OSError as error:
        raise not_written(path, error) from error
    return None


def keep(partial: Path, path: Path) -> None:
    """Give a file that was filled bit by bit its name, as write_whole() does: bytes, name, folders.
    Raises NotWritten.
    """
    try:
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        for folder in (path.parent, path.parent.parent):
            _keep_names(folder)
    except OSError as error:
        raise not_written(path, error) from error


def _put_whole(path: Path, write: Callable[[BinaryIO], object], patience: float) -> None:
    buffer = BytesIO()
    write(buffer)
    try:
        put(path, buffer.getvalue(), patience)
    except OSError as error:
        raise NotWritten(*error.args) from error


def _fill(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """The temporary file lies beside the final one and starts with a dot: no reader's pattern
    matches it, and sweep() does.
    """
    handle, temporary = tempfile.mkstemp(
        prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent
    )
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _keep_names(folder: Path) -> None:
    """Bring a folder's names to the disk, where its file system can: some of a network's refuse."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)


def not_written(path: Path, error: OSError) -> "NotWritten":
    """The same error with the file's name and the way out: numpy's own has neither
    number nor name."""
    free = shutil.disk_usage(
        next(folder for folder in path.absolute().parents if os.path.exists(folder))
    ).free
    way = FIXES.get(
        error.errno or 0, f"{free / 1e6:.1f} MB are free there; make room and run again"
    )
    return NotWritten(error.errno or errno.ENOSPC, f"{error.strerror or error}; {way}", str(path))


def is_unfinished(name: str) -> bool:
    """Whether a file or folder of this name is a temporary one of ours."""
    return name.startswith(".") and name.endswith(UNFINISHED)


def sweep(folder: Path) -> None:
    """Remove below a folder what processes that were killed while writing left there; an object
    store keeps nothing of it.

    Ages are told by the folder's own file system, since the clock of another machine may be wrong.
    """
    walked = () if is_remote(folder) else os.walk(folder)
    left = [
        Path(at, name)
        for at, folders, files in walked
        for name in (*folders, *files)
        if is_unfinished(name)
    ]
    if not left:
        return
    with tempfile.NamedTemporaryFile(prefix=".now.", suffix=UNFINISHED, dir=folder) as file:
        now = os.stat(file.fileno()).st_mtime
    for path in left:
        with suppress(FileNotFoundError):
            if now - path.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str, patience: float = PATIENCE_SECONDS) -> None:
    """Write a UTF-8 text file whole; patience as for write_whole."""
    write_whole(path, lambda file: file.write(text.encode()), patience)


def is_there(path: Path) -> bool:
    """Whether a path is a file. A store that is away is asked again: a Path's own is_file() would
    say no.
    """
    if not is_remote(path):
        return path.is_file()
    try:
        return patiently(lambda: path.fs.info(path.path)["type"] == "file", str(path))  # type: ignore[attr-defined]
    except FileNotFoundError:
        return False


def changed_ns(path: Path, patience: float = PATIENCE_SECONDS) -> int:
    """When a file was last written, in ns since 1970; patience as for write_whole. Raises
    FileNotFoundError for none.
    """
    return (
        patiently(path.stat, str(path), patience) if is_remote(path) else path.stat()
    ).st_mtime_ns


def delete(path: Path, patience: float = PATIENCE_SECONDS) -> None:
    """Delete a file if it is there; patience as for write_whole."""
    remove = partial(path.unlink, missing_ok=True)
    if is_remote(path):
        patiently(remove, str(path), patience)
    else:
        remove()


def delete_folder(folder: Path) -> None:
    """Delete a folder with all that is in it, if it is there."""
    if not is_remote(folder):
        return shutil.rmtree(folder) if folder.is_dir() else None
    for path in matching(folder, "**/*"):
        if is_there(path):
            delete(path)
    return None


def read_bytes(path: Path, patience: float = PATIENCE_SECONDS) -> bytes:
    """A file's content; patience as for write_whole. Raises FileNotFoundError where
    there is none."""
    return patiently(path.read_bytes, str(path), patience) if is_remote(path) else path.read_bytes()


def read_text(path: Path) -> str:
    """A UTF-8 file's text. Raises FileNotFoundError where there is none, ValueError where it is no
    UTF-8.
    """
    return read_bytes(path).decode()


def matching(folder: Path, pattern: str, patience: float = PATIENCE_SECONDS) -> list[Path]:
    """The files of a folder that a pattern names, sorted; none where the folder does not exist.
    patience as for write_whole.
    """
    if is_remote(folder):
        return sorted(patiently(lambda: list(folder.glob(pattern)), str(folder), patience))
    return sorted(folder.glob(pattern))


def sha256(path: Path) -> str:
    """Digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """XXH3 of a file's bytes, 128 bits: tells damage and change, not malice, in a tenth of the time
    of SHA-256.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def fingerprint_of(*parts: bytes | memoryview) -> str:
    """The fingerprint of a file that holds these parts, one after the other."""
    whole = xxhash.xxh3_128()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()
