"""Opens a file for reading, decompressing gzip; every read error becomes a FileFault."""

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

from trials.records.faults import FileFault
from trials.storage.user import user_name

ENDINGS = (".nii.gz", ".nii")
FETCH = "fetch it again"


class DigestingFile(io.FileIO):
    """A file that computes the 128-bit XXH3 of the bytes read by readinto()."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._sum = xxhash.xxh3_128()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return the number of bytes read."""
        count = super().readinto(buffer)
        self._sum.update(memoryview(buffer)[:count])
        return count

    def digest(self) -> str:
        """The fingerprint of the whole file, after it has been read from start to end."""
        return self._sum.hexdigest()


@contextmanager
def open_nifti(path: Path) -> Iterator[tuple[io.BufferedIOBase, DigestingFile]]:
    """Open a NIfTI file, gzip detected by content: yields the decompressed stream, and the file
    with its digest.

    Raises FileFault for a file that is not NIfTI or is truncated, damaged or unreadable.
    """
    try:
        with DigestingFile(path) as source:
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
            f"ends early: its gzip stream is truncated after {path.stat().st_size} bytes",
            FETCH,
        ) from None
    except (gzip.BadGzipFile, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]
        raise FileFault(path, "damaged", f"is damaged ({_short_reason(error)})", FETCH) from None
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


def _short_reason(error: Exception) -> str:
    return "CRC mismatch" if "crc" in str(error).lower() else str(error)


def _check_start(path: Path, start: bytes) -> bool:
    """Whether the first bytes are gzip's. Raises FileFault if they do not match the file's name."""
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
