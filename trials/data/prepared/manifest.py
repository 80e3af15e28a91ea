"""What is remembered of prepared cases: of each file that they were made of its digest, and the
size and time that spare reading it again; one record a case, one manifest a set. Pure values, as
JSON beside the arrays.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import Case, Dataset, case_names
from trials.data.nifti.header import volume_files, volume_fingerprint
from trials.data.prepared.preprocess import Moments, Statistics
from trials.records.codec import from_json, to_json
from trials.records.faults import Fault
from trials.records.record import shown
from trials.records.spec import Preparation
from trials.storage.atomic import read_text, write_text
from trials.storage.checksum import add_checksum


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as it was: where, its size in bytes, when it was modified (ns), and the fingerprint of
    its bytes. If its voxels lie in another file, size and time are sums over both.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str


def look_at(path: Path, known: Source | None = None) -> Source:
    """Describe a file; where path, size and time are the known ones its digest is believed,
    otherwise it is read.

    Raises ValueError if the file cannot be read.
    """
    now = unread(path)
    if known and (known.path, known.size, known.mtime_ns) == (now.path, now.size, now.mtime_ns):
        return known
    try:
        return replace(now, digest=volume_fingerprint(path))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def unchanged(known: Source) -> Path:
    """The path of a file that still is what it was when a case was prepared from it. Raises
    ValueError if it is not.
    """
    path = Path(known.path)
    if look_at(path, known).digest != known.digest:
        raise ValueError(f"{path} has changed since it was prepared; prepare the data set again")
    return path


def unread(path: Path) -> Source:
    """Describe a file before it is read: its digest is "" until it has been. Raises ValueError if
    there is none.
    """
    path = path.absolute()
    try:
        stats = [file.stat() for file in volume_files(path)]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    return Source(
        path=str(path),
        size=sum(stat.st_size for stat in stats),
        mtime_ns=sum(stat.st_mtime_ns for stat in stats),
        digest="",
    )


# The name of a cube's file: nothing that leads out of the folder it lies in.
ARRAY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\.npy", re.ASCII)
Affine = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """One prepared case. file_shape is in file axes; shape and spacing_mm are (D, H, W) on the
    native grid.

    class_voxels and cube_class_voxels [K] count the native and the prepared mask, ignored_voxels
    those of the native one that are not annotated; mean and sd (HU of a CT) are what each channel
    was normalised by. arrays names the files of image and labels, at a spacing also of the class
    voxels and the foreground's intensities; digests is the fingerprint of each. image_voxels is
    that of the first channel's voxels as they are stored, "" in a record of an earlier version.
    notes say what is worth a look in its files.
    """

    case: str
    images: tuple[Source, ...]
    labels: Source
    file_shape: tuple[int, int, int]
    affine: Affine
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    class_voxels: tuple[int, ...]
    cube_class_voxels: tuple[int, ...]
    ignored_voxels: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    arrays: tuple[str, ...]
    digests: tuple[str, ...]
    image_voxels: str = ""
    notes: tuple[Fault, ...] = ()


def case_of(record: CaseRecord) -> Case:
    """The case as it was when it was prepared."""
    image, *others = (Path(source.path) for source in record.images)
    return Case(
        case=record.case,
        image=image,
        labels=Path(record.labels.path),
        other_images=tuple(others),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMoments:
    """Foreground intensities of each CT channel of one case, remembered with the files they were
    measured on.
    """

    case: str
    images: tuple[Source, ...]
    labels: Source
    moments: tuple[Moments, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFindings:
    """What was found in one case, remembered with the files in which it was."""

    case: str
    images: tuple[Source, ...]
    labels: Source
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One set of prepared cases. channels names those of every image [C, D, H, W]; statistics
    holds what each is normalised by, None for its own. digest tells the set from any other by case
    names, file contents and preparation alone.
    """

    dataset: str
    root: str
    classes: tuple[str, ...]
    has_ignore: bool
    regions: tuple[Region, ...]
    class_order: tuple[int, ...]
    published: int | None
    licence: str
    preparation: Preparation
    statistics: tuple[Statistics | None, ...]
    channels: tuple[str, ...]
    digest: str
    cases: Mapping[str, CaseRecord]


def read_manifest(path: Path) -> Manifest:
    """The manifest of a prepared set, whose names lead nowhere else. Raises ValueError naming the
    file where it is damaged.
    """
    return manifest_of(path, read_text(path))


def manifest_of(path: Path, text: str) -> Manifest:
    """The same from the file's text."""
    try:
        manifest = from_json(Manifest, text)
        _check_names(manifest)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); prepare the data set again") from None
    return manifest


def dataset_of(manifest: Manifest) -> Dataset:
    """The data set as it was when the set was prepared, with the voxels of each class."""
    records = manifest.cases.values()
    return Dataset(
        name=manifest.dataset,
        root=Path(manifest.root),
        classes=manifest.classes,
        has_ignore=manifest.has_ignore,
        regions=manifest.regions,
        class_order=manifest.class_order,
        cases=tuple(map(case_of, records)),
        channels=manifest.channels,
        published=manifest.published,
        licence=manifest.licence,
        class_voxels={record.case: record.class_voxels for record in records},
    )


def write_manifest(
    dataset: Dataset,
    preparation: Preparation,
    statistics: tuple[Statistics | None, ...],
    folder: Path,
    records: Mapping[str, CaseRecord],
) -> Path:
    """Write the manifest of a set into its folder, last of all, and return the folder."""
    manifest = Manifest(
        dataset=dataset.name,
        root=str(dataset.root),
        classes=dataset.classes,
        has_ignore=dataset.has_ignore,
        regions=dataset.regions,
        class_order=dataset.class_order,
        published=dataset.published,
        licence=dataset.licence,
        preparation=preparation,
        statistics=statistics,
        channels=dataset.channels,
        digest=folder.name,
        cases=records,
    )
    write_text(folder / "manifest.json", add_checksum(to_json(manifest)))
    return folder


def _check_names(manifest: Manifest) -> None:
    """Raise ValueError unless every case has a name of its data set, and every array lies beside
    the others.
    """
    pattern = case_names(manifest.dataset)
    is_case_name = re.compile(pattern, re.ASCII).fullmatch
    for case, record in manifest.cases.items():
        if record.case != case or not is_case_name(case):
            raise ValueError(
                f"case names must match {pattern} and be those of their records; got {shown(case)}"
            )
        if not lies_inside(record):
            raise ValueError(f"the arrays of {case} must lie in cases/; got {shown(record.arrays)}")


def lies_inside(record: CaseRecord) -> bool:
    """Whether a case's arrays have names that lead nowhere else."""
    return all(map(ARRAY_NAME.fullmatch, record.arrays))
