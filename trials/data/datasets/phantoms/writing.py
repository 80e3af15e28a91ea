"""Generates synthetic patients: small CT-like cases in the layout, axes and labels of KiTS23, for
the demo and the tests.

They pass through the same code as real cases, but their scores say nothing about real CT.
"""

import gzip
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trials.data.datasets.phantoms.body import paint_body
from trials.data.datasets.phantoms.organs import paint_abdomen, paint_kidneys
from trials.data.datasets.phantoms.record import (
    MAX_CASES,
    RECORD,
    PhantomsRecord,
    read_phantoms_record,
    write_phantoms_record,
)
from trials.data.datasets.phantoms.shapes import FRAME_MM, Canvas, blank_canvas
from trials.data.nifti.header import read_header
from trials.data.nifti.opening import nifti_file, open_voxels
from trials.data.own_folder import list_contents, refuse_foreign
from trials.process.workers import num_cores
from trials.records.faults import FileFault
from trials.storage.atomic import write_whole

# Increase it with any change that alters a voxel: old and new phantoms must not mix in one folder.
VERSION = 1
CASE = re.compile(r"case_([0-9]{5})")
FIX = (
    "omit --data to generate them in their own folder, name an empty folder, or, to use your own "
    'data, set dataset="nnunet" or "kits23" in your own grid'
)
# The bytes of the description in a NIfTI-1 header.
DESCRIP = slice(148, 228)
# Starting processes takes as long as generating this many patients.
WORTH_A_POOL = 24

Spacing = tuple[float, float, float]


def phantom(number: int, seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.uint8], Spacing]:
    """Generate patient `number`: image [D, H, W] in HU, labels [D, H, W] and spacing_mm (z, y, x).

    Axes run from head to feet, front to back and from the patient's right to left. Labels are 0
    background, 1 kidney, 2 tumour (every patient) and 3 cyst (about half of them). The patient
    depends on (seed, number) alone, both 0 or more.
    """
    rng = np.random.default_rng((seed, number))
    in_plane = int(rng.integers(122, 161)) / 64  # 1.9 to 2.5 mm, exact in the header's float32
    spacing_mm = (float(rng.choice((2.5, 3.0, 4.0, 5.0))), in_plane, in_plane)
    depth, height, width = (
        np.rint(FRAME_MM * rng.uniform(0.95, 1.05, 3) / spacing_mm).astype(int).tolist()
    )
    canvas = blank_canvas(rng, (depth, height, width))
    paint_body(canvas)
    paint_kidneys(canvas)
    paint_abdomen(canvas)
    return _scan(canvas, spacing_mm), canvas.labels, spacing_mm


def write_phantoms(root: Path, num_cases: int, seed: int = 0) -> None:
    """Write the first num_cases patients as case_00000, case_00001, ... under root; complete cases
    are kept, others rewritten.

    The files are byte-identical between runs on one machine with one version of numpy. Images are
    int16 and labels uint8, without scale factors; affines have the codes I, P, L. phantoms.json
    records the number of cases, their seed and version, and whether all are written: an interrupted
    generation continues. If nothing is missing, nothing is written. Raises ValueError before
    writing if root holds anything but these phantoms.
    """
    if not 1 <= num_cases <= MAX_CASES or seed < 0:
        raise ValueError(
            f"phantoms need num_cases in 1..{MAX_CASES} and a seed of at least 0; got num_cases "
            f"{num_cases}, seed {seed}"
        )
    before = _written_before(root, seed)
    whole = _whole_cases(root, before)
    written = replace(before, num_cases=max(num_cases, before.num_cases), complete=False)
    missing = [number for number in range(written.num_cases) if number not in whole]
    if before.complete and not missing:
        return
    write_phantoms_record(root, written)
    write = partial(_write_case, root, seed)
    if len(missing) < WORTH_A_POOL:
        list(map(write, missing))
    else:
        with ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool:
            list(pool.map(write, missing, chunksize=4))
    write_phantoms_record(root, replace(written, complete=True))


