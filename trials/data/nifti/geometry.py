"""Where a file's voxels lie: the one rule for sform, qform, pixdim and the unit of a header.

docs/geometry.md says it for users. It is how SimpleITK 2.5 reads a NIfTI file, except that this
rule warns or refuses where SimpleITK decides without a word.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, product
from pathlib import Path

import nibabel as nib
import numpy as np

from trials.records.faults import WARNING, FileFault

# Two files have one grid if no corner lies farther apart. Orientations stored as float32 and
# origins rounded to 0.01 mm stay below it.
TOLERANCE_MM = 0.05
# Of the smallest voxel edge, where that is less: 0.05 mm are several voxels of a micro-CT.
TOLERANCE_SHARE = 0.1
# sform and pixdim may differ by this share without a qform that decides between them.
MAX_SPACING_GAP = 0.01
# Axes this far off perpendicular change distances by at most 0.9 %.
MAX_SHEAR_DEGREES = 1.0
# Cosine up to which SimpleITK takes axes as perpendicular.
PERPENDICULAR = 1e-4
MAX_CONDITION = 1e6
# A nanometre to a kilometre: areas and volumes of such voxels keep their digits in every table.
SPACING_MM = (1e-6, 1e6)
# Edges outside are worth a look: a header in another unit has them.
USUAL_MM = (0.005, 50.0)
# NIfTI-1 standard, xyzt_units: unknown, metre, millimetre, micrometre, as powers of ten in mm.
UNITS = {0: 0, 1: 3, 2: 0, 3: -3}
SCANNER = 1
REWRITE = "write the header again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """affine [4, 4] maps voxel indices to mm, x to the right, y to the front, z to the head.

    spacing_mm are the voxel edges in file axes, as decimals of seven digits. other_affine is that
    of the form that was not taken, None if there is one form. remarks are warnings.
    """

    affine: np.ndarray
    spacing_mm: tuple[float, float, float]
    other_affine: np.ndarray | None = None
    remarks: tuple[FileFault, ...] = ()


def read_geometry(path: Path, raw: nib.Nifti1Header, shape: tuple[int, int, int]) -> Geometry:
    """The geometry of a header. Raises FileFault where nothing tells which of its statements is
    right.
    """
    power = UNITS.get(int(raw["xyzt_units"]) & 7, 0)
    spacing = _pixdim_mm(path, raw, power)
    if raw["sform_code"] <= 0 and raw["qform_code"] <= 0:
        return _without_forms(path, spacing, shape)
    sform, qform = _forms(path, raw, power)
    affine, other = _taken_first(raw, sform, qform)
    remarks = []
    if (raw["pixdim"][1:4] < 0).any():
        text = (
            f"pixdim is negative, {raw['pixdim'][1:4].tolist()}; its size and the sform are taken"
        )
        remarks.append(_remark(path, "pixdim", text, REWRITE))
    if sform is not None and (qform is None or int(raw["sform_code"]) == SCANNER):
        check_shear(path, sform)
    if sform is not None and (gap := _spacing_gap(path, sform, spacing, shape, qform)):
        remarks.append(gap)
        affine = _with_spacing(affine, spacing)
    if other is not None and (gap := _forms_gap(path, affine, other, shape, spacing)):
        remarks.append(gap)
    remarks += check_grid(path, affine, spacing)
    return Geometry(affine=affine, spacing_mm=spacing, other_affine=other, remarks=tuple(remarks))


def check_grid(
    path: Path, affine: np.ndarray, spacing_mm: tuple[float, float, float]
) -> list[FileFault]:
    """Remarks on the affine and the voxel edges of any file. Raises FileFault for edges outside the
    limits and for sheared axes.
    """
    low, high = SPACING_MM
    if not (low <= min(spacing_mm) and max(spacing_mm) <= high):
        text = f"voxel edges must lie in {low:g}..{high:g} mm; its header says {times(spacing_mm)}"
        raise FileFault(path, "spacing", text, f"{REWRITE}, with the unit of its numbers")
    remarks = []
    if not (USUAL_MM[0] <= min(spacing_mm) and max(spacing_mm) <= USUAL_MM[1]):
        text = f"voxel edges are {times(spacing_mm)} mm"
        remarks.append(_remark(path, "spacing", text, "look whether its unit is right"))
    degrees = check_shear(path, affine)
    if degrees > math.degrees(PERPENDICULAR):
        text = (
            f"its axes are {degrees:.2g} degrees off perpendicular; distances are measured as if "
            f"they were not, and are off by up to {math.sin(math.radians(degrees)) / 2:.1%}"
        )
        remarks.append(_remark(path, "shear", text, "resample it where that matters"))
    return remarks


def check_shear(path: Path, affine: np.ndarray) -> float:
    """The largest deviation of two axes from perpendicular in degrees. Raises FileFault beyond one
    degree.
    """
    axes = directions(affine).T
    cosine = max(abs(float(a @ b)) for a, b in combinations(axes, 2))
    degrees = math.degrees(math.asin(min(cosine, 1.0)))
    if degrees > MAX_SHEAR_DEGREES:
        text = (
            f"its axes are sheared, {degrees:.3g} degrees off perpendicular; at most "
            f"{MAX_SHEAR_DEGREES:g} is taken"
        )
        raise FileFault(path, "affine", text, "resample it on a rectangular grid")
    return degrees


def directions(affine: np.ndarray) -> np.ndarray:
    """The unit vectors of a sound affine's axes, as columns [3, 3]."""
    matrix = affine[:3, :3]
    return matrix / np.linalg.norm(matrix, axis=0)


