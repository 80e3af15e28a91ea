"""A file opened for reading, inflated if it is gzip: whatever cannot be read leaves as one
FileFault.
"""

import errno
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from isal import igzip, igzip_lib

from trials.records.faults import FileFault, user_name

ENDINGS = (".nii.gz", ".nii")
FETCH = "fetch it again"


class Digested(io.FileIO):
    """A file that keeps the XXH3 of the bytes that readinto() took from it, 128 bits."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._sum = xxhash.xxh3_128()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return how many bytes that took."""
        count = super().readinto(buffer)
        self._sum.update(memoryview(buffer)[:count])
        return count

    def digest(self) -> str:
        """The fingerprint of the whole file, once it has been read from its start to its end."""
        return self._sum.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[tuple[io.BufferedIOBase, Digested]]:
    """Open a NIfTI file by its content: its bytes, inflated, and the file itself, which tells their
    digest at the end.

    Raises FileFault for what is none, is cut, is damaged or cannot be read.
    """
    try:
        with Digested(path) as source:
            is_gzip = _check_start(path, source.read(64))
            source.seek(0)
            yield (
                (
                    igzip.IGzipFile(fileobj=source, mode="rb")
                    if is_gzip
                    else io.BufferedReader(source)
                ),
                source,
            )
    except EOFError:
        raise FileFault(
            path,
            "cut",
            f"ends early: its gzip stream is cut after {path.stat().st_size} bytes",
            FETCH,
        ) from None
    except (gzip.BadGzipFile, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]
        raise FileFault(path, "damaged", f"is damaged ({_told(error)})", FETCH) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> FileFault:
    if error.errno in (errno.EACCES, errno.EPERM):
        return FileFault(
            path,
            "unreadable",
            f"cannot be read as user {user_name()}",
            "give that user the right to read it",
        )
    return FileFault(
        path, "unreadable", f"cannot be read ({error.strerror or error})", "put the file there"
    )


def _told(error: Exception) -> str:
    return "CRC mismatch" if "crc" in str(error).lower() else str(error)


def _check_start(path: Path, start: bytes) -> bool:
    """Whether the first bytes are gzip's. Raises FileFault where they are not what the name
    promises.
    """
    if not start:
        raise FileFault(path, "empty", "is empty (0 bytes)", FETCH)
    if start.startswith(b"version https://git-lfs"):
        raise FileFault(
            path, "lfs_pointer", "is a git-LFS pointer, not the file", "run `git lfs pull`"
        )
    if start.lstrip().startswith(b"<"):
        shown = start.lstrip()[:16].decode("latin-1")
        raise FileFault(
            path, "web_page", f"is a web page, starting with {shown!r}: the download failed", FETCH
        )
    is_gzip = start.startswith(b"\x1f\x8b")
    if is_gzip and not path.name.endswith(".gz"):
        raise FileFault(path, "wrong_name", "is a gzip file by content", "name it .nii.gz")
    if path.name.endswith(".gz") and not is_gzip:
        text = f"is not a gzip file: it starts with {start[:8]!r}"
        raise FileFault(path, "wrong_name", text, f"{FETCH}, or name it .nii if it is one")
    return is_gzip