def _scan(canvas: Canvas, spacing_mm: Spacing) -> NDArray[np.int16]:
    """Blur by the scanner's point spread and add its noise."""
    point_spread = [1.5 / edge for edge in spacing_mm]
    image = ndimage.gaussian_filter(canvas.image, point_spread, truncate=3)
    image += canvas.rng.uniform(14, 26) * canvas.rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _written_before(root: Path, seed: int) -> PhantomsRecord:
    """The record of an earlier generation; no cases if there was none. Raises ValueError for a
    folder that is not ours.
    """
    names = list_contents(root)
    foreign = [name for name in names if RECORD not in names or not _may_be_ours(root / name)]
    refuse_foreign(
        root, foreign, f"a folder of generated phantoms, that is {RECORD} and its cases", FIX
    )
    found = read_phantoms_record(root)
    if found is None:
        return PhantomsRecord(num_cases=0, seed=seed, version=VERSION, complete=False)
    if (found.seed, found.version) != (seed, VERSION):
        raise ValueError(
            f"{root / RECORD}: holds phantoms of seed {found.seed}, version {found.version}, "
            f"not of seed {seed}, version {VERSION}; choose another folder or delete this one"
        )
    return found


def _may_be_ours(path: Path) -> bool:
    """Whether a path in the folder may be from a generation, which creates no links."""
    return path.name == RECORD or bool(
        CASE.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )


def _whole_cases(root: Path, before: PhantomsRecord) -> set[int]:
    """The numbers of the complete phantoms in a folder. Raises ValueError for any other case."""
    numbers = [int(found[1]) for name in list_contents(root) if (found := CASE.fullmatch(name))]
    known = before.num_cases if before.complete else 0
    return {
        number
        for number in numbers
        if _is_written(root / f"case_{number:05d}", number, before.seed, number < known)
    }


def _write_case(root: Path, seed: int, number: int) -> None:
    image, labels, spacing_mm = phantom(number, seed)
    for name, voxels in (("imaging", image), ("segmentation", labels)):
        path = root / f"case_{number:05d}" / f"{name}.nii.gz"
        write_whole(
            path,
            partial(
                _write_nifti, voxels=voxels, spacing_mm=spacing_mm, origin=_origin(number, seed)
            ),
        )


def _is_written(folder: Path, number: int, seed: int, is_ours: bool) -> bool:
    """Whether a case is complete. Files store their origin, so other cases raise an error even in a
    folder of ours.

    A damaged header has no readable origin: the case is rewritten only if a complete generation
    covers it (is_ours). An interrupted generation leaves no damaged file, since files are written
    atomically.
    """
    paths = [folder / "imaging.nii.gz", folder / "segmentation.nii.gz"]
    origin = _origin(number, seed)
    try:
        found = [_origin_of(path) for path in paths if path.exists()]
    except FileFault as fault:
        if is_ours:
            return False
        raise ValueError(
            f"{fault.path}: {fault.message}; choose another folder, or move {folder} elsewhere"
        ) from None
    if strange := [text for text in found if text != origin]:
        raise ValueError(
            f"{folder}: holds {strange[0]!r}, not {origin!r}; choose another folder, or move this "
            "one elsewhere"
        )
    return len(found) == len(paths)


def _origin(number: int, seed: int) -> str:
    return f"phantom {number}, seed {seed}, version {VERSION}"


def _origin_of(path: Path) -> str:
    """The origin stored in a file. Raises FileFault for an invalid header."""
    read_header(path)
    with open_voxels(nifti_file(path)) as (file, _):
        return file.read(DESCRIP.stop)[DESCRIP].rstrip(b"\0").decode("latin-1")


def _write_nifti(file: BinaryIO, voxels: NDArray[Any], spacing_mm: Spacing, origin: str) -> None:
    """Write voxels [D, H, W] as in KiTS23: axes point to feet, back and left, and the world origin
    is the centre.
    """
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = np.negative(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ np.subtract(voxels.shape, 1) / 2
    affine[3, 3] = 1
    volume = nib.Nifti1Image(voxels, affine)
    volume.header["descrip"] = origin
    volume.header.set_xyzt_units("mm")
    # nibabel would write the time and the file's name into the gzip header.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
        packed.write(volume.to_bytes())
