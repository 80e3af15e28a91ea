"""The KiTS23 folder layout: case_XXXXX/imaging.nii.gz and segmentation.nii.gz. It finds files and opens none.

Heller et al., The KiTS21 Challenge, arXiv:2307.01984; github.com/neheller/kits23.
"""

import re
from pathlib import Path

from trials.data.datasets import Case, Dataset

CLASSES = ("background", "kidney", "tumor", "cyst")
IMAGE, LABELS = "imaging.nii.gz", "segmentation.nii.gz"
CASE_NAME = re.compile(r"case_\d{5}", re.ASCII)
# The training cases; 300-399 were the hidden test of an earlier challenge, above 588 labels are not published.
CASE_IDS = (*range(300), *range(400, 589))


def case_name(number: int) -> str:
    """The folder of a case: 7 is "case_00007"."""
    return f"case_{number:05d}"


def kits23(root: Path) -> Dataset:
    """Find the KiTS23 cases under root; some of the 489 will do. Raises ValueError for a foreign id or a missing file."""
    cases = case_folders(root)
    known = {case_name(number) for number in CASE_IDS}
    if foreign := [case.case for case in cases if case.case not in known]:
        raise ValueError(f"{root}: {', '.join(foreign)} cannot be KiTS23 cases: ids are 0-299 and 400-588; move them elsewhere")
    licence = "CC BY-NC-SA 4.0"
    return Dataset(name="kits23", root=root, classes=CLASSES, cases=cases, published=len(CASE_IDS), licence=licence)


def phantoms(root: Path) -> Dataset:
    """Find phantoms under root: the layout and the classes of KiTS23, any number of cases, nobody's anatomy."""
    return Dataset(name="phantoms", root=root, classes=CLASSES, cases=case_folders(root), licence="made by this program")


def case_folders(root: Path) -> tuple[Case, ...]:
    """Every case_XXXXX folder under root, in order; anything else is ignored. Raises one ValueError for all missing files."""
    folders = sorted(folder for folder in root.iterdir() if CASE_NAME.fullmatch(folder.name) and folder.is_dir())
    lacking = [f"{folder.name} lacks {file}" for folder in folders for file in (IMAGE, LABELS) if not (folder / file).is_file()]
    if lacking:
        raise ValueError(f"{root}: {'; '.join(lacking)}; fetch these cases again or move their folders elsewhere")
    return tuple(Case(case=folder.name, image=folder / IMAGE, labels=folder / LABELS) for folder in folders)
