"""Opens the folder of a data set: its cases, or where they are if not in the folder that was named;
and DICOM, which is not read, is named with the command that converts it.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from trials.data.datasets.label_set import check_classes
from trials.data.datasets.registry import DATASETS, Dataset, DatasetEntry, detect_dataset
from trials.records.faults import printable, refuse
from trials.records.registry import pick

# How many entries of a folder are searched for a data set one level deeper, or for DICOM.
MAX_ENTRIES_SEARCHED = 100


def found_instead(find: Callable[[Path], Any], root: Path) -> str:
    """Where the cases are, if one level higher or deeper; otherwise the folder's first entries.
    find returns the data set in a folder.
    """
    entries = sorted(root.iterdir())[:MAX_ENTRIES_SEARCHED]
    for other in (root.absolute().parent, *(entry for entry in entries if entry.is_dir())):
        try:
            if find(other).cases:
                return f", but {other} does: point there"
        except (ValueError, OSError):
            continue
    return (
        f", but {', '.join(printable(entry.name) for entry in entries[:3])}"
        if entries
        else ": it is empty"
    )


def refuse_dicom(place: Path) -> None:
    """Raise ValueError with the command that converts it if a place is a DICOM file, or a folder of
    DICOM.
    """
    from trials.data.nifti.opening import TO_NIFTI

    if first := next(dicom_files(place), None):
        shown = "is a DICOM file" if first == place else f"holds DICOM files, first {first}"
        folder = first.parent if first == place else place
        fix = TO_NIFTI.replace("FOLDER", shlex.quote(str(folder)))
        raise ValueError(printable(f"{place} {shown}; {fix}"))


def dicom_files(place: Path) -> Iterator[Path]:
    """The DICOM files at a place: itself, or what lies in a folder and below it, up to 100 files of
    each of 100 folders. A file is one by its first bytes or the ending .dcm.
    """
    from trials.data.nifti.opening import is_dicom

    if place.is_file():
        yield from (place,) if is_dicom(place) else ()
    for folder, folders, names in islice(os.walk(place), MAX_ENTRIES_SEARCHED):
        folders.sort()
        files = (Path(folder, name) for name in sorted(names)[:MAX_ENTRIES_SEARCHED])
        yield from (file for file in files if is_dicom(file))


def open_dataset(name: str, root: Path, patients: str = "") -> Dataset:
    """Find the cases of a data set under root, and their patients by the rule of Grid.patients.
    Raises ValueError for a missing folder, and one that lists all faults.
    """
    dataset = find_dataset(name, root, patients)
    refuse(root, dataset.faults)
    return dataset


def find_dataset(name: str, root: Path, patients: str = "") -> Dataset:
    """Like open_dataset, but return the faults in the data set. Raises ValueError if there is no
    case at all, and for classes that cannot be stored or told apart.
    """
    from trials.data.datasets.patients import with_patients

    part = pick(DATASETS, "data set", name)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder, so it holds no {name}; {part.how_to_get}")
    try:
        dataset: Dataset = part.load()(root)
    except ValueError:
        refuse_dicom(root)
        raise
    if not dataset.cases:
        refuse_dicom(root)
        refuse(root, dataset.faults)
        raise ValueError(
            f"{root} holds no case of {name}{found_instead(part.load(), root)}; {_hint(part, root)}"
        )
    check_classes(root, dataset.classes, dataset.labels.num_labels)
    return with_patients(dataset, patients, part.patients)


def _hint(part: DatasetEntry, root: Path) -> str:
    """How to get the data set; or the flag for a folder of another one."""
    other = detect_dataset(root)
    is_other = DATASETS[other].marker_file and DATASETS[other] != part
    return f"it is a folder of {other}: give --dataset {other}" if is_other else part.how_to_get
