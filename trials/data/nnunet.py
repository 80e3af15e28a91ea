"""Anybody's data set, told by its dataset.json: nnU-Net v2 or the Medical Segmentation Decathlon, one channel."""

import json
import re
from pathlib import Path
from typing import Any

from trials.data.datasets import Case, Dataset

ENDINGS = (".nii.gz", ".nii")
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def nnunet(root: Path) -> Dataset:
    """Read a folder with dataset.json, imagesTr and labelsTr. Raises ValueError naming the key or the files at fault."""
    path = root / "dataset.json"
    facts = _read(path)
    classes = _classes(path, facts)
    _check_channels(path, facts)
    cases = _listed_cases(path, facts) if "training" in facts else _found_cases(path, facts)
    _check_files(root, cases)
    published = facts.get("numTraining")
    return Dataset(
        name="nnunet",
        root=root,
        classes=classes,
        cases=tuple(sorted(cases, key=lambda case: case.case)),
        published=published if isinstance(published, int) else None,
        licence=str(facts.get("licence") or facts.get("license") or "not stated"),
    )


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the class names, by label, of a dataset.json. Raises ValueError naming the key at fault."""
    return _classes(path, _read(path))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path.parent} holds no dataset.json; point to a folder of nnU-Net or the Decathlon")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); correct it") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("labels"), dict):
        raise ValueError(f"{path}: key 'labels' must map class names to numbers; add it")
    return facts


def _classes(path: Path, facts: dict[str, Any]) -> tuple[str, ...]:
    """Class names by label: nnU-Net v2 writes {name: label}, the Decathlon {label: name}."""
    by_label: dict[int, str] = {}
    for key, value in facts["labels"].items():
        if isinstance(value, list):
            raise ValueError(
                f"{path}: label {key!r} is a region, {value}; region-based labels are not supported, give one label a class"
            )
        if key == "ignore":
            raise ValueError(f"{path}: an 'ignore' label is not supported; map it to a class")
        name, label = (value, key) if isinstance(value, str) and str(key).isdecimal() else (key, value)
        if not str(label).isdecimal() or isinstance(label, bool):
            raise ValueError(f"{path}: label {key!r} must have a whole number; got {value!r}")
        by_label[int(label)] = str(name)
    if sorted(by_label) != list(range(len(facts["labels"]))) or len(by_label) < 2:
        raise ValueError(f"{path}: labels must be 0, 1, 2, ... without gaps, 0 the background; got {sorted(by_label)}")
    return tuple(by_label[label] for label in range(len(by_label)))


def _check_channels(path: Path, facts: dict[str, Any]) -> None:
    channels = facts.get("channel_names", facts.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise ValueError(f"{path}: key 'channel_names' (nnU-Net) or 'modality' (Decathlon) must name the channel; add it")
    if len(channels) > 1:
        names = ", ".join(map(str, channels.values()))
        raise ValueError(f"{path}: images must have one channel; got {len(channels)} ({names}); keep one of them")


def _listed_cases(path: Path, facts: dict[str, Any]) -> list[Case]:
    """The Decathlon lists its pairs of files, relative to the folder."""
    cases = []
    for entry in facts["training"]:
        if not isinstance(entry, dict) or not {"image", "label"} <= set(entry):
            raise ValueError(f"{path}: each entry of 'training' must have 'image' and 'label'; got {entry!r}")
        image, labels = (_inside(path, str(entry[key])) for key in ("image", "label"))
        cases.append(Case(case=_case_name(path, labels.name), image=image, labels=labels))
    if len({case.case for case in cases}) < len(cases):
        raise ValueError(f"{path}: 'training' names a case twice; remove one")
    return cases


def _found_cases(path: Path, facts: dict[str, Any]) -> list[Case]:
    """nnU-Net v2 pairs labelsTr/NAME with imagesTr/NAME_0000; a case found in only one folder is kept, to be reported."""
    ending = facts.get("file_ending")
    if ending not in ENDINGS:
        raise ValueError(f"{path}: key 'file_ending' must be {' or '.join(ENDINGS)}; got {ending!r}; convert the files")
    images, labels = path.parent / "imagesTr", path.parent / "labelsTr"
    names = {file.name.removesuffix(ending) for file in _visible(labels, ending)}
    names |= {file.name.removesuffix(ending).removesuffix("_0000") for file in _visible(images, ending)}
    return [
        Case(case=_case_name(path, name + ending), image=images / f"{name}_0000{ending}", labels=labels / f"{name}{ending}")
        for name in names
    ]


def _visible(folder: Path, ending: str) -> list[Path]:
    return [file for file in folder.glob(f"*{ending}") if not file.name.startswith(".")]


def _inside(path: Path, name: str) -> Path:
    file = path.parent / name
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise ValueError(f"{path}: files must lie inside the folder; got {name!r}")
    return file


def _case_name(path: Path, file: str) -> str:
    ending = next((ending for ending in ENDINGS if file.endswith(ending)), None)
    if ending is None:
        raise ValueError(f"{path}: files must end in {' or '.join(ENDINGS)}; got {file!r}; convert it")
    name = file.removesuffix(ending)
    if not CASE_NAME.fullmatch(name):
        raise ValueError(f"{path}: case names are up to 64 letters, digits, '_', '.' and '-'; got {name!r}; rename its files")
    return name


def _check_files(root: Path, cases: list[Case]) -> None:
    lacking = [
        f"{case.case} lacks {file.relative_to(root)}"
        for case in cases
        for file in (case.image, case.labels)
        if not file.is_file()
    ]
    if lacking:
        raise ValueError(f"{root}: {'; '.join(sorted(lacking))}; add the files or remove the cases")
