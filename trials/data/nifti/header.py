"""NIfTI headers, validated before a voxel is read or memory is allocated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from trials.data.nifti.geometry import Geometry, read_geometry
from trials.data.nifti.opening import FETCH, open_nifti
from trials.records.faults import FileFault

MAX_EDGE = 4096
MAX_VOXELS = 2**31
MAX_OFFSET = 2**24
# Limit of one read; a plane of 1024 x 1024 doubles is half of it.
MAX_PLANE_BYTES = 2**24
# Deflate compresses at most 258 bytes into 2 bits: a header that claims more is wrong.
MAX_DEFLATE_RATIO = 1032


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A file's validated header.

    shape is in file axes, the first one fastest in the file; a stored value v means v * slope +
    inter. geometry is what the rule of trials.data.nifti.geometry makes of sform, qform, pixdim and
    unit. extra_axes are the file's further axes, each of length 1. following are the bytes of the
    further volumes that a file of several channels holds behind this one.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    geometry: Geometry
    extra_axes: int = 0
    following: int = 0

    @property
    def affine(self) -> np.ndarray:
        """[4, 4], voxel index to millimetres."""
        return self.geometry.affine


def read_headers(paths: Sequence[Path], channels: int) -> tuple[Header, ...]:
    """The header of every channel of an image, see channel_header()."""
    return tuple(channel_header(paths, channel, channels) for channel in range(channels))


def channel_header(paths: Sequence[Path], channel: int, channels: int) -> Header:
    """The header of one channel of an image, from one file a channel or from one file of four axes.

    Raises FileFault for a file that is invalid, or for another number of channels.
    """
    if len(paths) == channels:
        return read_header(paths[channel])
    if len(paths) > 1:
        text = f"an image of {channels} channels lies in {channels} files or in one of four axes"
        raise FileFault(paths[0], "channels", f"{text}; got {len(paths)} files", FETCH)
    first = read_header(paths[0], channels)
    size = math.prod(first.shape) * first.dtype.itemsize
    return replace(
        first,
        offset=first.offset + channel * size,
        following=(channels - 1 - channel) * size,
    )


def read_header(path: Path, channels: int = 1) -> Header:
    """Read and check the header of a file of one volume, or of one a channel, without touching its
    voxels. Raises FileFault, a ValueError.
    """
    with open_nifti(path) as (file, _):
        block = file.read(540)
    raw = _parse(path, block)
    shape = _checked_shape(path, raw["dim"], channels)
    dtype = _checked_dtype(path, raw)
    offset = float(raw["vox_offset"])
    if not raw["sizeof_hdr"] <= offset <= MAX_OFFSET:
        text = f"voxels must start within the first 16 MiB, after the header; got offset {offset}"
        raise FileFault(path, "offset", text, "write the file again")
    _check_claim(path, int(offset) + channels * math.prod(shape) * dtype.itemsize)
    if (plane := shape[0] * shape[1] * dtype.itemsize) > MAX_PLANE_BYTES:
        text = (
            f"a plane of its first two axes must hold at most {MAX_PLANE_BYTES} bytes; it "
            f"claims {plane}"
        )
        raise FileFault(path, "claim", text, "reorder its axes, or resample it")
    slope, inter = _scaling(path, float(raw["scl_slope"]), float(raw["scl_inter"]))
    return Header(
        path=path,
        shape=shape,
        dtype=dtype,
        offset=int(offset),
        slope=slope,
        inter=inter,
        geometry=read_geometry(path, raw, shape),
        extra_axes=int(raw["dim"][0]) - 3 - (channels > 1),
    )


def _parse(path: Path, block: bytes) -> nib.Nifti1Header:
    kinds = {348: (nib.Nifti1Header, b"n+1"), 540: (nib.Nifti2Header, b"n+2")}
    for order in ("little", "big"):
        size = int.from_bytes(block[:4], order)
        if size in kinds and len(block) >= size:
            kind, magic = kinds[size]
            raw = kind(block[:size], check=False)
            if bytes(raw["magic"].item()).startswith(magic):
                return raw
    raise FileFault(
        path,
        "header",
        "is not a single-file NIfTI: its header is truncated or wrong",
        "fetch or write it again",
    )


def _checked_shape(path: Path, dim: np.ndarray, channels: int) -> tuple[int, int, int]:
    """The first three edges; of the further axes one has the length of the channels, others 1."""
    edges = [int(edge) for edge in dim[1 : max(int(dim[0]), 0) + 1]]
    further = [edge for edge in edges[3:] if edge != 1]
    if not 3 <= dim[0] <= 7 or further != ([channels] if channels > 1 else []):
        held = "one volume of three axes" if channels == 1 else f"{channels} channels in axis 4"
        text = f"must hold {held}; its shape is {edges}"
        raise FileFault(path, "shape", text, "split or convert it")
    shape = (edges[0], edges[1], edges[2])
    if not all(1 <= edge <= MAX_EDGE for edge in shape) or math.prod(shape) > MAX_VOXELS:
        text = (
            f"edges must lie in 1..{MAX_EDGE}, voxels up to {MAX_VOXELS}; the header says "
            f"{list(shape)}"
        )
        raise FileFault(path, "shape", text, "fetch or write it again")
    return shape


def _checked_dtype(path: Path, raw: nib.Nifti1Header) -> np.dtype:
    try:
        dtype = raw.get_data_dtype()
    except (KeyError, nib.spatialimages.HeaderDataError):
        text = f"has the unknown voxel type {int(raw['datatype'])}"
        raise FileFault(path, "voxel_type", text, "write it again") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        text = f"voxels must be integers or floats up to 64 bits; got {dtype}"
        raise FileFault(path, "voxel_type", text, "convert it to one channel")
    return dtype


def _check_claim(path: Path, claimed: int) -> None:
    size = path.stat().st_size
    limit = size * MAX_DEFLATE_RATIO if path.name.endswith(".gz") else size
    if claimed > limit:
        text = f"its header claims {claimed} bytes, more than a file of {size} bytes can hold"
        raise FileFault(path, "claim", text, FETCH)


def _scaling(path: Path, slope: float, inter: float) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN means unscaled (NIfTI-1 standard, scl_slope)."""
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(inter):
        raise FileFault(
            path,
            "scaling",
            f"scl_slope and scl_inter must be finite; got {slope} and {inter}",
            "write it again",
        )
    return slope, inter
