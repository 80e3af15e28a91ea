"""Any data set described by a dataset.json: nnU-Net v2 or the Medical Segmentation Decathlon."""

from pathlib import Path
from typing import Any

from trials.data.datasets.channels import channel_names
from trials.data.datasets.label_names import label_set
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.nnunet.cases import missing_files, read_layout
from trials.data.datasets.nnunet.splits import own_splits
from trials.data.datasets.nnunet.unused import unused
from trials.data.datasets.phantoms.record import RECORD
from trials.data.datasets.registry import Dataset
from trials.records.codec import parsed
from trials.records.faults import Fault, printable, set_warning, why_no_file
from trials.records.record import shown
from trials.storage.foreign_text import read_foreign_text

# Of a title that a page shows.
LONGEST = 60


def nnunet(root: Path) -> Dataset:
    """Read a folder with dataset.json, imagesTr and labelsTr; its faults name invalid cases and
    files.

    Raises ValueError naming the key of dataset.json at fault.
    """
    path = root / "dataset.json"
    facts = _read(path)
    labels = label_set(path, facts)
    channels = channel_names(path, facts)
    layout = read_layout(path, facts, len(channels))
    splits, split_faults = own_splits(root, layout)
    missing = [fault for case in layout.cases() for fault in missing_files(case)]
    incomplete = {fault.case for fault in missing}
    published = facts.get("numTraining")
    return Dataset(
        name="nnunet",
        title=_title(root, facts),
        root=root,
        classes=labels.classes,
        has_ignore=labels.has_ignore,
        regions=labels.regions,
        class_order=labels.class_order,
        cases=tuple(case for case in layout.cases() if case.case not in incomplete),
        channels=channels,
        published=published + len(layout.names("test")) if type(published) is int else None,
        licence=_as_text(facts.get("licence") or facts.get("license") or "not stated"),
        own_splits=splits,
        faults=(
            *layout.faults,
            *split_faults,
            *missing,
            *unused(path, facts, layout),
            *_phantoms_beside(root),
        ),
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
    return [set_warning(path, "phantoms", text, fix)]


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
        facts = parsed(read_foreign_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); correct it") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("labels"), dict):
        raise ValueError(f"{path}: key 'labels' must map class names to numbers; add it")
    return facts


def _title(root: Path, facts: dict[str, Any]) -> str:
    """The name that dataset.json gives the data, or else its folder."""
    name = facts.get("name")
    return printable(name if isinstance(name, str) and name else root.absolute().name)[:LONGEST]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
