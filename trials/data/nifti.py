"""A NIfTI file as a checked header and a stream of planes, so that no case is ever held whole.

Limits are tested before memory is taken, and a gzip stream is read to its end, where its checksum lies.
"""

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip, igzip_lib

MAX_EDGE = 4096
MAX_VOXELS = 2**31
MAX_OFFSET = 2**24
# Deflate stores at best 258 bytes in 2 bits: a header that claims more cannot be true.
MAX_DEFLATE_RATIO = 1032
MAX_INTENSITY = 1e30
LABEL_TOLERANCE = 1e-3
SHEAR_TOLERANCE = 1e-3
MAX_CONDITION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says about itself, already found plausible.

    shape is in file axes, the first one fastest in the file; a stored value v means v * slope + inter.
    affine [4, 4] maps voxel indices to millimetres, x to the right, y to the front, z to the head.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    affine: np.ndarray


def read_header(path: Path) -> Header:
    """Read and check a file's header without touching its voxels. Raises ValueError naming the file and the fault."""
    with _opened(path) as file:
        block = file.read(540)
    raw = _parse(path, block)
    shape = _checked_shape(path, raw["dim"])
    dtype = _checked_dtype(path, raw)
    offset = float(raw["vox_offset"])
    if not raw["sizeof_hdr"] <= offset <= MAX_OFFSET:
        raise ValueError(
            f"{path}: voxels must start within the first 16 MiB, after the header; got offset {offset}; write the file again"
        )
    _check_claim(path, int(offset) + math.prod(shape) * dtype.itemsize)
    slope, inter = _scaling(path, float(raw["scl_slope"]), float(raw["scl_inter"]))
    affine = _checked_affine(path, raw)
    return Header(path=path, shape=shape, dtype=dtype, offset=int(offset), slope=slope, inter=inter, affine=affine)


def stored_planes(header: Header) -> Iterator[np.ndarray]:
    """Yield the planes of the last file axis as stored, [axis 1, axis 0] each, read-only; scaled() gives their values.

    Raises ValueError for voxels that are no finite numbers, a stream that is cut, altered or too long.
    """
    columns, rows, planes = header.shape
    size = columns * rows * header.dtype.itemsize
    with _opened(header.path) as file:
        file.read(header.offset)
        for index in range(planes):
            piece = file.read(size)
            if len(piece) < size:
                raise ValueError(f"{header.path} ends early, in plane {index} of {planes}; fetch or write it again")
            plane = np.frombuffer(piece, header.dtype).reshape(rows, columns)
            if header.dtype.kind == "f":
                _check_finite(header.path, plane)
            yield plane
        if file.read(1):
            raise ValueError(f"{header.path} holds more bytes than its header claims; write it again")


def scaled(header: Header, stored: np.ndarray) -> np.ndarray:
    """Turn stored numbers into values (HU for a CT), float32."""
    if (header.slope, header.inter) == (1, 0):
        return stored.astype(np.float32)
    with np.errstate(over="ignore"):
        return (stored * header.slope + header.inter).astype(np.float32)


def label_planes(header: Header, num_classes: int) -> Iterator[np.ndarray]:
    """Yield the planes as class indices, uint8 [axis 1, axis 0]. Raises ValueError for any label outside 0..num_classes - 1.

    Scaled and floating labels pass if they lie within 0.001 of an integer.
    """
    for plane in stored_planes(header):
        if header.dtype.kind == "f" or (header.slope, header.inter) != (1, 0):
            values = plane * header.slope + header.inter
            plane = np.rint(values)
            if (worst := np.abs(values - plane).max()) > LABEL_TOLERANCE:
                value = values.flat[np.abs(values - plane).argmax()]
                raise ValueError(f"{header.path}: labels must be integers; got {value:g} ({worst:.2g} off); was it resampled?")
        low, high = plane.min(), plane.max()
        if low < 0 or high >= num_classes:
            wrong = low if low < 0 else high
            raise ValueError(f"{header.path}: labels must lie in 0..{num_classes - 1}; got {wrong:g}; correct the mask")
        yield plane.astype(np.uint8, copy=False)


def count_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Voxels of each class, int64 [K], of an array of class indices."""
    if not labels.any():
        return np.eye(1, num_classes, dtype=np.int64)[0] * labels.size
    return np.bincount(labels.ravel(), minlength=num_classes)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file, inflating if it is gzip; every fault of reading it leaves as one ValueError."""
    try:
        with path.open("rb") as file:
            is_gzip = _check_start(path, file.read(64))
            file.seek(0)
            yield igzip.IGzipFile(fileobj=file, mode="rb") if is_gzip else file
    except EOFError:
        raise ValueError(f"{path} ends early: its gzip stream is cut; fetch it again") from None
    except (gzip.BadGzipFile, zlib.error, igzip_lib.IsalError) as error:  # type: ignore[misc]
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None


