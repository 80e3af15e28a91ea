"""Patients made of numbers: small CT-like cases in the folders, axes and labels of KiTS23, for the demo and the tests.

They walk the path of real cases from the first file to the last score; what a network learns here says nothing about CT.
"""

import gzip
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trials.data.faults import FileFault
from trials.data.header import read_header
from trials.data.opening import opened
from trials.data.phantom_body import paint_body
from trials.data.phantom_organs import paint_abdomen, paint_kidneys
from trials.data.phantom_shapes import FRAME_MM, Canvas, blank
from trials.data.workers import num_cores
from trials.files import write_text, write_whole
from trials.records import read_record, to_json

# Raise it with any change that alters a voxel: old and new phantoms never mix in one folder.
VERSION = 1
RECORD = "phantoms.json"
# Where a NIfTI-1 header has its description.
DESCRIP = slice(148, 228)
# Starting processes takes as long as making this many patients.
WORTH_A_POOL = 24

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What phantoms.json says of the cases beside it."""

    num_cases: int
    seed: int
    version: int


def phantom(number: int, seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.uint8], Spacing]:
    """Make patient `number`: image [D, H, W] in HU, labels [D, H, W] and spacing_mm (z, y, x).

    Axes run from the head down, front to back and from the patient's right to the left. Labels are 0 background, 1 kidney,
    2 tumour (every patient) and 3 cyst (about half of them). The patient depends on (seed, number) alone, both 0 or more.
    """
    rng = np.random.default_rng((seed, number))
    in_plane = int(rng.integers(122, 161)) / 64  # 1.9 to 2.5 mm, exact in the header's float32
    spacing_mm = (float(rng.choice((2.5, 3.0, 4.0, 5.0))), in_plane, in_plane)
    depth, height, width = np.rint(FRAME_MM * rng.uniform(0.95, 1.05, 3) / spacing_mm).astype(int).tolist()
    canvas = blank(rng, (depth, height, width))
    paint_body(canvas)
    paint_kidneys(canvas)
    paint_abdomen(canvas)
    return _scan(canvas, spacing_mm), canvas.labels, spacing_mm


def write_phantoms(root: Path, num_cases: int, seed: int = 0) -> None:
    """Write the first num_cases patients as case_00000, case_00001, ... under root; whole cases are left alone, others mended.

    The files are byte for byte the same on each run of one machine and one numpy. Images are int16 and labels uint8, without
    scale factors; affines have the codes I, P, L. phantoms.json, written last, records how many cases there are, their seed
    and version. Raises ValueError if root holds other cases than these.
    """
    if num_cases < 1 or seed < 0:
        raise ValueError(
            f"phantoms need num_cases of at least 1 and a seed of at least 0; got num_cases {num_cases}, seed {seed}"
        )
    written = _num_written(root / RECORD, seed)
    folders = [root / f"case_{number:05d}" for number in range(num_cases)]
    missing = [number for number, folder in enumerate(folders) if not _is_written(folder, number, seed, number < written)]
    write = partial(_write_case, root, seed)
    if len(missing) < WORTH_A_POOL:
        list(map(write, missing))
    else:
        with ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool:
            list(pool.map(write, missing, chunksize=4))
    write_text(root / RECORD, to_json(Written(num_cases=max(num_cases, written), seed=seed, version=VERSION)) + "\n")


def _scan(canvas: Canvas, spacing_mm: Spacing) -> NDArray[np.int16]:
    """Blur by the scanner's point spread and add its noise."""
    point_spread = [1.5 / edge for edge in spacing_mm]
    image = ndimage.gaussian_filter(canvas.image, point_spread, truncate=3)
    image += canvas.rng.uniform(14, 26) * canvas.rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _num_written(record: Path, seed: int) -> int:
    if not record.exists():
        return 0
    found = read_record(Written, record, "delete it, whole cases are kept")
    if (found.seed, found.version) != (seed, VERSION):
        raise ValueError(
            f"{record}: holds phantoms of seed {found.seed}, version {found.version}, "
            f"not of seed {seed}, version {VERSION}; choose another folder or delete this one"
        )
    return found.num_cases


def _write_case(root: Path, seed: int, number: int) -> None:
    image, labels, spacing_mm = phantom(number, seed)
    for name, voxels in (("imaging", image), ("segmentation", labels)):
        path = root / f"case_{number:05d}" / f"{name}.nii.gz"
        write_whole(path, partial(_write_nifti, voxels=voxels, spacing_mm=spacing_mm, origin=_origin(number, seed)))


def _is_written(folder: Path, number: int, seed: int, is_ours: bool) -> bool:
    """True for a whole case. Files name their origin, so that other cases are refused even in a half-written folder.

    Of a damaged header nothing can be told: the case is made again where phantoms.json says that it is_ours.
    """
    paths = [folder / "imaging.nii.gz", folder / "segmentation.nii.gz"]
    origin = _origin(number, seed)
    try:
        found = [_origin_of(path) for path in paths if path.exists()]
    except FileFault as fault:
        if is_ours:
            return False
        raise ValueError(f"{fault.path}: {fault.message}; choose another folder or delete {folder}") from None
    if strange := [text for text in found if text != origin]:
        raise ValueError(f"{folder}: holds {strange[0]!r}, not {origin!r}; choose another folder or delete this one")
    return len(found) == len(paths)


def _origin(number: int, seed: int) -> str:
    return f"phantom {number}, seed {seed}, version {VERSION}"


def _origin_of(path: Path) -> str:
    """What a file names as its origin. Raises FileFault for a header that makes no sense."""
    read_header(path)
    with opened(path) as (file, _):
        return file.read(DESCRIP.stop)[DESCRIP].rstrip(b"\0").decode("latin-1")


def _write_nifti(file: BinaryIO, voxels: NDArray, spacing_mm: Spacing, origin: str) -> None:
    """Write voxels [D, H, W] as KiTS23 does: the axes point down, back and left, and world zero is the middle."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = np.negative(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ np.subtract(voxels.shape, 1) / 2
    affine[3, 3] = 1
    volume = nib.Nifti1Image(voxels, affine)
    volume.header["descrip"] = origin
    volume.header.set_xyzt_units("mm")
    # nibabel would put the clock and the file's name into the gzip header.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
        packed.write(volume.to_bytes())
