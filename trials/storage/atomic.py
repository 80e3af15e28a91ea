"""Atomic file writes: write under a temporary name, fsync, rename; on an object store, one PUT. A
file that exists is complete.

The folder and every newly created parent are fsynced after the rename. Otherwise a power loss could
remove a file that a reader has already seen.
"""

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import xxhash

from trials.storage.object_store import PATIENCE_SECONDS, put, remote_path, retry

# Suffix of every temporary file and folder that we write; the name starts with a dot.
UNFINISHED = ".unfinished"
# No file takes an hour to write: an older temporary file was left by a killed process.
ABANDONED_SECONDS = 3600.0
FIXES = {
    errno.EISDIR: "a folder has this name; move it elsewhere",
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST),
        "a file has the name of a folder in this path; move it elsewhere",
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you can write to"
    ),
}


class NotWritten(OSError):
    """An output file could not be written; the input is not at fault."""


def to_path(text: str | Path) -> Path:
    """The path that a text names: a local path or, for a URL such as s3://bucket/run, an object
    with the methods of a Path.
    """
    return remote_path(str(text)) if "://" in str(text) else Path(text)


def is_remote(path: Path) -> bool:
    """Whether to_path() made this path from a URL."""
    return not isinstance(path, Path)


def write_whole(
    path: Path, write: Callable[[BinaryIO], object], patience: float = PATIENCE_SECONDS
) -> None:
    """Call write() on a temporary file, then rename it to path; on failure, delete the temporary
    file.

    A failing object store is retried for `patience` seconds. A disk is not retried, since a full
    disk stays full. Raises NotWritten.
    """
    if is_remote(path):
        return _put_whole(path, write, patience)
    new = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(path, write)
        for folder in (path.parent, *(made.parent for made in new)):
            _sync_folder(folder)
    except OSError as error:
        raise write_error(path, error) from error
    return None


def move_into_place(partial: Path, path: Path) -> None:
    """Rename a finished partial file to path, with the same fsyncs as write_whole(). Raises
    NotWritten.
    """
    try:
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        for folder in (path.parent, path.parent.parent):
            _sync_folder(folder)
    except OSError as error:
        raise write_error(path, error) from error


def _put_whole(path: Path, write: Callable[[BinaryIO], object], patience: float) -> None:
    buffer = BytesIO()
    write(buffer)
    try:
        put(path, buffer.getvalue(), patience)
    except OSError as error:
        raise NotWritten(*error.args) from error


def _fill(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file beside the final one and rename it. Its name starts with a dot:
    readers' patterns do not match it, and remove_abandoned() does.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}"
    # tempfile's mode is 0600; this one leaves the rights to the caller's umask.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Fsync a folder; some network file systems refuse this, which is ignored."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)


def write_error(path: Path, error: OSError) -> "NotWritten":
    """The same error with the file's name and a fix: numpy's own error has neither number nor
    name.
    """
    free = shutil.disk_usage(
        next(folder for folder in path.absolute().parents if os.path.exists(folder))
    ).free
    fix = FIXES.get(
        error.errno or 0, f"{free / 1e6:.1f} MB are free there; free some space and rerun"
    )
    return NotWritten(error.errno or errno.ENOSPC, f"{error.strerror or error}; {fix}", str(path))


def is_unfinished(name: str) -> bool:
    """Whether this is the name of one of our temporary files or folders."""
    return name.startswith(".") and name.endswith(UNFINISHED)


def remove_abandoned(folder: Path) -> None:
    """Delete temporary files and folders that killed processes left below a folder; does nothing
    for an object store.

    Ages are measured by the folder's own file system, since another machine's clock may be wrong.
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


def exists(path: Path) -> bool:
    """Whether a path is a file. A failing store is retried, whereas a Path's own is_file() would
    return False.
    """
    if not is_remote(path):
        return path.is_file()
    try:
        return retry(lambda: path.fs.info(path.path)["type"] == "file", str(path))  # type: ignore[attr-defined]
    except FileNotFoundError:
        return False


def modified_ns(path: Path, patience: float = PATIENCE_SECONDS) -> int:
    """A file's modification time in ns since 1970; patience as for write_whole. Raises
    FileNotFoundError if there is no such file.
    """
    return (retry(path.stat, str(path), patience) if is_remote(path) else path.stat()).st_mtime_ns


def delete(path: Path, patience: float = PATIENCE_SECONDS) -> None:
    """Delete a file if it exists; patience as for write_whole."""
    remove = partial(path.unlink, missing_ok=True)
    if is_remote(path):
        retry(remove, str(path), patience)
    else:
        remove()


def delete_folder(folder: Path) -> None:
    """Delete a folder and its contents, if it exists."""
    if not is_remote(folder):
        return shutil.rmtree(folder) if folder.is_dir() else None
    for path in find_files(folder, "**/*"):
        if exists(path):
            delete(path)
    return None


def read_bytes(path: Path, patience: float = PATIENCE_SECONDS) -> bytes:
    """A file's bytes; patience as for write_whole. Raises FileNotFoundError if there is no such
    file.
    """
    return retry(path.read_bytes, str(path), patience) if is_remote(path) else path.read_bytes()


def read_text(path: Path) -> str:
    """A UTF-8 file's text. Raises FileNotFoundError if there is no such file, ValueError if it is
    not UTF-8.
    """
    return read_bytes(path).decode()


def find_files(folder: Path, pattern: str, patience: float = PATIENCE_SECONDS) -> list[Path]:
    """The files of a folder that match a glob pattern, sorted; empty if the folder does not exist.
    patience as for write_whole.
    """
    if is_remote(folder):
        return sorted(retry(lambda: list(folder.glob(pattern)), str(folder), patience))
    return sorted(folder.glob(pattern))


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """128-bit XXH3 of a file's bytes: detects damage and change but not tampering, in a tenth of
    SHA-256's time.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def fingerprint_of(*parts: bytes | memoryview) -> str:
    """The fingerprint of a file that consists of these parts in order."""
    whole = xxhash.xxh3_128()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()
