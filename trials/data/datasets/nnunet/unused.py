"""What dataset.json or its folder names, counts or holds and a run does not use, as warnings."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from trials.data.datasets.channels import channel_names
from trials.data.datasets.nnunet.cases import FOLDERS, Layout
from trials.data.datasets.opening import dicom_files
from trials.data.nifti.opening import ENDINGS, TO_NIFTI, VOXEL_ENDINGS, ending_of
from trials.records.faults import Fault, printable, set_warning
from trials.records.record import shown

# nnU-Net chooses a normalisation by the name of a channel; "zscore" is what is done.
OTHER_SCHEMES = ("nonorm", "rescale_to_0_1", "rgb_to_0_1")
DICOM = "files or folders are DICOM and are not used"


def unused(path: Path, facts: Mapping[str, Any], layout: Layout) -> list[Fault]:
    """All warnings of a dataset.json and its folder."""
    return [
        *wrong_counts(path, facts, layout),
        *other_schemes(path, facts),
        *second_endings(path, facts.get("file_ending", ""), layout),
        *unused_files(path, layout),
        *outside_files(path, layout),
    ]


def wrong_counts(path: Path, facts: Mapping[str, Any], layout: Layout) -> list[Fault]:
    """A warning if dataset.json counts other training cases than there are, or more test cases."""
    number, told = facts.get("numTraining"), []
    train, found = len(layout.names("train")), len(layout.names("train", "val"))
    if number is not None and number not in (train, found, str(train)):
        told.append(f"'numTraining' is {shown(number)}, but {found} cases are here")
    number, found = facts.get("numTest"), len(layout.names("test")) + len(layout.unlabelled)
    if type(number) is int and number > found:
        told.append(f"'numTest' is {shown(number)}, but {found} test images are here")
    return [set_warning(path, "count", text) for text in told]


def other_schemes(path: Path, facts: Mapping[str, Any]) -> list[Fault]:
    """A warning if channels have the name of one of nnU-Net's other normalisations."""
    asked = [name for name in channel_names(path, facts) if name.casefold() in OTHER_SCHEMES]
    if not asked:
        return []
    text = (
        f"channels are normalised by mean and deviation, whatever they ask for: {', '.join(asked)}"
    )
    return [set_warning(path, "normalisation", text)]


def second_endings(path: Path, ending: str, layout: Layout) -> list[Fault]:
    """A warning if files have another ending than the declared one."""
    files = (file for case in layout.cases() for file in (*case.images, case.labels))
    others = sorted(file for file in files if ending and not file.name.endswith(ending))
    if not others:
        return []
    listed = _listed(path.parent, others)
    text = f"'file_ending' is {ending}, but files end otherwise and are used: {listed}"
    return [set_warning(path, "ending", text)]


def unused_files(path: Path, layout: Layout) -> list[Fault]:
    """A warning for each kind of file or folder that lies there and is not read."""
    root = path.parent
    used = {file for case in layout.cases() for file in (*case.images, case.labels)}
    used |= {Path(fault.file) for fault in layout.faults}
    entries = [
        entry
        for name in FOLDERS
        for entry in (sorted((root / name).iterdir()) if (root / name).is_dir() else ())
        if not entry.name.startswith(".") and entry not in used
    ]
    known = [entry for entry in entries if entry.name.endswith(ENDINGS)]
    beside = {
        (entry.parent, entry.name.removesuffix(ending_of(entry.name))) for entry in (*used, *known)
    }
    foreign = [
        entry
        for entry in entries
        if not entry.name.endswith(ENDINGS) and not _is_voxels(entry, beside)
    ]
    dicom = [entry for entry in foreign if next(dicom_files(entry), None)]
    unlabelled = dict.fromkeys(
        (*layout.unlabelled, *(entry for entry in known if entry.parent.name == "imagesTs"))
    )
    others = [entry for entry in known if entry.parent.name != "imagesTs"]
    folders = [
        entry
        for entry in sorted(root.iterdir())
        if entry.is_dir() and re.match("(images|labels)", entry.name) and entry.name not in FOLDERS
    ]
    lost = [root / name for name in FOLDERS if os.path.lexists(root / name)]
    told = {
        "are no folders and are not read": [entry for entry in lost if not entry.is_dir()],
        "images without a mask are not used": list(unlabelled),
        "files belong to no case that dataset.json lists and are not used": others,
        DICOM: dicom,
        f"files do not end in one of {', '.join(ENDINGS)} and are not used": [
            entry for entry in foreign if entry not in dicom
        ],
        "folders are not read": folders,
    }
    return [
        set_warning(
            path, "unused", f"{text}: {_listed(root, files)}", TO_NIFTI if text == DICOM else ""
        )
        for text, files in told.items()
        if files
    ]


def _is_voxels(entry: Path, headers: Collection[tuple[Path, str]]) -> bool:
    """Whether a file holds the voxels of a header beside it, by its name."""
    return any(
        entry.name.endswith(ending) and (entry.parent, entry.name.removesuffix(ending)) in headers
        for ending in VOXEL_ENDINGS
    )


def outside_files(path: Path, layout: Layout) -> list[Fault]:
    """A warning if `dataset` names files outside of the folder; links are not resolved."""
    root = os.path.normpath(path.parent)
    outside = [
        file
        for case in layout.cases()
        for file in (*case.images, case.labels)
        if not os.path.normpath(file).startswith(root + os.sep)
    ]
    if not outside:
        return []
    text = f"'dataset' names files outside of the folder: {_listed(path.parent, outside)}"
    return [set_warning(path, "outside", text)]


def _listed(root: Path, files: Sequence[Path]) -> str:
    number = f"{len(files)}, first " if len(files) > 1 else ""
    return number + _relative(root, files[0])


def _relative(root: Path, file: Path) -> str:
    return printable(str(file.relative_to(root) if file.is_relative_to(root) else file))