def _check_start(path: Path, start: bytes) -> bool:
    """Whether the first bytes are gzip's. Raises ValueError where they are not what the name promises."""
    if not start:
        raise ValueError(f"{path} is empty (0 bytes); fetch it again")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a git-LFS pointer, not the file; run `git lfs pull`")
    if start.lstrip().startswith(b"<"):
        raise ValueError(f"{path} is a web page, not a NIfTI file: the download failed; fetch it again")
    is_gzip = start.startswith(b"\x1f\x8b")
    if is_gzip and not path.name.endswith(".gz"):
        raise ValueError(f"{path} is a gzip file by content; name it .nii.gz")
    if path.name.endswith(".gz") and not is_gzip:
        raise ValueError(
            f"{path} is not a gzip file: it starts with {start[:8]!r}; fetch it again, or name it .nii if it is one"
        )
    return is_gzip


def _parse(path: Path, block: bytes) -> nib.Nifti1Header:
    kinds = {348: (nib.Nifti1Header, b"n+1"), 540: (nib.Nifti2Header, b"n+2")}
    for order in ("little", "big"):
        size = int.from_bytes(block[:4], order)
        if size in kinds and len(block) >= size:
            kind, magic = kinds[size]
            raw = kind(block[:size], check=False)
            if bytes(raw["magic"].item()).startswith(magic):
                return raw
    raise ValueError(f"{path} is not a single-file NIfTI: its header is cut or wrong; fetch or write it again")


def _checked_shape(path: Path, dim: np.ndarray) -> tuple[int, int, int]:
    """The first three edges; further axes must have length 1."""
    edges = [int(edge) for edge in dim[1 : int(dim[0]) + 1]]
    if len(edges) < 3 or any(edge != 1 for edge in edges[3:]) or not 3 <= dim[0] <= 7:
        raise ValueError(f"{path} must hold one volume of three axes; its shape is {edges}; split or convert it")
    shape = (edges[0], edges[1], edges[2])
    if not all(1 <= edge <= MAX_EDGE for edge in shape) or math.prod(shape) > MAX_VOXELS:
        raise ValueError(f"{path}: edges must lie in 1..{MAX_EDGE}, voxels up to {MAX_VOXELS}; the header says {list(shape)}")
    return shape


def _checked_dtype(path: Path, raw: nib.Nifti1Header) -> np.dtype:
    try:
        dtype = raw.get_data_dtype()
    except (KeyError, nib.spatialimages.HeaderDataError):
        raise ValueError(f"{path}: voxel type {int(raw['datatype'])} is not known; write it again") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError(f"{path}: voxels must be integers or floats up to 64 bits; got {dtype}; convert it to one channel")
    return dtype


def _check_claim(path: Path, claimed: int) -> None:
    size = path.stat().st_size
    limit = size * MAX_DEFLATE_RATIO if path.name.endswith(".gz") else size
    if claimed > limit:
        raise ValueError(
            f"{path}: its header claims {claimed} bytes, more than a file of {size} bytes can hold; fetch it again"
        )


def _scaling(path: Path, slope: float, inter: float) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN means unscaled (NIfTI-1 standard, scl_slope)."""
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(inter):
        raise ValueError(f"{path}: scl_slope and scl_inter must be finite; got {slope} and {inter}; write it again")
    return slope, inter


def _checked_affine(path: Path, raw: nib.Nifti1Header) -> np.ndarray:
    pixdim = raw["pixdim"][1:4]
    if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
        raise ValueError(f"{path}: voxel edges (pixdim) must be positive; got {pixdim.tolist()}; write the header again")
    if raw["sform_code"] <= 0 and raw["qform_code"] <= 0:
        raise ValueError(f"{path} has neither sform nor qform, so its orientation is unknown; set one")
    try:
        affine = raw.get_sform() if raw["sform_code"] > 0 else raw.get_qform()
    except (ValueError, np.linalg.LinAlgError, nib.spatialimages.HeaderDataError) as error:
        raise ValueError(f"{path}: its qform is not a rotation ({error}); write the header again") from None
    affine = np.asarray(affine, np.float64)
    if not np.isfinite(affine).all() or np.linalg.cond(affine[:3, :3]) > MAX_CONDITION:
        raise ValueError(f"{path}: its affine must be finite and invertible; got {affine[:3].tolist()}; write the header again")
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > SHEAR_TOLERANCE:
        raise ValueError(f"{path}: its axes are sheared, not perpendicular; resample it on a rectangular grid")
    return affine


def _check_finite(path: Path, plane: np.ndarray) -> None:
    finite = np.abs(plane) <= MAX_INTENSITY
    if not finite.all():
        value = plane[~finite][0]
        raise ValueError(
            f"{path} holds voxels that are NaN, infinite or beyond {MAX_INTENSITY:g} (first: {value}); correct the file"
        )
