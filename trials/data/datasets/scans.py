"""New scans without masks, in every layout that the project reads: a file, a folder of files,
nnU-Net's imagesTs, or folders of KiTS cases.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from trials.data.datasets.channels import CHANNEL_SUFFIX, channel_files
from trials.data.datasets.kits23 import IMAGE
from trials.data.datasets.opening import refuse_dicom
from trials.data.nifti.opening import ending_of
from trials.records.faults import printable

NNUNET_FOLDERS = ("imagesTs", "imagesTr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan: the name that its prediction takes, and its files, one a channel or one of four
    axes.
    """

    case: str
    images: tuple[Path, ...]


def find_scans(place: Path, channels: int) -> tuple[Scan, ...]:
    """The scans of so many channels at a place, sorted by name; missing files are found when a scan
    is read. Raises ValueError where there is none, where two have one name, or where there is a
    further channel.

    A folder with dataset.json stands for its imagesTs. In imagesTs, and where every name ends in
    the number of a channel, as _0000, that ending is no part of a scan's name.
    """
    scans = sorted(_scans_at(place, channels), key=lambda scan: scan.case)
    for scan, after in pairwise(scans):
        if scan.case == after.case:
            raise ValueError(
                f"{place} holds {printable(scan.case)} twice, as {printable(scan.images[0].name)} "
                f"and {printable(after.images[0].name)}; remove one"
            )
    if not scans:
        refuse_dicom(place)
        raise ValueError(
            f"{place} must be a NIfTI, NRRD or MetaImage file, or a folder that holds such files, "
            f"imagesTs, or CASE/{IMAGE}; it is none of them"
        )
    return tuple(scans)


def _scans_at(place: Path, channels: int) -> list[Scan]:
    if place.is_file():
        return _of_files(place.parent, _stems([place]), channels)
    if not place.is_dir():
        raise ValueError(f"{place} does not exist; name a file or a folder of them")
    if (place / IMAGE).is_file():
        return [Scan(case=place.resolve().name, images=(place / IMAGE,))]
    if (place / "dataset.json").is_file() and (place / NNUNET_FOLDERS[0]).is_dir():
        place = place / NNUNET_FOLDERS[0]
    return _in_folders(place) or _of_files(place, _stems(_visible(place)), channels)


def _in_folders(place: Path) -> list[Scan]:
    return [
        Scan(case=folder.name, images=(folder / IMAGE,))
        for folder in _visible(place)
        if (folder / IMAGE).is_file()
    ]


def _of_files(place: Path, stems: Mapping[Path, str], channels: int) -> list[Scan]:
    """The scans of some files of a folder: one a file, or one for the files of a case."""
    parts = {path: CHANNEL_SUFFIX.fullmatch(stem) for path, stem in stems.items()}
    numbers = {path: int(part[2]) for path, part in parts.items() if part}
    are_channels = len(numbers) == len(stems) and max(numbers.values(), default=0) < channels
    if not are_channels and not (place.name in NNUNET_FOLDERS and 0 in numbers.values()):
        return [Scan(case=stem, images=(path,)) for path, stem in stems.items()]
    if further := [path.name for path in stems if not numbers.get(path, channels) < channels]:
        raise ValueError(
            f"{place}: the run was trained on {channels} channel{'s' if channels > 1 else ''}, "
            f"NAME_0000 to NAME_{channels - 1:04d}; it holds {printable(further[0])} too; remove "
            "what is no channel of it"
        )
    cases = {(part[1], ending_of(path.name)) for path, part in parts.items() if part}
    return [
        Scan(case=case, images=channel_files(place, case, ending, channels))
        for case, ending in cases
    ]


def _stems(files: Iterable[Path]) -> dict[Path, str]:
    return {
        path: path.name.removesuffix(ending) for path in files if (ending := ending_of(path.name))
    }


def _visible(place: Path) -> Iterator[Path]:
    return (path for path in place.iterdir() if not path.name.startswith("."))
