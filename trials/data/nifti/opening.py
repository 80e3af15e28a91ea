"""Opens the file that holds a volume's voxels, decompressing it; every read error becomes a
FileFault.
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash
from isal import igzip_lib

from trials.records.faults import FileFault
from trials.storage.user import user_name

# Of volumes in one file, and of headers whose voxels lie in another file; a longer ending comes
# before the one that it ends in.
DETACHED = (".hdr", ".nhdr", ".mhd")
ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", *DETACHED)
# Files of voxels, as programs name them beside such a header.
VOXEL_ENDINGS = (".img", ".raw", ".raw.gz", ".zraw")
FETCH = "fetch it again"
DICOM_AT, DICOM_MAGIC = 128, b"DICM"
# What check_start() looks at.
START_BYTES = DICOM_AT + len(DICOM_MAGIC)
DCM2NIIX = "dcm2niix -z y -f %i_%s -o OUT FOLDER"
TO_NIFTI = f"convert each series to NIfTI: {DCM2NIIX}"
GZIP, ZLIB = "gzip", "zlib"
FLAGS = {GZIP: igzip_lib.DECOMP_GZIP, ZLIB: igzip_lib.DECOMP_ZLIB}
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 2**17


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelFile:
    """The file that holds a volume's voxels, from byte start on; encoding is "", "gzip" or "zlib".

    before is what a header in a file of its own says. With it the fingerprint of a volume in two
    files changes with either of them.
    """

    path: Path
    encoding: str = ""
    start: int = 0
    before: bytes = b""


class DigestingFile(io.FileIO):
    """A file that computes the 128-bit XXH3 of `before` and the bytes read by readinto().

    left_over counts the bytes behind a compressed stream that are no part of it.
    """

    def __init__(self, path: Path, before: bytes = b""):
        super().__init__(path)
        self._sum = xxhash.xxh3_128(before)
        self.left_over = 0

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return the number of bytes read."""
        count = super().readinto(buffer)
        self._sum.update(memoryview(buffer)[:count])
        return count

    def digest(self) -> str:
        """The fingerprint of the whole file, after it has been read from start to end."""
        return self._sum.hexdigest()


class Inflated(io.RawIOBase):
    """What a file holds in one zlib stream, or in gzip members one after another, each verified by
    its checksum. Bytes behind it that are no gzip are counted and passed over, as gzip(1) does.
    """

    def __init__(self, source: DigestingFile, encoding: str):
        self._source, self._encoding = source, encoding
        self._packed = io.BufferedReader(source, CHUNK_BYTES)
        self._position = 0
        self._stream = igzip_lib.IgzipDecompressor(flag=FLAGS[encoding])

    def readable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The number of bytes that were unpacked."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return the number of bytes. Raises EOFError for a stream that is cut,
        IsalError for one that is damaged.
        """
        while not self._stream.eof or self._starts_again():
            packed = self._packed.read1(CHUNK_BYTES) if self._stream.needs_input else b""
            if self._stream.needs_input and not packed:
                raise EOFError
            if piece := self._stream.decompress(packed, len(buffer)):
                buffer[: len(piece)] = piece
                self._position += len(piece)
                return len(piece)
        return 0

    def _starts_again(self) -> bool:
        """Whether a further gzip member follows; otherwise the file is read to its end. Zeros that
        fill up a file count as nothing.
        """
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest and (piece := self._packed.read1(CHUNK_BYTES)):
            rest = piece.lstrip(b"\0")
        rest += self._packed.read(1) if len(rest) == 1 else b""
        if self._encoding == GZIP and rest.startswith(GZIP_MAGIC):
            self._stream = igzip_lib.IgzipDecompressor(flag=FLAGS[GZIP])
            self._stream.decompress(rest, 0)
            return True
        self._source.left_over += len(rest)
        while piece := self._packed.read1(CHUNK_BYTES):
            self._source.left_over += len(piece)
        return False


@contextmanager
def open_voxels(file: VoxelFile) -> Iterator[tuple[io.BufferedIOBase, DigestingFile]]:
    """Open a file of voxels: yields the decompressed stream, and the file with its digest.

    Raises FileFault for a file that is truncated, damaged or unreadable.
    """
    with read_errors(file.path):
        try:
            with DigestingFile(file.path, file.before) as source:
                _skip(source, file.start)
                packed = Inflated(source, file.encoding) if file.encoding else source
                yield io.BufferedReader(packed), source
        except EOFError:
            text = (
                f"ends early: its {file.encoding} stream is truncated after "
                f"{file.path.stat().st_size} bytes"
            )
            raise FileFault(file.path, "cut", text, FETCH) from None
        except igzip_lib.IsalError as error:  # type: ignore[misc]
            reason = "CRC mismatch" if "checksum" in str(error) else str(error)
            raise FileFault(file.path, "damaged", f"is damaged ({reason})", FETCH) from None


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a FileFault of this file."""
    try:
        yield
    except OSError as error:
        raise _unreadable(path, error) from None


def nifti_file(path: Path) -> VoxelFile:
    """A NIfTI file, gzip detected by content. Raises FileFault if that and its name disagree."""
    with read_errors(path), path.open("rb") as file:
        start = file.read(START_BYTES)
    check_start(path, start)
    is_gzip = start.startswith(GZIP_MAGIC)
    if is_gzip and not path.name.endswith(".gz"):
        raise FileFault(path, "wrong_name", "is a gzip file by content", "name it .nii.gz")
    if path.name.endswith(".gz") and not is_gzip:
        text = f"is not a gzip file: it starts with {start[:8]!r}"
        raise FileFault(path, "wrong_name", text, f"{FETCH}, or name it .nii if it is one")
    return VoxelFile(path=path, encoding=GZIP if is_gzip else "")


def check_start(path: Path, start: bytes) -> None:
    """Raise FileFault for a file whose first bytes are no volume's, whatever its format."""
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
    if start[DICOM_AT:] == DICOM_MAGIC:
        raise FileFault(path, "dicom", "is a DICOM file", TO_NIFTI)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its first bytes or its ending; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError:
        return False
    return start[DICOM_AT:] == DICOM_MAGIC or path.suffix.lower() == ".dcm"


def ending_of(name: str) -> str:
    """The known ending of a file's name; "" if it has none."""
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def _skip(source: DigestingFile, count: int) -> None:
    while count > 0 and (got := source.readinto(bytearray(min(count, CHUNK_BYTES)))):
        count -= got


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
