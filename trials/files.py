"""Files that are complete if they exist: written under a temporary name, fsynced, renamed; on an object store one PUT.

The folder is fsynced after the renaming, or a loss of power could take the name back that a reader has seen.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import xxhash

from trials.remote import PATIENCE_SECONDS, patiently, put, remote_path


class NotWritten(OSError):
    """A file of ours could not be written: no fault of what it was made from."""


def place(text: str | Path) -> Path:
    """Where a text points: a local path or, for a URL such as s3://bucket/run, an object with the methods of a Path."""
    return remote_path(str(text)) if "://" in str(text) else Path(text)


def is_remote(path: Path) -> bool:
    """True for what place() made of a URL."""
    return not isinstance(path, Path)


def write_whole(path: Path, write: Callable[[BinaryIO], object], patience: float = PATIENCE_SECONDS) -> None:
    """Let write() fill an open file, then give it its name in one step; on failure nothing of it remains.

    The temporary file lies beside the final one and starts with a dot, so no reader's pattern matches it. An object store
    that is away is asked again for so many seconds of patience; a disk is not, since a full one stays full.
    """
    if is_remote(path):
        buffer = BytesIO()
        write(buffer)
        return put(path, buffer.getvalue(), patience)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _keep_names(path.parent)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise not_written(path, error) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return None


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
    """The same error with the file's name and the way out: numpy's own has neither number nor name."""
    free = shutil.disk_usage(path.parent).free
    ways = {errno.EISDIR: "a folder has this name; move it away", errno.EACCES: "take a folder that you may write to"}
    way = ways.get(error.errno or 0, f"{free / 1e6:.1f} MB are free there; make room and run again")
    return NotWritten(error.errno or errno.ENOSPC, f"{error.strerror or error}; {way}", str(path))


def write_text(path: Path, text: str, patience: float = PATIENCE_SECONDS) -> None:
    """Write a UTF-8 text file whole; patience as for write_whole."""
    write_whole(path, lambda file: file.write(text.encode()), patience)


def read_bytes(path: Path, patience: float = PATIENCE_SECONDS) -> bytes:
    """A file's content; patience as for write_whole. Raises FileNotFoundError where there is none."""
    return patiently(path.read_bytes, str(path), patience) if is_remote(path) else path.read_bytes()


def read_text(path: Path) -> str:
    """A UTF-8 file's text. Raises FileNotFoundError where there is none, ValueError where it is no UTF-8."""
    return read_bytes(path).decode()


def matching(folder: Path, pattern: str, patience: float = PATIENCE_SECONDS) -> list[Path]:
    """The files of a folder that a pattern names, sorted; none where the folder does not exist. patience as for write_whole."""
    if is_remote(folder):
        return sorted(patiently(lambda: list(folder.glob(pattern)), str(folder), patience))
    return sorted(folder.glob(pattern))


def sha256(path: Path) -> str:
    """Digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """XXH3 of a file's bytes, 128 bits: tells damage and change, not malice, in a tenth of the time of SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def fingerprint_of(*parts: bytes | memoryview) -> str:
    """The fingerprint of a file that holds these parts, one after the other."""
    whole = xxhash.xxh3_128()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()
