"""What the header of a volume states, whatever its format; and how headers of text are read.

Nothing here is limited or believed yet: trials.data.nifti.header does that for all formats.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.nifti.geometry import (
    Geometry,
    check_grid,
    decimal_mm,
    is_sound,
    unknown_orientation,
)
from trials.data.nifti.opening import START_BYTES, VoxelFile, check_start, read_errors
from trials.records.faults import FileFault, printable, why_no_file
from trials.records.record import shown

MAX_TEXT_BYTES = 2**20
REWRITE = "write the file again"
# From the frame of DICOM, x to the left and y to the back, to that of NIfTI.
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MOST_EDGES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a header states of its volume.

    edges are the numbers of voxels in file axes, the first one fastest; those of channels come
    last. A stored value v means v * slope + inter; offset are the bytes before the voxels in the
    decompressed stream. num_interleaved numbers lie side by side at every voxel, one a channel.
    geometry gives the Geometry for edges that were checked. is_exact says that the stream must end
    with the voxels, since the header does not say where they start.
    """

    edges: tuple[int, ...]
    dtype: np.dtype
    data: VoxelFile
    geometry: Callable[[tuple[int, int, int]], Geometry]
    offset: int = 0
    slope: float = 1.0
    inter: float = 0.0
    num_interleaved: int = 1
    remarks: tuple[FileFault, ...] = ()
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextHeader:
    """The fields of a header of text, and the bytes that it takes at the start of its file."""

    path: Path
    fields: dict[str, str]
    text: bytes

    def numbers(self, field: str, count: int | None = None) -> list[float]:
        """The numbers of a field, so many if count is given. Raises FileFault for others, and for a
        field that is missing.
        """
        words = self.fields.get(field, "").split()
        try:
            found = [float(word) for word in words]
        except ValueError:
            found = []
        if not found or (count is not None and len(found) != count):
            wanted = f"{count} numbers" if count else "numbers"
            text = f"{field!r} must be {wanted}; got {shown(self.fields.get(field))}"
            raise FileFault(self.path, "header", text, REWRITE)
        return found

    def integers(self, field: str) -> tuple[int, ...]:
        """The whole numbers of a field, at most seven. Raises FileFault for others."""
        found = self.numbers(field)
        if not all(number.is_integer() for number in found) or len(found) > MOST_EDGES:
            text = f"{field!r} must be whole numbers; got {shown(self.fields[field])}"
            raise FileFault(self.path, "header", text, REWRITE)
        return tuple(map(int, found))


def read_text_header(
    path: Path, magic: bytes, separator: str, is_last: Callable[[bytes], bool]
) -> TextHeader:
    """Read the fields "name SEPARATOR value" at the start of a file, up to the line that ends them
    or the file's end.

    Raises FileFault unless the file starts with the pattern magic, for a header of more than 1 MiB,
    and for a field that stands there twice.
    """
    lines: list[bytes] = []
    with read_errors(path), path.open("rb") as file:
        start = file.read(START_BYTES)
        check_start(path, start)
        if not re.match(magic, start):
            text = f"does not start as a file of its ending does, but with {start[:8]!r}"
            raise FileFault(path, "header", text, "fetch or write it again")
        file.seek(0)
        while line := file.readline(MAX_TEXT_BYTES):
            lines.append(line)
            if is_last(line):
                break
            if sum(map(len, lines)) >= MAX_TEXT_BYTES:
                text = f"its header must end within {MAX_TEXT_BYTES} bytes"
                raise FileFault(path, "header", text, REWRITE)
    fields: dict[str, str] = {}
    for line in lines:
        name, found, value = line.decode("utf-8", "surrogateescape").partition(separator)
        # In NRRD "#" starts a comment, and "key:=value" is of another program.
        if not found or line.startswith(b"#") or value.startswith("="):
            continue
        if fields.setdefault(name.strip(), value.strip()) != value.strip():
            text = f"states {shown(name.strip())} twice"
            raise FileFault(path, "header", text, REWRITE)
    return TextHeader(path=path, fields=fields, text=b"".join(lines))


def detached(header: TextHeader, name: str, field: str) -> VoxelFile:
    """The file of voxels that a header names. Raises FileFault unless it is one file, in the
    header's folder or below it; links are followed.
    """
    path, way = header.path, os.path.normpath(name)
    if "\0" in name or os.path.isabs(way) or way.split(os.sep)[0] == os.pardir:
        text = f"its voxels must lie in its own folder or below; it names {shown(name)}"
        raise FileFault(path, "detached", text, f"move the file there and correct {field!r}")
    if name.split(" ")[0] == "LIST" or "%" in name:
        text = f"its voxels must lie in one file; it names {shown(name)}"
        raise FileFault(path, "detached", text, "write the volume as one file")
    file = path.parent / way
    if why := why_no_file(file):
        text = f"its voxels are in {printable(name)}, which {why}"
        raise FileFault(path, "detached", text, f"put that file beside it, or correct {field!r}")
    lines = header.text.splitlines(keepends=True)
    # Without its name: the fingerprint is that of the content.
    before = b"".join(line for line in lines if not line.startswith(field.encode()))
    return VoxelFile(path=file, before=before)


def from_the_end(path: Path, edges: Iterable[int], dtype: np.dtype, channels: int) -> int:
    """Where the voxels of a file start that end with it."""
    size = dtype.itemsize * channels
    for edge in edges:
        size *= edge
    with read_errors(path):
        return max(0, path.stat().st_size - size)


def lps_geometry(
    path: Path, steps: np.ndarray, origin: np.ndarray, why_unknown: str = ""
) -> Geometry:
    """The geometry of a volume whose steps [3, 3] lead from voxel to voxel along each axis, in
    columns, in mm in the frame of DICOM.

    why_unknown says why that frame is assumed. Raises FileFault for steps without sense.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps, origin
    if not is_sound(affine):
        text = f"its affine must be finite and invertible; got {affine[:3].tolist()}"
        raise FileFault(path, "affine", text, REWRITE)
    affine = TO_RAS @ affine
    with np.errstate(over="ignore"):
        x, y, z = (decimal_mm(edge) for edge in np.linalg.norm(steps, axis=0))
    remarks = [unknown_orientation(path, why_unknown)] if why_unknown else []
    return Geometry(
        affine=affine,
        spacing_mm=(x, y, z),
        remarks=(*remarks, *check_grid(path, affine, (x, y, z))),
    )
