"""NRRD headers (.nrrd, .nhdr), by teem's definition of the format, teem.sourceforge.net/nrrd."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trials.data.nifti.opening import GZIP, VoxelFile
from trials.data.nifti.stated import (
    REWRITE,
    Stated,
    TextHeader,
    detached,
    from_the_end,
    lps_geometry,
    read_text_header,
)
from trials.records.faults import FileFault
from trials.records.record import shown

MAGIC = rb"NRRD000\d\r?\n"
TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        *("longlong", "long long", "long long int", "signed long long", "signed long long int"),
        *("int64", "int64_t"),
    ),
    "u8": (*("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),),
    "f4": ("float",),
    "f8": ("double",),
}
ENCODINGS = {"raw": "", "gzip": GZIP, "gz": GZIP}
BYTE_ORDERS = {"little": "<", "big": ">"}
# The spaces of a patient, as signs that lead to the frame of DICOM.
SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
SPATIAL_KINDS = ("domain", "space", "???", "none")


def read_nrrd(path: Path) -> Stated:
    """What an NRRD header states. Raises FileFault for one that is no NRRD, or that this project
    does not read: other encodings than raw and gzip, fewer than three axes in space.
    """
    fields = _named(read_text_header(path, MAGIC, ":", lambda line: not line.strip()))
    _check_units(fields, "space units")
    dtype, edges = _dtype(fields), fields.integers("sizes")
    steps = _steps(fields, len(edges))
    space = [axis for axis, step in enumerate(steps) if step is not None]
    others = [axis for axis, step in enumerate(steps) if step is None]
    is_interleaved = others == [0]
    if len(space) != 3 or not (is_interleaved or space == [0, 1, 2]):
        text = f"must have three axes in space, and channels in the first or last; got {edges}"
        raise FileFault(path, "shape", text, "split or convert it")
    columns = np.column_stack([step for step in steps if step is not None])
    origin, why = _origin(fields), _why_unknown(fields)
    sign = np.array(SPACES.get(_space(fields), (1, 1, 1)))
    return Stated(
        edges=tuple(edges[axis] for axis in (*space, *others)),
        dtype=dtype,
        data=_data(fields, dtype, edges),
        offset=max(0, _byte_skip(fields)),
        num_interleaved=edges[0] if is_interleaved else 1,
        geometry=lambda _: lps_geometry(path, sign[:, None] * columns, sign * origin, why),
    )


def _named(header: TextHeader) -> TextHeader:
    """The header with its fields in small letters, each under one name. Raises FileFault for two
    that differ under it.
    """
    names = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip"}
    fields: dict[str, str] = {}
    for name, value in header.fields.items():
        key = names.get(name.lower(), name.lower())
        if fields.setdefault(key, value) != value:
            raise FileFault(header.path, "header", f"states {shown(key)} twice", REWRITE)
    return TextHeader(path=header.path, fields=fields, text=header.text)


def _dtype(header: TextHeader) -> np.dtype:
    kind = header.fields.get("type", "").lower()
    found = next((code for code, names in TYPES.items() if kind in names), None)
    if found is None:
        text = f"'type' must be an integer or float of up to 64 bits; got {shown(kind)}"
        raise FileFault(header.path, "voxel_type", text, "convert it")
    order = BYTE_ORDERS.get(header.fields.get("endian", "").lower())
    if order is None and found[1] != "1":
        text = f"'endian' must be little or big; got {shown(header.fields.get('endian'))}"
        raise FileFault(header.path, "header", text, REWRITE)
    return np.dtype(f"{order or ''}{found}")


def _data(header: TextHeader, dtype: np.dtype, edges: tuple[int, ...]) -> VoxelFile:
    """Where the voxels are. Raises FileFault for an encoding or a skip that is not read."""
    encoding = header.fields.get("encoding", "").lower()
    is_at_end = _byte_skip(header) < 0
    if (
        encoding not in ENCODINGS
        or header.fields.get("line skip", "0") != "0"
        or (is_at_end and ENCODINGS[encoding])
    ):
        text = (
            "its voxels must be encoded as raw or gzip, without 'line skip', and 'byte skip' may "
            f"be -1 for raw only; got {shown(encoding)}"
        )
        raise FileFault(header.path, "encoding", text, "write it again as gzip")
    name = header.fields.get("data file")
    file = (
        VoxelFile(path=header.path, start=len(header.text))
        if name is None
        else detached(header, name, "data")
    )
    start = from_the_end(file.path, edges, dtype, 1) if is_at_end else file.start
    return replace(file, encoding=ENCODINGS[encoding], start=start)


def _byte_skip(header: TextHeader) -> int:
    return header.integers("byte skip")[0] if "byte skip" in header.fields else 0


def _steps(header: TextHeader, dimension: int) -> list[np.ndarray | None]:
    """The step [3] along each axis of the file; None for an axis of channels."""
    text = header.fields.get("space directions")
    if text is None:
        return _straight_steps(header, dimension)
    steps = [
        _vector(header, "space directions", inside) if inside else None
        for inside in re.findall(r"\(([^()]*)\)|none", text)
    ]
    if len(steps) != dimension:
        wrong = f"'space directions' must be {dimension} vectors or 'none'; got {shown(text)}"
        raise FileFault(header.path, "header", wrong, REWRITE)
    # With a fourth axis in time, as SimpleITK writes series, the step along it leads nowhere.
    return [step if step is not None and step.any() else None for step in steps]


def _straight_steps(header: TextHeader, dimension: int) -> list[np.ndarray | None]:
    """The steps of a file that has spacings alone."""
    if "space" in header.fields:
        text = "names a space of a patient, but no 'space directions' in it"
        raise FileFault(header.path, "header", text, REWRITE)
    spacings = header.numbers("spacings", dimension)
    kinds = header.fields.get("kinds", "domain " * dimension).split()
    space = [axis for axis, kind in enumerate(kinds) if kind.lower() in SPATIAL_KINDS][:3]
    _check_units(header, "units", space)
    return [
        np.eye(3)[space.index(axis)] * spacings[axis] if axis in space else None
        for axis in range(dimension)
    ]


def _vector(header: TextHeader, field: str, inside: str) -> np.ndarray:
    """The first three numbers of a vector, of three or, with time, four."""
    try:
        found = [float(word) for word in inside.split(",")]
    except ValueError:
        found = []
    if len(found) not in (3, 4):
        text = f"{field!r} must hold vectors of three numbers; got {shown(inside)}"
        raise FileFault(header.path, "header", text, REWRITE)
    return np.array(found[:3])


def _origin(header: TextHeader) -> np.ndarray:
    text = header.fields.get("space origin", "(0,0,0)")
    return _vector(header, "space origin", text.strip("()"))


def _why_unknown(header: TextHeader) -> str:
    """Why the orientation is unknown; "" if it is known."""
    return "" if _space(header) in SPACES else "names no space of a patient"


def _space(header: TextHeader) -> str:
    return header.fields.get("space", "").lower().removesuffix("-time")


def _check_units(header: TextHeader, field: str, axes: Sequence[int] = ()) -> None:
    """Raise FileFault unless the units of these axes, by default of all, are mm or not stated."""
    units = re.findall(r'"([^"]*)"', header.fields.get(field, ""))
    if {unit for axis, unit in enumerate(units) if axis in axes or not axes} - {"mm", ""}:
        text = f"{field!r} must be mm; got {shown(header.fields[field])}"
        raise FileFault(header.path, "unit", text, "write it again in millimetres")
