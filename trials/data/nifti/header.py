"""Headers of volumes, validated before a voxel is read or memory is allocated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from trials.data.nifti.geometry import Geometry, read_geometry
from trials.data.nifti.metaimage import read_metaimage
from trials.data.nifti.nrrd import read_nrrd
from trials.data.nifti.opening import (
    DETACHED,
    FETCH,
    DigestingFile,
    VoxelFile,
    nifti_file,
    open_voxels,
    read_errors,
)
from trials.data.nifti.stated import MAX_TEXT_BYTES, REWRITE, Stated
from trials.records.faults import WARNING, FileFault, why_no_file

MAX_EDGE = 4096
MAX_VOXELS = 2**31
MAX_OFFSET = 2**24
# Limit of one read; a plane of 1024 x 1024 doubles is half of it.
MAX_PLANE_BYTES = 2**24
# Deflate compresses at most 258 bytes into 2 bits: a header that claims more is wrong.
MAX_DEFLATE_RATIO = 1032
# Readers of other formats than NIfTI.
READERS = {
    ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A file's validated header.

    shape is in file axes, the first one fastest in the file; a stored value v means v * slope +
    inter. geometry is what the rule of docs/geometry.md makes of the file's statements. data is the
    file that holds the voxels, offset bytes behind its start. extra_axes are the file's further
    axes, each of length 1. following are the bytes of the further volumes that a file of several
    channels holds behind this one; num_interleaved is more than 1 where channels lie side by side
    at every voxel, and this one is number `channel` of them. is_exact is as in Stated.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    data: VoxelFile
    offset: int
    slope: float
    inter: float
    geometry: Geometry
    extra_axes: int = 0
    following: int = 0
    num_interleaved: int = 1
    channel: int = 0
    is_exact: bool = False

    @property
    def affine(self) -> np.ndarray:
        """[4, 4], voxel index to millimetres."""
        return self.geometry.affine

    @property
    def plane_bytes(self) -> int:
        """The bytes of a plane of the first two axes, with all channels that lie side by side."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize * self.num_interleaved


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
    if first.num_interleaved > 1:
        return replace(first, channel=channel)
    size = first.plane_bytes * first.shape[2]
    return replace(
        first,
        offset=first.offset + channel * size,
        following=(channels - 1 - channel) * size,
    )


def read_header(path: Path, channels: int = 1) -> Header:
    """Read and check the header of a file of one volume, or of one a channel, without touching its
    voxels. Raises FileFault, a ValueError.
    """
    stated = _stated(path)
    shape = _checked_shape(path, stated.edges, channels)
    if not 0 <= stated.offset <= MAX_OFFSET:
        text = f"voxels must start within the first 16 MiB; got offset {stated.offset}"
        raise FileFault(path, "offset", text, REWRITE)
    _check_claim(stated, stated.offset + channels * math.prod(shape) * stated.dtype.itemsize)
    geometry = stated.geometry(shape)
    header = Header(
        path=path,
        shape=shape,
        dtype=stated.dtype,
        data=stated.data,
        offset=stated.offset,
        slope=stated.slope,
        inter=stated.inter,
        geometry=replace(geometry, remarks=(*stated.remarks, *geometry.remarks)),
        extra_axes=len(stated.edges) - 3 - (channels > 1),
        num_interleaved=stated.num_interleaved,
        is_exact=stated.is_exact,
    )
    if header.plane_bytes > MAX_PLANE_BYTES:
        text = (
            f"a plane of its first two axes must hold at most {MAX_PLANE_BYTES} bytes; it "
            f"claims {header.plane_bytes}"
        )
        raise FileFault(path, "claim", text, "reorder its axes, or resample it")
    return header


def voxel_file(path: Path) -> VoxelFile:
    """The file that holds a volume's voxels: its own, or the one that its header names. Raises
    FileFault where that header cannot be read.
    """
    return _stated(path).data if path.name.endswith(DETACHED) else VoxelFile(path=path)


def volume_files(path: Path) -> tuple[Path, ...]:
    """The file of a volume, and that of its voxels if it is another one."""
    return tuple(dict.fromkeys((path, voxel_file(path).path)))


def volume_fingerprint(path: Path) -> str:
    """The fingerprint of a volume's files, as StreamStats.digest gives it. Raises OSError or
    FileFault if they cannot be read.
    """
    file, chunk = voxel_file(path), bytearray(2**18)
    with DigestingFile(file.path, file.before) as source:
        while source.readinto(chunk):
            pass
        return source.digest()


def _stated(path: Path) -> Stated:
    return READERS.get(path.suffix, _read_nifti)(path)


