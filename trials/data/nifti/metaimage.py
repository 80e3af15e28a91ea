"""MetaImage headers (.mha, .mhd), as MetaIO and SimpleITK write them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from trials.data.nifti.geometry import Geometry
from trials.data.nifti.opening import ZLIB, VoxelFile
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

MAGIC = rb"[A-Za-z]+ *="
LAST = "ElementDataFile"
# A long has 4 bytes in MetaIO, whatever the machine.
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# Names of one field, the first that is there counts.
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
ORIGIN = ("Offset", "Position", "Origin")
SPACING = ("ElementSpacing", "ElementSize")
BYTE_ORDER = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
# MetaIO takes a value that starts with one of these as true, and any other as false.
TRUE = ("T", "t", "1")
# "?" stands for an unknown unit.
UNITS = ("mm", "?", "")
# How far the length of a direction may be off 1: what printing it with few digits leaves.
LENGTH_TOLERANCE = 1e-3


def read_metaimage(path: Path) -> Stated:
    """What a MetaImage header states. Raises FileFault for one that is none, or whose voxels are
    text.
    """
    header = read_text_header(path, MAGIC, "=", lambda line: line.startswith(LAST.encode()))
    if LAST not in header.fields or header.fields.get("ObjectType", "Image") != "Image":
        text = f"must have 'ObjectType = Image' and end its header with {LAST!r}"
        raise FileFault(path, "header", text, "fetch or write it again")
    if (unit := header.fields.get("DistanceUnits", "")) not in UNITS:
        text = f"'DistanceUnits' must be mm; got {shown(unit)}"
        raise FileFault(path, "unit", text, "write it again in millimetres")
    edges, dtype = header.integers("DimSize"), _dtype(header)
    channels = _channels(header)
    return Stated(
        edges=(*edges, channels) if channels > 1 else edges,
        dtype=dtype,
        data=_data(header, dtype, edges, channels),
        num_interleaved=channels,
        geometry=partial(_geometry, header, len(edges)),
    )


def _dtype(header: TextHeader) -> np.dtype:
    kind = header.fields.get("ElementType", "")
    if kind not in TYPES or not _is_true(header, ("BinaryData",), "True"):
        text = f"voxels must be binary integers or floats of up to 64 bits; got {shown(kind)}"
        raise FileFault(header.path, "voxel_type", text, "convert it")
    return np.dtype(f"{'>' if _is_true(header, BYTE_ORDER) else '<'}{TYPES[kind]}")


def _channels(header: TextHeader) -> int:
    field = "ElementNumberOfChannels"
    return max(1, header.integers(field)[0]) if field in header.fields else 1


def _data(header: TextHeader, dtype: np.dtype, edges: tuple[int, ...], channels: int) -> VoxelFile:
    """Where the voxels are: in this file or in the one that it names, behind HeaderSize bytes; -1
    means at its end.
    """
    name = header.fields[LAST]
    own = VoxelFile(path=header.path, start=len(header.text))
    file = own if name in ("LOCAL", "Local", "local") else detached(header, name, LAST)
    skipped = header.integers("HeaderSize")[0] if "HeaderSize" in header.fields else 0
    encoding = ZLIB if _is_true(header, ("CompressedData",)) else ""
    start = file.start + max(0, skipped)
    if skipped < 0 and not encoding:
        start = from_the_end(file.path, edges, dtype, channels)
    return replace(file, encoding=encoding, start=start)


def _geometry(header: TextHeader, dimension: int, _: tuple[int, int, int]) -> Geometry:
    """The geometry of the first three axes. Raises FileFault for directions that are no unit
    vectors, or that lead out of space.
    """
    spacing = np.array(header.numbers(_field(header, SPACING), dimension))
    matrix, origin, why = np.eye(dimension), np.zeros(dimension), "has no TransformMatrix"
    if (field := _field(header, DIRECTIONS)) in header.fields:
        # Each row of the file is the direction of an axis.
        matrix = np.reshape(header.numbers(field, dimension**2), (dimension, dimension)).T
        why = ""
    if (field := _field(header, ORIGIN)) in header.fields:
        origin = np.array(header.numbers(field, dimension))
    steps = matrix[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(steps, axis=0)
    if not (np.abs(lengths - 1) <= LENGTH_TOLERANCE).all():
        text = f"its directions must be unit vectors; their lengths are {lengths.tolist()}"
        raise FileFault(header.path, "affine", text, REWRITE)
    if not (spacing[:3] > 0).all():
        text = f"voxel edges must be positive; got {spacing.tolist()}"
        raise FileFault(header.path, "spacing", text, REWRITE)
    return lps_geometry(header.path, steps / lengths * spacing[:3], origin[:3], why)


def _field(header: TextHeader, names: tuple[str, ...]) -> str:
    """The first of these names that the header has, else the first one."""
    return next((name for name in names if name in header.fields), names[0])


def _is_true(header: TextHeader, names: tuple[str, ...], otherwise: str = "") -> bool:
    """Whether the first of these fields that is there says true."""
    return header.fields.get(_field(header, names), otherwise).startswith(TRUE)
