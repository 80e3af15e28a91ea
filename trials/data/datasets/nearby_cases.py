"""Where the cases of a data set are if not in the folder that was named, and whether they are
DICOM, which is not read.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from trials.records.faults import printable

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