def _checked_shape(path: Path, edges: Sequence[int], channels: int) -> tuple[int, int, int]:
    """The first three edges; of the further axes one has the length of the channels, others 1."""
    further = [edge for edge in edges[3:] if edge != 1]
    if len(edges) < 3 or further != ([channels] if channels > 1 else []):
        held = "one volume of three axes" if channels == 1 else f"{channels} channels in axis 4"
        text = f"must hold {held}; its shape is {list(edges)}"
        raise FileFault(path, "shape", text, "split or convert it")
    shape = (edges[0], edges[1], edges[2])
    if not all(1 <= edge <= MAX_EDGE for edge in shape) or math.prod(shape) > MAX_VOXELS:
        text = (
            f"edges must lie in 1..{MAX_EDGE}, voxels up to {MAX_VOXELS}; the header says "
            f"{list(shape)}"
        )
        raise FileFault(path, "shape", text, "fetch or write it again")
    return shape


def _check_claim(stated: Stated, claimed: int) -> None:
    file = stated.data
    with read_errors(file.path):
        size = max(0, file.path.stat().st_size - file.start)
    if claimed > (size * MAX_DEFLATE_RATIO if file.encoding else size):
        text = f"its header claims {claimed} bytes, more than a file of {size} bytes can hold"
        raise FileFault(file.path, "claim", text, FETCH)


def _read_nifti(path: Path) -> Stated:
    """What a NIfTI header states, of one file or of a pair (.hdr and .img)."""
    data = nifti_file(path)
    with open_voxels(data) as (file, _):
        block = file.read(540)
    raw, is_pair = _parse(path, block)
    num_axes = int(raw["dim"][0])
    dtype = _checked_dtype(path, raw)
    slope, inter = _scaling(path, float(raw["scl_slope"]), float(raw["scl_inter"]))
    offset, remarks = _offset(path, raw, is_pair)
    return Stated(
        edges=tuple(map(int, raw["dim"][1 : num_axes + 1])) if 0 <= num_axes <= 7 else (),
        dtype=dtype,
        data=_image_of(path) if is_pair else data,
        offset=offset,
        slope=slope,
        inter=inter,
        geometry=partial(read_geometry, path, raw),
        remarks=remarks,
        is_exact=bool(remarks),
    )


def _parse(path: Path, block: bytes) -> tuple[nib.Nifti1Header, bool]:
    """The header's fields, and whether the voxels are in a file of their own."""
    kinds = {348: (nib.Nifti1Header, 1), 540: (nib.Nifti2Header, 2)}
    for order in ("little", "big"):
        size = int.from_bytes(block[:4], order)
        if size in kinds and len(block) >= size:
            kind, version = kinds[size]
            raw = kind(block[:size], check=False)
            is_pair = path.suffix == ".hdr"
            if raw["magic"].item().startswith(b"ni%d" % version if is_pair else b"n+%d" % version):
                return raw, is_pair
            if is_pair and not raw["magic"].item().strip(b"\0"):
                text = "is an Analyze 7.5 header: it does not say where left and right are"
                raise FileFault(path, "header", text, "convert it to NIfTI")
    held = "NIfTI header with an .img file" if path.suffix == ".hdr" else "single-file NIfTI"
    raise FileFault(
        path,
        "header",
        f"is not a {held}: its header is truncated or wrong",
        "fetch or write it again",
    )


def _image_of(path: Path) -> VoxelFile:
    """The .img file of a pair, plain or gzip by content."""
    image = path.with_suffix(".img")
    if why := why_no_file(image):
        text = f"its voxels are in {image.name}, which {why}"
        raise FileFault(path, "detached", text, "put that file beside it")
    with read_errors(path), path.open("rb") as file:
        return replace(nifti_file(image), before=file.read(MAX_TEXT_BYTES))


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


def _offset(path: Path, raw: nib.Nifti1Header, is_pair: bool) -> tuple[int, tuple[FileFault, ...]]:
    """The bytes before the voxels. Of one file 0 means the least that the standard allows, with a
    remark.
    """
    offset, size = float(raw["vox_offset"]), int(raw["sizeof_hdr"])
    if offset == 0 and not is_pair:
        # NIfTI-1 standard: four bytes behind the header say whether extensions follow.
        text = f"vox_offset is 0; its voxels are taken to start at byte {size + 4}"
        return size + 4, (FileFault(path, "offset", text, REWRITE, WARNING),)
    if not (0 if is_pair else size) <= offset <= MAX_OFFSET:
        text = f"voxels must start within the first 16 MiB, after the header; got offset {offset}"
        raise FileFault(path, "offset", text, "write the file again")
    return int(offset), ()


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
