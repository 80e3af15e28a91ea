"""The files of a case as nnU-Net names them: one for each channel of its image, whose name
dataset.json gives, and its mask; and those that are missing or there twice.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from trials.data.datasets.opening import dicom_files
from trials.data.datasets.registry import Case
from trials.data.nifti.opening import TO_NIFTI, ending_of
from trials.records.faults import FATAL, Fault, FileFault, printable, why_no_file
from trials.records.record import shown

# nnU-Net's name of an image ends in the number of its channel.
SUFFIX = "_0000"
# Far more than any scanner's; every channel costs its own cube in memory and on disk.
MAX_CHANNELS = 64
CHANNEL_SUFFIX = re.compile(r"(.+)_([0-9]{4})", re.DOTALL)


def channel_names(path: Path, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the channels in the order of their numbers, from dataset.json at path.

    One name alone is that of the only channel, and a list holds them in their order. Raises
    ValueError naming the key unless it numbers them 0, 1, 2, ..., up to 64.
    """
    channels = facts.get("channel_names", facts.get("modality"))
    if isinstance(channels, str) and channels:
        channels = [channels]
    if isinstance(channels, list):
        channels = {str(number): name for number, name in enumerate(channels)}
    if not isinstance(channels, dict) or not channels:
        raise ValueError(
            f"{path}: key 'channel_names' (nnU-Net) or 'modality' (Decathlon) must name the "
            "channels; add it"
        )
    if len(channels) > MAX_CHANNELS:
        raise ValueError(
            f"{path}: images have at most {MAX_CHANNELS} channels; got {len(channels)}; keep fewer"
        )
    names = [channels.get(str(number)) for number in range(len(channels))]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{path}: channels must be numbered 0, 1, 2, ... and have names; got "
            f"{shown(channels)}; correct it"
        )
    return tuple(map(str, names))


def channel_files(folder: Path, case: str, ending: str, channels: int) -> tuple[Path, ...]:
    """The files of a case's channels as nnU-Net names them: CASE_0000, CASE_0001, ..."""
    return tuple(folder / f"{case}_{channel:04d}{ending}" for channel in range(channels))


def split_channel(stem: str, cases: Collection[str]) -> tuple[str, int]:
    """The case and the channel of an image's name without its ending: ("scan_1", 0) of scan_1_0000.

    cases are the names with a mask; an image that bears one of them has no suffix and counts as
    channel 0.
    """
    found = CHANNEL_SUFFIX.fullmatch(stem)
    if found is None or (stem in cases and found[1] not in cases):
        return stem, 0
    return found[1], int(found[2])


def undeclared(file: Path, channel: int, channels: int) -> FileFault:
    """The fault of a file whose channel dataset.json does not name."""
    text = f"is channel {channel}, but dataset.json names {channels} (0 to {channels - 1})"
    fix = "name the channel in 'channel_names', or remove the file"
    return FileFault(file, "channels", text, fix)


def named_files(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder with a known ending by their name without it; names are composed
    Unicode (NFC), since macOS writes them decomposed.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if ending_of(file.name) and not file.name.startswith("."):
            found.setdefault(stem_of(file), []).append(file)
    return found


def stem_of(file: Path) -> str:
    """A file's name without its ending, in composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", file.name.removesuffix(ending_of(file.name)))


def missing_files(case: Case) -> list[Fault]:
    """A fault for each file of a case that is not there; an image without nnU-Net's suffix is
    named with its new name.
    """
    faults = []
    for file in (*case.images, case.labels):
        if why := why_no_file(file):
            fix = "add the file or remove the case"
            if next(dicom_files(file), None):
                why, fix = "is a folder of DICOM files", TO_NIFTI
            ending = ending_of(file.name)
            stem = file.name.removesuffix(ending)
            bare = file.with_name(stem.removesuffix(SUFFIX) + ending)
            if stem.endswith(SUFFIX) and file == case.image and bare.is_file():
                why = f"{why}: the name of an image ends in the number of its channel"
                fix = f"rename {bare.name} to {file.name}"
            faults.append(FileFault(file, "missing", why, fix).of_case(case.case))
    return faults


def named_twice(files: Mapping[str, Sequence[Path]]) -> list[Fault]:
    """A fault for each name that two files have, such as a.nii and a.nii.gz."""
    return [
        FileFault(
            paths[0],
            "duplicate",
            f"has the name of {printable(paths[1].name)} but for its ending",
            "remove one of the two",
            FATAL,
        ).of_case("")
        for paths in files.values()
        if len(paths) > 1
    ]
