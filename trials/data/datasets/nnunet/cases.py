"""The cases of a folder with dataset.json: those that it lists, and those whose files lie in
imagesTr and labelsTr, or imagesTs and labelsTs.

Links are followed, wherever they lead. `training`, `validation` and `test` name files inside the
folder as it is written; `dataset` (nnU-Net v2.5) names files anywhere.
"""

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trials.data.datasets.channels import (
    SUFFIX,
    channel_files,
    named_files,
    named_twice,
    split_channel,
    stem_of,
    undeclared,
)
from trials.data.datasets.opening import dicom_files
from trials.data.datasets.registry import DATASETS, Case
from trials.data.nifti.opening import ENDINGS, TO_NIFTI, ending_of
from trials.records.faults import FATAL, Fault, FileFault, printable
from trials.records.record import shown

# A file name holds 255 bytes; a case's files add a channel and an ending to its name.
MAX_NAME_BYTES = 200
# The keys of dataset.json that list cases, and the part of the data set that each is.
LISTS = {"training": "train", "validation": "val", "test": "test"}
FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The cases of each part that the data set gives them: train; val, those of a labelled
    validation list; test, those of labelsTs or of a labelled test list.

    folds maps a case to the fold that its list gives it. unlabelled names images without a mask.
    The files of a case may be missing.
    """

    parts: Mapping[str, tuple[Case, ...]] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)
    unlabelled: tuple[Path, ...] = ()
    faults: tuple[Fault, ...] = ()

    def cases(self) -> tuple[Case, ...]:
        """All cases in the order of their names."""
        found = (case for cases in self.parts.values() for case in cases)
        return tuple(sorted(found, key=lambda case: case.case))

    def names(self, *parts: str) -> tuple[str, ...]:
        """The names of the cases of these parts."""
        return tuple(case.case for part in parts for case in self.parts.get(part, ()))


def read_layout(path: Path, facts: Mapping[str, Any], channels: int) -> Layout:
    """The cases, of so many channels, that a dataset.json lists or that lie in its folder. Raises
    ValueError naming the key at fault.
    """
    found = [read_list(path, key, facts[key], channels) for key in LISTS if key in facts]
    if "dataset" in facts:
        found.append(read_mapping(path, facts["dataset"], channels))
    has_suffix = "file_ending" in facts
    if has_suffix or not any(key in facts for key in ("training", "dataset")):
        _check_ending(path, facts.get("file_ending"))
        found.append(pair_files(path, "Tr", facts["file_ending"], channels))
    found.append(pair_files(path, "Ts", facts.get("file_ending", ""), channels))
    return _join(path, found)


def read_list(path: Path, key: str, entries: Any, channels: int) -> Layout:
    """The cases of one list of image and label, relative to the folder of dataset.json. Raises
    ValueError for what is not a list.
    """
    if not isinstance(entries, list):
        raise ValueError(f"{path}: {key!r} must be a list of image and label; got {shown(entries)}")
    cases: dict[str, Case] = {}
    folds: dict[str, int] = {}
    unlabelled, faults = [], []
    for entry in entries:
        try:
            if key != "training" and (image := _image_alone(path, entry)):
                unlabelled.append(image)
                continue
            case = _listed_case(path, key, entry, channels)
            if case.case in cases:
                text = f"{key!r} names a case twice, {printable(case.case)}"
                raise FileFault(path, "duplicate", text, "remove one", FATAL)
            cases[case.case] = case
            if type(entry.get("fold")) is int:
                folds[case.case] = entry["fold"]
        except FileFault as fault:
            faults.append(fault.of_case(""))
    return Layout(
        parts={LISTS[key]: tuple(cases.values())},
        folds=folds,
        unlabelled=tuple(unlabelled),
        faults=tuple(faults),
    )


def read_mapping(path: Path, entries: Any, channels: int) -> Layout:
    """The cases of nnU-Net's `dataset` key, {case: {"images": [file], "label": file}}. Raises
    ValueError for what is not a mapping.
    """
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: 'dataset' must map cases to their files; got {shown(entries)}")
    cases, faults = [], []
    for name, entry in entries.items():
        try:
            cases.append(_mapped_case(path, name, entry, channels))
        except FileFault as fault:
            faults.append(fault.of_case(""))
    return Layout(parts={"train": tuple(cases)}, faults=tuple(faults))


def pair_files(path: Path, part: str, ending: str, channels: int) -> Layout:
    """Pair labelsTr/NAME with imagesTr/NAME_0000, NAME_0001, ... (part "Tr"), or labelsTs with
    imagesTs ("Ts").

    ending is the declared one; files of another known ending are paired too. "" stands for a
    Decathlon folder, whose images have no suffix. A training case found in only one folder is kept
    and later reported; a test image without a mask is unlabelled.
    """
    folders = [path.parent / f"{kind}{part}" for kind in ("images", "labels")]
    images, labels = map(named_files, folders)
    of_stem = {stem: split_channel(stem, labels) for stem in images}
    names = {*labels, *(case for case, _ in of_stem.values() if part == "Tr")}
    faults = [*named_twice(images), *named_twice(labels)]
    faults += [
        undeclared(images[stem][0], channel, channels).of_case(printable(case))
        for stem, (case, channel) in sorted(of_stem.items())
        if channel >= channels and case in names
    ]
    cases = []
    for name in sorted(names):
        stems = [file.name for file in channel_files(Path(), name, "", channels)]
        if not ending and name in images:
            stems = [name]
        image, *others = [images.get(s, [folders[0] / f"{s}{ending}"])[0] for s in stems]
        label = labels.get(name, [folders[1] / f"{name}{ending}"])[0]
        try:
            case = check_name(path, name)
            cases.append(Case(case=case, image=image, labels=label, other_images=tuple(others)))
        except FileFault as fault:
            faults.append(fault.of_case(printable(name)))
    unlabelled = [images[stem][0] for stem, (case, _) in of_stem.items() if case not in names]
    return Layout(
        parts={"train" if part == "Tr" else "test": tuple(cases)},
        unlabelled=tuple(unlabelled),
        faults=tuple(faults),
    )


def check_name(path: Path, name: str) -> str:
    """A case's name in composed Unicode. Raises FileFault for one that no record can hold."""
    name = unicodedata.normalize("NFC", name)
    is_name = re.fullmatch(DATASETS["nnunet"].case_names, name)
    if not is_name or len(name.encode()) > MAX_NAME_BYTES:
        text = (
            f"case names are up to {MAX_NAME_BYTES} bytes of printable text and do not start with "
            f"'.'; got {shown(name)}"
        )
        raise FileFault(path, "id", text, "rename its files", FATAL)
    return name


