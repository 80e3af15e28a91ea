"""What is remembered of prepared cases: one record a case, one manifest a set. Pure values, as JSON beside the arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

from trials.data.faults import Fault
from trials.data.prepare import Moments, Statistics
from trials.data.sources import Source
from trials.spec import Preparation

Affine = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """One prepared case. file_shape is in file axes; shape and spacing_mm are (D, H, W) on the native grid.

    class_voxels and cube_class_voxels [K] count the native mask and the cube; mean and sd (HU) are what the cube was
    normalised by. arrays names the files of the image and the labels cube, digests is the fingerprint of each. notes say
    what is worth a look in its files.
    """

    case: str
    image: Source
    labels: Source
    file_shape: tuple[int, int, int]
    affine: Affine
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    class_voxels: tuple[int, ...]
    cube_class_voxels: tuple[int, ...]
    mean: float
    sd: float
    arrays: tuple[str, str]
    digests: tuple[str, str]
    notes: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMoments:
    """Foreground intensities of one case, remembered with the files they were measured on."""

    case: str
    image: Source
    labels: Source
    moments: Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found in one case, remembered with the files in which it was."""

    case: str
    image: Source
    labels: Source
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One set of prepared cases. digest tells it from any other by case names, file contents and preparation alone."""

    dataset: str
    root: str
    classes: tuple[str, ...]
    published: int | None
    licence: str
    preparation: Preparation
    statistics: Statistics | None
    digest: str
    cases: Mapping[str, CaseRecord]
