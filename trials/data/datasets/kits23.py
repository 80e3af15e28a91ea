"""The KiTS23 folder layout, case_XXXXX/imaging.nii.gz and segmentation.nii.gz, and its patients'
metadata. Images are found but not opened.

Heller et al., The KiTS21 Challenge, arXiv:2307.01984; github.com/neheller/kits23.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from trials.data.datasets.phantoms.record import RECORD, read_phantoms_record
from trials.data.datasets.registry import DATASETS, Case, Dataset
from trials.records.codec import parsed
from trials.records.faults import BAD_CASE, FATAL, WARNING, Fault, printable, why_no_file
from trials.storage.atomic import read_text

CLASSES = ("background", "kidney", "tumor", "cyst")
IMAGE, LABELS = "imaging.nii.gz", "segmentation.nii.gz"
FETCH = (
    "fetch it again (kits23: `segbench prepare kits23 FOLDER --cache DIR --download`) or move "
    "the case's folder elsewhere"
)
MOVE = "move its folder elsewhere"
# The training cases; 300-399 were the hidden test set of an earlier challenge, labels above 588 are
# not published.
CASE_IDS = (*range(300), *range(400, 589))
# Cases from this number on are new in KiTS23; lower ones were in KiTS19 and KiTS21.
FIRST_NEW = 400
CLINICAL = "kits23.json"


def case_name(number: int) -> str:
    """The folder of a case: 7 is "case_00007"."""
    return f"case_{number:05d}"


def kits23(root: Path) -> Dataset:
    """Find the KiTS23 cases under root; a subset of the 489 is allowed. Its faults name foreign
    ids, missing files and phantoms.

    Raises ValueError for a damaged phantoms.json.
    """
    cases, faults = case_folders(root, DATASETS["kits23"].case_names)
    known = {case_name(number) for number in CASE_IDS}
    text = "cannot be a KiTS23 case: ids are 0-299 and 400-588"
    foreign = [
        _fault(root / case.case, "id", text, MOVE, FATAL)
        for case in cases
        if case.case not in known
    ]
    return Dataset(
        name="kits23",
        root=root,
        classes=CLASSES,
        cases=cases,
        published=len(CASE_IDS),
        licence="CC BY-NC-SA 4.0",
        faults=(*faults, *foreign, *_phantoms_among(root, cases)),
    )


def phantoms(root: Path) -> Dataset:
    """Find phantoms under root: synthetic cases in any number, with the layout and classes of
    KiTS23.

    Its faults name the cases that phantoms.json does not cover. Raises ValueError for a damaged
    phantoms.json.
    """
    cases, faults = case_folders(root, DATASETS["phantoms"].case_names)
    foreign = _not_generated(root, cases)
    return Dataset(
        name="phantoms",
        root=root,
        classes=CLASSES,
        cases=cases,
        licence="made by this program",
        faults=(*faults, *foreign),
    )


def case_metadata(dataset: Dataset) -> Mapping[str, Mapping[str, str]]:
    """The cohort by case number, and the pathological T stage of the cases that kits23.json, if
    present, lists.
    """
    names = [case.case for case in dataset.cases]
    cohorts = {
        name: "new in KiTS23" if int(name[-5:]) >= FIRST_NEW else "from KiTS19 and KiTS21"
        for name in names
    }
    stages = _stages(dataset.root / CLINICAL)
    known = {name: stages[name] for name in names if name in stages}
    return {"cohort": cohorts} | ({"T stage": known} if known else {})


def _stages(path: Path) -> dict[str, str]:
    """Case to the stage's number without its letter: 1a and 1b give T1; cases without a stage are
    omitted.
    """
    if not path.is_file():
        return {}
    try:
        rows = parsed(read_text(path))
        given = {row["case_id"]: str(row["pathology_t_stage"] or "") for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not the challenge's list of patients ({error!r}); fetch it again or delete it"
        ) from None
    return {case: f"T{stage[0]}" for case, stage in given.items() if stage[:1].isdigit()}


def case_folders(root: Path, pattern: str) -> tuple[tuple[Case, ...], tuple[Fault, ...]]:
    """The cases under root whose two files exist, sorted, and the faults in names and files of the
    others.

    A folder with an image or a mask whose name is not a case name is a fault; anything else is
    ignored.
    """
    cases, faults = [], []
    is_case_name = re.compile(pattern, re.ASCII).fullmatch
    for folder in sorted(root.iterdir()):
        holds_a_case = any((folder / file).is_file() for file in (IMAGE, LABELS))
        if is_case_name(folder.name) and (folder.is_dir() or folder.is_symlink()):
            found = _file_faults(folder)
            faults += found
            if all(fault.level == WARNING for fault in found):
                cases.append(Case(case=folder.name, image=folder / IMAGE, labels=folder / LABELS))
        elif holds_a_case and not folder.name.startswith("."):
            text = (
                f"holds a case, but {printable(folder.name)!r} is not a case name: it must match "
                f"{pattern}"
            )
            faults.append(_fault(folder, "id", text, "rename or move the folder", FATAL))
    return tuple(cases), tuple(faults)


def _phantoms_among(root: Path, cases: tuple[Case, ...]) -> list[Fault]:
    """A fault if a run generated phantoms in a folder of patients: training on both would go
    unnoticed.
    """
    written = read_phantoms_record(root)
    if written is None:
        return []
    names = {case_name(number) for number in range(written.num_cases)}
    text = (
        f"says that {len(names)} cases from {case_name(0)} on are generated phantoms, not "
        "patients of KiTS23"
    )
    if others := [case.case for case in cases if case.case not in names]:
        text += f"; other cases beside them: {len(others)}, first {others[0]}"
    fix = f"move the patients to a folder of their own, or delete the phantoms and {RECORD}"
    return [_of_record(root, text, fix, FATAL)]


def _not_generated(root: Path, cases: tuple[Case, ...]) -> list[Fault]:
    """A fault for every case that phantoms.json, if present, does not cover."""
    written = read_phantoms_record(root)
    if written is None:
        return []
    names = {case_name(number) for number in range(written.num_cases)}
    text = f"is not a generated phantom: {RECORD} lists {len(names)}, from {case_name(0)} on"
    faults = [
        _fault(root / case.case, "id", text, MOVE, FATAL)
        for case in cases
        if case.case not in names
    ]
    if not written.complete:
        text = f"says that not all of its {len(names)} phantoms were written"
        fix = "rerun the command that generates them: it continues"
        faults.append(_of_record(root, text, fix, WARNING))
    return faults


def _of_record(root: Path, message: str, fix: str, level: str) -> Fault:
    return Fault(
        case="",
        file=printable(str(root / RECORD)),
        code="phantoms",
        message=message,
        fix=fix,
        level=level,
    )


def _file_faults(folder: Path) -> list[Fault]:
    missing = [
        _fault(folder / file, "missing", why, FETCH)
        for file in (IMAGE, LABELS)
        if (why := why_no_file(folder / file))
    ]
    partial = [
        _fault(
            path,
            "partial",
            "is an unfinished download and is ignored",
            "fetch the case again, or delete it",
            WARNING,
        )
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if ".partial" in path.name
    ]
    return missing + partial


def _fault(path: Path, code: str, message: str, fix: str, level: str = BAD_CASE) -> Fault:
    case = path if code == "id" else path.parent
    return Fault(
        case=printable(case.name),
        file=printable(str(path)),
        code=code,
        message=message,
        fix=fix,
        level=level,
    )