def _join(path: Path, found: Sequence[Layout]) -> Layout:
    """Several lists as one; the first that names a case gives its files. A case in two parts is a
    fault.
    """
    parts: dict[str, tuple[str, Case]] = {}
    faults = [fault for layout in found for fault in layout.faults]
    for layout in found:
        for part in LISTS.values():
            for case in layout.parts.get(part, ()):
                first, _ = parts.setdefault(case.case, (part, case))
                if first != part:
                    text = f"{printable(case.case)} is a case for {part} and for {first}: a leak"
                    fault = FileFault(path, "leak", text, "remove it from one", FATAL)
                    faults.append(fault.of_case(""))
    by_part = {
        part: tuple(case for _, (of, case) in sorted(parts.items()) if of == part)
        for part in LISTS.values()
    }
    return Layout(
        parts=by_part,
        folds={case: fold for layout in found for case, fold in layout.folds.items()},
        unlabelled=tuple(
            image
            for layout in found
            for image in layout.unlabelled
            if stem_of(image).removesuffix(SUFFIX) not in parts
        ),
        faults=tuple(faults),
    )


def _check_ending(path: Path, ending: Any) -> None:
    if ending not in ENDINGS:
        raise ValueError(
            f"{path}: key 'file_ending' must be one of {', '.join(ENDINGS)}; got {shown(ending)}; "
            "convert the files"
        )


