"""Any data set described by a dataset.json: nnU-Net v2 or the Medical Segmentation Decathlon."""

import re
from pathlib import Path
from typing import Any

from trials.data.datasets.channels import (
    channel_files,
    channel_names,
    split_channel,
    undeclared,
)
from trials.data.datasets.label_names import label_set
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.phantoms.record import RECORD
from trials.data.datasets.registry import DATASETS, Case, Dataset
from trials.data.nifti.opening import ENDINGS
from trials.records.codec import parsed
from trials.records.faults import FATAL, WARNING, Fault, FileFault, printable, why_no_file
from trials.records.record import shown
from trials.storage.atomic import read_text


def nnunet(root: Path) -> Dataset:
    """Read a folder with dataset.json, imagesTr and labelsTr; its faults name invalid cases and
    files.

    Raises ValueError naming the key of dataset.json at fault.
    """
    path = root / "dataset.json"
    facts = _read(path)
    labels = label_set(path, facts)
    channels = channel_names(path, facts)
    named, faults = (
        _listed_cases(path, facts)
        if "training" in facts
        else _found_cases(path, facts, len(channels))
    )
    missing = [fault for case in named for fault in _missing_files(case)]
    incomplete = {fault.case for fault in missing}
    published = facts.get("numTraining")
    return Dataset(
        name="nnunet",
        root=root,
        classes=labels.classes,
        has_ignore=labels.has_ignore,
        regions=labels.regions,
        class_order=labels.class_order,
        cases=tuple(case for case in named if case.case not in incomplete),
        channels=channels,
        published=published if type(published) is int else None,
        licence=_as_text(facts.get("licence") or facts.get("license") or "not stated"),
        faults=(*faults, *missing, *_phantoms_beside(root)),
    )


def _phantoms_beside(root: Path) -> list[Fault]:
    """A warning if a run generated phantoms in the folder: they are not part of the data set and
    not read.
    """
    path = root / RECORD
    if why_no_file(path) is not None:
        return []
    text = (
        "says that phantoms were generated in this folder; they are not part of the data "
        "set and are not read"
    )
    fix = "delete it and the case_XXXXX folders beside it"
    return [
        Fault(
            case="",
            file=printable(str(path)),
            code="phantoms",
            message=text,
            fix=fix,
            level=WARNING,
        )
    ]


def labels_of_masks(folder: Path) -> LabelSet:
    """The labels of dataset.json in a folder of masks or the one above. Raises ValueError naming
    the key at fault.
    """
    here, above = folder / "dataset.json", folder.resolve().parent / "dataset.json"
    path = above if above.is_file() and not here.is_file() else here
    return label_set(path, _read(path))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"{path.parent} holds no dataset.json; point to a folder of nnU-Net or the Decathlon"
        )
    try:
        facts = parsed(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); correct it") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("labels"), dict):
        raise ValueError(f"{path}: key 'labels' must map class names to numbers; add it")
    return facts


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _listed_cases(path: Path, facts: dict[str, Any]) -> tuple[list[Case], list[Fault]]:
    """The Decathlon lists its pairs of files, relative to the folder."""
    if not isinstance(facts["training"], list):
        raise ValueError(
            f"{path}: 'training' must be a list of image and label; got {shown(facts['training'])}"
        )
    cases: dict[str, Case] = {}
    faults = []
    for entry in facts["training"]:
        try:
            case = _listed_case(path, entry)
            if case.case in cases:
                raise FileFault(
                    path,
                    "duplicate",
                    f"'training' names a case twice, {case.case}",
                    "remove one",
                    FATAL,
                )
            cases[case.case] = case
        except FileFault as fault:
            faults.append(fault.of_case(""))
    return [cases[name] for name in sorted(cases)], faults


def _listed_case(path: Path, entry: Any) -> Case:
    files = [entry.get(key) for key in ("image", "label")] if isinstance(entry, dict) else [None]
    if not all(isinstance(file, str) for file in files):
        text = (
            "each entry of 'training' must have 'image' and 'label', each a file's path; got "
            f"{shown(entry)}"
        )
        raise FileFault(path, "layout", text, "correct it", FATAL)
    image, labels = (_inside(path, str(file)) for file in files)
    return Case(case=_case_name(path, labels.name), image=image, labels=labels)


def _found_cases(
    path: Path, facts: dict[str, Any], channels: int
) -> tuple[list[Case], list[Fault]]:
    """nnU-Net v2 pairs labelsTr/NAME with imagesTr/NAME_0000, NAME_0001, ...; a case found in only
    one folder is kept and later reported.
    """
    ending = facts.get("file_ending")
    if ending not in ENDINGS:
        raise ValueError(
            f"{path}: key 'file_ending' must be {' or '.join(ENDINGS)}; got {shown(ending)}; "
            "convert the files"
        )
    images, labels = path.parent / "imagesTr", path.parent / "labelsTr"
    names = {file.name.removesuffix(ending) for file in _visible(labels, ending)}
    found = {
        file: split_channel(file.name.removesuffix(ending), names)
        for file in _visible(images, ending)
    }
    names = names | {case for case, _ in found.values()}
    faults = [
        undeclared(file, channel, channels).of_case(printable(case))
        for file, (case, channel) in sorted(found.items())
        if channel >= channels
    ]
    cases = []
    for name in sorted(names):
        try:
            case = _case_name(path, name + ending)
            image, *others = channel_files(images, name, ending, channels)
            cases.append(
                Case(
                    case=case,
                    image=image,
                    labels=labels / f"{name}{ending}",
                    other_images=tuple(others),
                )
            )
        except FileFault as fault:
            faults.append(fault.of_case(printable(name)))
    return cases, faults


def _visible(folder: Path, ending: str) -> list[Path]:
    return [file for file in folder.glob(f"*{ending}") if not file.name.startswith(".")]


def _inside(path: Path, name: str) -> Path:
    """A file that the manifest names. Raises FileFault unless it is below the manifest's folder,
    links resolved.
    """
    file = path.parent / name
    if "\0" in name or not file.resolve().is_relative_to(path.parent.resolve()):
        raise FileFault(
            path,
            "path",
            f"files must lie inside the folder; got {shown(name)}",
            "move the file, correct the entry",
            FATAL,
        )
    return file


def _case_name(path: Path, file: str) -> str:
    ending = next((ending for ending in ENDINGS if file.endswith(ending)), None)
    if ending is None:
        text = f"files must end in {' or '.join(ENDINGS)}; got {shown(file)}"
        raise FileFault(path, "wrong_name", text, "convert it", FATAL)
    name = file.removesuffix(ending)
    if not re.fullmatch(DATASETS["nnunet"].case_names, name, re.ASCII):
        text = f"case names are up to 64 letters, digits, '_', '.' and '-'; got {shown(name)}"
        raise FileFault(path, "id", text, "rename its files", FATAL)
    return name


def _missing_files(case: Case) -> list[Fault]:
    files = {file: why for file in (*case.images, case.labels) if (why := why_no_file(file))}
    return [
        FileFault(file, "missing", why, "add the file or remove the case").of_case(case.case)
        for file, why in files.items()
    ]