def tolerance_mm(spacing_mm: tuple[float, float, float]) -> float:
    """How far apart the corners of two files on one grid may lie: 0.05 mm, or a tenth of the
    smallest voxel edge where that is less.
    """
    return min(TOLERANCE_MM, TOLERANCE_SHARE * min(spacing_mm))


def corner_shift_mm(shape: tuple[int, ...], first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance in mm between the eight corners of a volume under two affines."""
    corners = np.array([[*corner, 1] for corner in product(*((0, size) for size in shape))])
    apart = corners @ (first - second).T
    return float(np.linalg.norm(apart[:, :3], axis=1).max())


def decimal_mm(edge: np.floating | float, power: int = 0) -> float:
    """A voxel edge as the decimal number that was written, times a power of ten.

    A header keeps 0.7617 as the float32 0.76169997...: three such edges are then not as long as
    2.2851 mm, and a distance at a tolerance falls on either side of it.
    """
    return float(Decimal(str(np.float32(edge))).scaleb(power))


def times(numbers: tuple[float, ...]) -> str:
    """Numbers as people write sizes, "0.8 x 0.8 x 2.5"."""
    return " x ".join(f"{number:.4g}" for number in numbers)


def unknown_orientation(path: Path, why: str) -> FileFault:
    """The remark on a file that does not say where its axes run."""
    text = (
        f"{why}; its axes are taken as SimpleITK takes them: to the left, to the back and to the "
        "head"
    )
    return _remark(path, "orientation", text, "look whether left and right are right")


def is_sound(affine: np.ndarray) -> bool:
    """Whether an affine is finite and can be inverted."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(affine).all() and np.linalg.cond(affine[:3, :3]) <= MAX_CONDITION)


def _pixdim_mm(path: Path, raw: nib.Nifti1Header, power: int) -> tuple[float, float, float]:
    """The voxel edges. Those of a file with an sform may have a sign: nibabel drops it, SimpleITK
    mirrors the axis, and only an sform tells the side.
    """
    pixdim = raw["pixdim"][1:4]
    if not (
        np.isfinite(pixdim).all() and pixdim.all() and (raw["sform_code"] > 0 or (pixdim > 0).all())
    ):
        text = f"voxel edges (pixdim) must be positive; got {pixdim.tolist()}"
        raise FileFault(path, "spacing", text, REWRITE)
    x, y, z = (decimal_mm(edge, power) for edge in np.abs(pixdim))
    return x, y, z


def _without_forms(
    path: Path, spacing: tuple[float, float, float], shape: tuple[int, int, int]
) -> Geometry:
    """The geometry that SimpleITK gives a file without forms; the other affine is nibabel's, so
    that a mask written by either lies on its image.
    """
    other = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    other[:3, 3] = other[:3, :3] @ (1 - np.array(shape)) / 2
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    unknown = unknown_orientation(path, "has neither sform nor qform")
    remarks = (unknown, *check_grid(path, affine, spacing))
    return Geometry(affine=affine, spacing_mm=spacing, other_affine=other, remarks=remarks)


def _forms(
    path: Path, raw: nib.Nifti1Header, power: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """sform and qform in mm, None where one is not set or has no sense. Raises FileFault if neither
    can be taken.
    """
    sform = _in_mm(raw.get_sform(), power) if raw["sform_code"] > 0 else None
    qform, why = None, ""
    # The side of a qform is unknown where an edge is negative.
    if raw["qform_code"] > 0 and (raw["pixdim"][1:4] > 0).all():
        try:
            qform = _in_mm(_qform(raw), power)
        except (ValueError, np.linalg.LinAlgError, nib.spatialimages.HeaderDataError) as error:
            why = f"its qform is not a rotation ({error})"
    stated = qform if sform is None else sform
    sform, qform = (
        form if form is not None and is_sound(form) else None for form in (sform, qform)
    )
    if sform is None and qform is None:
        shown = "" if stated is None else stated[:3].tolist()
        text = why or f"its affine must be finite and invertible; got {shown}"
        raise FileFault(path, "affine", text, REWRITE)
    return sform, qform


def _in_mm(affine: np.ndarray, power: int) -> np.ndarray:
    scaled = np.array(affine, np.float64)
    scaled[:3] *= 10.0**power
    return scaled


def _qform(raw: nib.Nifti1Header) -> np.ndarray:
    """The qform of a header; pixdim[0] is the side of its axes, and anything but a negative number
    means 1 (NIfTI-1 standard, method 2).
    """
    sided = raw.copy()
    sided["pixdim"][0] = -1 if raw["pixdim"][0] < 0 else 1
    return sided.get_qform()


def _taken_first(
    raw: nib.Nifti1Header, sform: np.ndarray | None, qform: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The form that SimpleITK takes, and the other one: a perpendicular sform of the scanner's
    space or like the qform, else the qform.
    """
    if sform is None or qform is None:
        only = qform if sform is None else sform
        assert only is not None, "_forms() gives at least one"
        return only, None
    axes = directions(sform)
    is_perpendicular = np.abs(axes.T @ axes - np.eye(3)).max() <= PERPENDICULAR
    is_trusted = int(raw["sform_code"]) == SCANNER or np.abs(sform - qform).max() <= PERPENDICULAR
    return (sform, qform) if is_perpendicular and is_trusted else (qform, sform)


def _spacing_gap(
    path: Path,
    sform: np.ndarray,
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
    qform: np.ndarray | None,
) -> FileFault | None:
    """The remark on an sform whose voxel edges are not those of pixdim. Raises FileFault if they
    are far apart and no qform confirms pixdim.
    """
    edges = np.linalg.norm(sform[:3, :3], axis=0)
    apart = np.abs(edges - spacing)
    if (apart * shape).max() <= tolerance_mm(spacing):
        return None
    said = f"sform says voxel edges of {times(tuple(edges))} mm, pixdim {times(spacing)} mm"
    fix = f"{REWRITE}, with the right edges in both"
    if qform is None and (apart / spacing).max() > MAX_SPACING_GAP:
        raise FileFault(path, "spacing", f"{said}, and no qform tells which is right", fix)
    return _remark(path, "spacing", f"{said}; pixdim is taken, as SimpleITK does", fix)


def _with_spacing(affine: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    changed = affine.copy()
    changed[:3, :3] = directions(affine) * spacing
    return changed


def _forms_gap(
    path: Path,
    affine: np.ndarray,
    other: np.ndarray,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> FileFault | None:
    """The remark on two forms that place a corner more than half a voxel apart. A qform is exact to
    about 0.1 mm only: its rotation is a float32 quaternion.
    """
    shift = corner_shift_mm(shape, affine, _with_spacing(other, spacing))
    if shift <= max(spacing) / 2:
        return None
    text = f"sform and qform place a corner {shift:.3g} mm apart; one is taken by SimpleITK's rule"
    return _remark(path, "forms", text, f"{REWRITE}, with one of them in both")


def _remark(path: Path, code: str, text: str, fix: str) -> FileFault:
    return FileFault(path, code, text, fix, WARNING)