def _image_alone(path: Path, entry: Any) -> Path | None:
    """The image of an entry without a label; None for an entry with one."""
    image = entry.get("image") if isinstance(entry, dict) else entry
    is_labelled = isinstance(entry, dict) and "label" in entry
    return None if is_labelled or not isinstance(image, str) else _inside(path, image)


def _listed_case(path: Path, key: str, entry: Any, channels: int) -> Case:
    """A case of a list: its image is one file, or a list of one for each channel."""
    found = entry if isinstance(entry, dict) else {}
    given = found.get("image")
    files = [*given, found.get("label")] if isinstance(given, list) else [given, found.get("label")]
    if len(files) not in (2, channels + 1) or not all(isinstance(file, str) for file in files):
        text = (
            f"each entry of {key!r} must have 'image' and 'label', each a file's path; got "
            f"{shown(entry)}"
        )
        raise FileFault(path, "layout", text, "correct it", FATAL)
    *images, labels = (_inside(path, str(file)) for file in files)
    endings = [_ending_of(path, file) for file in (*images, labels)]
    if len(images) == 1:
        images = _with_suffix(images[0], endings[0], channels)
    name = labels.name.removesuffix(endings[-1])
    return Case(
        case=check_name(path, name),
        image=images[0],
        labels=labels,
        other_images=tuple(images[1:]),
    )


def _mapped_case(path: Path, name: str, entry: Any, channels: int) -> Case:
    found = entry if isinstance(entry, dict) else {}
    images, label = found.get("images"), found.get("label")
    files = [*images, label] if isinstance(images, list) else []
    if len(files) != channels + 1 or not all(isinstance(file, str) for file in files):
        text = (
            f"each case of 'dataset' must have 'images', a list of {channels} files, one for each "
            f"channel, and 'label', a file; got {shown(entry)}"
        )
        raise FileFault(path, "layout", text, "correct it", FATAL)
    paths = [path.parent / os.path.expandvars(file) for file in files]
    for file in paths:
        _ending_of(path, file)
    image, *others, labels = paths
    return Case(case=check_name(path, name), image=image, labels=labels, other_images=tuple(others))


def _with_suffix(image: Path, ending: str, channels: int) -> list[Path]:
    """The files that an entry of nnU-Net v1 means: it lists NAME.nii.gz for NAME_0000.nii.gz and
    further channels.
    """
    named = channel_files(image.parent, image.name.removesuffix(ending), ending, channels)
    is_named = not os.path.lexists(image) and os.path.lexists(named[0])
    return [*named] if is_named else [image]


def _inside(path: Path, name: str) -> Path:
    """A file that a list names. Raises FileFault unless it is below the folder of dataset.json as
    written; a link below it may lead elsewhere.
    """
    way = os.path.normpath(name)
    if "\0" in name or os.path.isabs(way) or way.split(os.sep)[0] == os.pardir:
        text = f"files must lie inside the folder; got {shown(name)}"
        fix = "move the file or link it into the folder, and correct the entry"
        raise FileFault(path, "path", text, fix, FATAL)
    return _as_stored(path.parent / way)


def _as_stored(file: Path) -> Path:
    """The file in the Unicode form in which its name is stored, if either exists."""
    forms = [file.with_name(unicodedata.normalize(form, file.name)) for form in ("NFC", "NFD")]
    return next((form for form in (file, *forms) if os.path.lexists(form)), file)


def _ending_of(path: Path, file: Path) -> str:
    """The ending of a file that a list names. Raises FileFault for one that is not read, as is a
    folder of DICOM.
    """
    if ending := ending_of(file.name):
        return ending
    if next(dicom_files(file), None):
        text = f"{shown(file.name)} is DICOM, which is not read"
        raise FileFault(path, "dicom", text, TO_NIFTI, FATAL)
    text = f"files must end in one of {', '.join(ENDINGS)}; got {shown(file.name)}"
    raise FileFault(path, "wrong_name", text, "convert it", FATAL)
