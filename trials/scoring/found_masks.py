"""Masks as other programs name and divide them: where a folder holds them, which case a file is of,
and a file for each class.

KiTS19 asked for prediction_00024.nii.gz; TotalSegmentator writes CASE/liver.nii.gz.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from trials.data.datasets.opening import refuse_dicom
from trials.data.nifti.opening import ending_of
from trials.records.faults import FileFault, printable

MASK_FILE = "segmentation.nii.gz"
# A mask of one class may mark it with any one value.
ANY_VALUE = 256
NUMBERED = re.compile(
    r"(?:pred|predicted|prediction|seg|segmentation|mask|label|output|result)s?[ _-]?(\d+)",
    re.ASCII | re.IGNORECASE,
)


def mask_files(
    folder: Path, mask_file: str = MASK_FILE, classes: Sequence[str] = ()
) -> dict[str, Path]:
    """Find masks by case: CASE.nii.gz, or another known ending, in the folder, CASE/mask_file, or a
    folder CASE with a mask of each of the classes; other files are ignored.

    Raises ValueError for a folder without masks, and for a case that occurs twice.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is not a folder; point to one with CASE.nii.gz files or CASE/{mask_file}"
        )
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        ending = ending_of(entry.name)
        path = entry / mask_file if entry.is_dir() else entry
        if entry.is_dir() and not path.exists() and classes and class_masks(entry, classes):
            found[entry.name] = entry
            continue
        if entry.name.startswith(".") or not path.is_file() or not (ending or entry.is_dir()):
            continue
        case = entry.name.removesuffix(ending)
        if case in found:
            raise ValueError(
                f"{folder} holds {case} twice, as {found[case].relative_to(folder)} and "
                f"{path.relative_to(folder)}; remove one"
            )
        found[case] = path
    if not found:
        refuse_dicom(folder)
        raise ValueError(
            f"{folder} holds no masks; expected files are CASE.nii.gz or CASE/{mask_file}"
        )
    return found


def predicted_files(
    folder: Path, references: Iterable[str], mask_file: str, classes: Sequence[str]
) -> dict[str, Path]:
    """The predictions of a folder by the case of their reference, see match_cases(). Raises
    ValueError as mask_files() does.
    """
    found = mask_files(folder, mask_file, classes)
    cases = match_cases(found, references)
    return {cases[name]: path for name, path in found.items()}


def match_cases(predictions: Iterable[str], references: Iterable[str]) -> dict[str, str]:
    """The case of each prediction, by name; a prediction of no reference's name keeps its own.

    A name that holds one reference's name as a whole word is of that case, as case_00024_pred is;
    a number behind a word for predictions, as in prediction_00024, is of the only case that ends in
    the same number. Two predictions that would be of one case keep their names.
    """
    known = set(references)
    numbers: dict[int, list[str]] = {}
    for case in sorted(known):
        if found := re.search(r"(\d+)$", case):
            numbers.setdefault(int(found[1]), []).append(case)
    cases = {name: _case_of(name, known, numbers) for name in predictions}
    taken = list(cases.values())
    return {name: case if taken.count(case) == 1 else name for name, case in cases.items()}


def class_masks(folder: Path, classes: Sequence[str]) -> tuple[Path, ...]:
    """The masks of the classes 1, 2, ... in a folder that holds one file for each; () for a folder
    that holds none of them.

    Names are compared without capitals, and with '_' for all that is no letter or digit. Raises
    ValueError naming the classes that lack a file, and two files of one name.
    """
    files: dict[str, Path] = {}
    for file in _masks(folder):
        name = _word(file.name.removesuffix(ending_of(file.name)))
        if (first := files.setdefault(name, file)) != file:
            raise ValueError(
                f"{folder} must hold one mask of a class; {printable(first.name)} and "
                f"{printable(file.name)} have one name; remove one"
            )
    found = {name: files.get(_word(name)) for name in classes[1:]}
    if not any(found.values()):
        return ()
    if missing := [name for name, file in found.items() if file is None]:
        raise ValueError(
            f"{folder} must hold a mask of every class; {', '.join(map(printable, missing))} is "
            "missing; add it, empty if nothing was found"
        )
    return tuple(file for file in found.values() if file)


def of_no_class(folders: Mapping[Path, Sequence[Path]]) -> str:
    """One line on the masks that lie beside those of the classes, "" for none; folders maps each
    to the masks that are read.
    """
    others = [
        file for folder, read in folders.items() for file in _masks(folder) if file not in read
    ]
    if not others:
        return ""
    number = f"{len(others)} files, first " if len(others) > 1 else ""
    return f"not scored, since no class has the name: {number}{printable(others[0].name)}"


def join_classes(masks: Iterable[tuple[Path, np.ndarray]]) -> np.ndarray:
    """The labels 1, 2, ... of masks of one class each, uint8 on their grid; each comes with its
    file. Raises FileFault for a mask of several values, or that overlaps an earlier one.
    """
    whole = np.zeros(0, np.uint8)
    for label, (path, voxels) in enumerate(masks, 1):
        inside = voxels > 0
        if len(np.unique(voxels[inside])) > 1:
            text = "must mark one class with one value; it holds several"
            raise FileFault(path, "class_mask", text, "write a file for each class")
        if not whole.size:
            whole = np.zeros(voxels.shape, np.uint8, order="F")
        if shared := int(np.count_nonzero(whole[inside])):
            text = f"overlaps the mask of another class in {shared} voxels"
            raise FileFault(path, "class_mask", text, "write masks that exclude each other")
        whole[inside] = label
    return whole


def _case_of(name: str, known: set[str], numbers: Mapping[int, Sequence[str]]) -> str:
    if name in known:
        return name
    within = [
        case
        for case in known
        if re.search(rf"(?<![A-Za-z0-9]){re.escape(case)}(?![A-Za-z0-9])", name)
    ]
    longest = max(map(len, within), default=0)
    same = [case for case in within if len(case) == longest]
    if not within and (found := NUMBERED.fullmatch(name)):
        same = list(numbers.get(int(found[1]), ()))
    return same[0] if len(same) == 1 else name


def _masks(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.iterdir())
        if ending_of(file.name) and not file.name.startswith(".")
    ]


def _word(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
