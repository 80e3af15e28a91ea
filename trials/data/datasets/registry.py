"""The data sets a grid may name: where cases lie, which classes they have, how they are split.

Reading this file needs the standard library only; what opens or splits a data set is imported when
it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trials.records.faults import Fault, printable, refuse, why_no_file
from trials.records.registry import Entry, pick, unknown

# A case's name, where its data set says no more.
CASE_NAMES = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
# How many entries of a folder are looked into for a data set that lies one level deeper.
LOOKED_INTO = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One patient's study: its name and its two NIfTI files."""

    case: str
    image: Path
    labels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Cases of one kind, in the order of their names. The index of a class is its label; 0 is the
    background.

    published is how many cases the data set has in full, None where that is not known. class_voxels
    holds the native voxels a class of each case where they have been counted already; None has
    whoever needs them count. faults is what is wrong with names and layout; cases holds only those
    whose two files are there.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    cases: tuple[Case, ...]
    published: int | None = None
    licence: str = "not stated"
    class_voxels: Mapping[str, tuple[int, ...]] | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Case names by use; excluded gives a reason for each. Together they name every case exactly
    once.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The union of labels, and how far in mm two surfaces of it may lie apart and still agree."""

    name: str
    labels: tuple[int, ...]
    tolerance_mm: float


@dataclass(frozen=True, slots=True)
class DatasetEntry(Entry):
    """All that is known of a data set: target is a function (root) -> Dataset.

    splits maps a name to "module:function", (dataset, fold) -> Split, and folds to how many folds
    it has. generate is "module:function", (root, ...), for data that is made; download is
    "module:function", (root, on_case=), for data that can be fetched, on_case(done, total) called
    after each case. how_to_get tells what to type. known_by is a file whose presence tells the data
    set. classes is "module:function", (folder of masks) -> class names by label; without one they
    are those of the data set found there. regions are what its challenge scores besides the labels.
    mask_folder is where its masks lie below its root, mask_file their name where every case has a
    folder of its own. case_names is the pattern of a case's name. intensity (low, high) is what an
    image in its unit passes on both sides, None where the unit is not known; within maps a class to
    the class it grows in. case_metadata is "module:function", Dataset -> trait to case to value,
    for a set of whose cases more is known than their voxels. window (low, high) is the range of
    intensities that a picture shows from black to white, None where the unit is not known.
    shows_images lets a page show slices of the images without being asked. It is for images of
    nobody: a licence may allow sharing patients' images under conditions (CC BY-NC-SA: attribution,
    no commercial use), but whether a page goes to where they hold is its author's decision.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)
    default_splits: str = ""
    generate: str = ""
    download: str = ""
    how_to_get: str = ""
    known_by: str = ""
    classes: str = ""
    regions: tuple[Region, ...] = ()
    mask_folder: str = ""
    mask_file: str = "segmentation.nii.gz"
    case_names: str = CASE_NAMES
    intensity: tuple[float, float] | None = None
    within: Mapping[str, str] = field(default_factory=dict)
    case_metadata: str = ""
    window: tuple[float, float] | None = None
    shows_images: bool = False


def told_by(folder: Path) -> str:
    """The data set that a file in a folder tells, the last registered first; default_dataset()
    without such a file.
    """
    for name, part in reversed(DATASETS.items()):
        if part.known_by and why_no_file(folder / part.known_by) is None:
            return name
    return default_dataset()


def default_dataset() -> str:
    """The first data set that no file tells."""
    return next(name for name, part in DATASETS.items() if not part.known_by)


def official_regions(name: str) -> tuple[Region, ...]:
    """What the challenge of a data set scores besides the labels; nothing for one without, or of a
    name that is not registered.
    """
    return DATASETS[name].regions if name in DATASETS else ()


def case_names(name: str) -> str:
    """The pattern of a data set's case names, also of one that is not registered."""
    return DATASETS[name].case_names if name in DATASETS else CASE_NAMES


def open_dataset(name: str, root: Path) -> Dataset:
    """Find the cases of a data set under root. Raises ValueError for a missing folder and for every
    missing file.
    """
    dataset = find_dataset(name, root)
    refuse(root, dataset.faults)
    return dataset


def find_dataset(name: str, root: Path) -> Dataset:
    """The same with its faults as records, instead of an error. Raises ValueError where there is no
    case at all.
    """
    part = pick(DATASETS, "data set", name)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; {name} is looked for there; {part.how_to_get}")
    dataset: Dataset = part.load()(root)
    if not dataset.cases:
        refuse(root, dataset.faults)
        raise ValueError(
            f"{root} holds no case of {name}{_found_instead(part, root)}; {part.how_to_get}"
        )
    return dataset


def _found_instead(part: DatasetEntry, root: Path) -> str:
    """Where the cases are, if they lie one level off; otherwise what is there."""
    entries = sorted(root.iterdir())[:LOOKED_INTO]
    for other in (root.absolute().parent, *(entry for entry in entries if entry.is_dir())):
        try:
            if part.load()(other).cases:
                return f", but {other} does: point there"
        except (ValueError, OSError):
            continue
    return (
        f", but {', '.join(printable(entry.name) for entry in entries[:3])}"
        if entries
        else ": it is empty"
    )


def split_cases(dataset: Dataset, splits: str, fold: int) -> Split:
    """Split a data set by one of its named rules. Raises ValueError for an unknown rule or fold, or
    a part without cases.
    """
    part = pick(DATASETS, "data set", dataset.name)
    if splits not in part.splits:
        raise ValueError(unknown(f"split of {dataset.name}", splits, part.splits))
    if not 0 <= fold < part.folds[splits]:
        raise ValueError(
            f"{dataset.name} split {splits!r} has folds 0..{part.folds[splits] - 1}; got {fold}"
        )
    split: Split = Entry(part.splits[splits]).load()(dataset, fold)
    named = sorted([*split.train, *split.val, *split.test, *split.excluded])
    assert named == sorted(case.case for case in dataset.cases), (
        "a split names every case exactly once"
    )
    if not (split.train and split.val and split.test):
        counts = f"{len(split.train)} train, {len(split.val)} validation and {len(split.test)} test"
        raise ValueError(
            f"{dataset.name} split {splits!r}, fold {fold}, needs a case in each part; "
            f"{len(dataset.cases)} cases give "
            f"{counts}; add cases or take another split"
        )
    return split


# A CT of the abdomen holds fat and air below the one and bone or contrast medium above the other.
HU = (-200.0, 100.0)
# Width 400 and level 40, the usual window of abdominal CT.
ABDOMEN_HU = (-160.0, 240.0)
# The hierarchical evaluation classes, each within the one before, and their tolerances: as in
# github.com/neheller/kits23, version 0.1.4.
KITS23_REGIONS = (
    Region(name="kidney_and_mass", labels=(1, 2, 3), tolerance_mm=1.0330772532390826),
    Region(name="mass", labels=(2, 3), tolerance_mm=1.1328796488598762),
    Region(name="tumor", labels=(2,), tolerance_mm=1.1498198361434828),
)
IN_A_KIDNEY = {"tumor": "kidney", "cyst": "kidney"}

DATASETS: dict[str, DatasetEntry] = {
    "phantoms": DatasetEntry(
        "trials.data.datasets.kits23:phantoms",
        about="patients made of numbers, in the layout of KiTS23",
        splits={"sequential": "trials.data.datasets.splits:sequential"},
        folds={"sequential": 1},
        default_splits="sequential",
        generate="trials.data.datasets.phantoms.writing:write_phantoms",
        how_to_get="the demo makes them by itself: `segbench run --grid demo`",
        known_by="phantoms.json",
        regions=KITS23_REGIONS,
        case_names=r"case_\d{5}",
        intensity=HU,
        within=IN_A_KIDNEY,
        window=ABDOMEN_HU,
        shows_images=True,
    ),
    "kits23": DatasetEntry(
        "trials.data.datasets.kits23:kits23",
        about="489 contrast CTs of kidneys with tumours and cysts (KiTS23 challenge)",
        splits={
            "paper": "trials.data.datasets.splits:paper",
            "stratified": "trials.data.datasets.splits:stratified",
        },
        folds={"paper": 1, "stratified": 5},
        default_splits="stratified",
        download="trials.data.datasets.download:download_kits23",
        how_to_get="point to the folder that holds its case_XXXXX folders, or type "
        "`segbench prepare kits23 FOLDER --cache DIR --download` to fetch it into FOLDER (30 GB)",
        regions=KITS23_REGIONS,
        case_names=r"case_\d{5}",
        intensity=HU,
        within=IN_A_KIDNEY,
        case_metadata="trials.data.datasets.kits23:case_metadata",
        window=ABDOMEN_HU,
    ),
    "nnunet": DatasetEntry(
        "trials.data.datasets.nnunet:nnunet",
        about="any folder of nnU-Net v2 or the Medical Segmentation Decathlon, one channel",
        splits={"seeded": "trials.data.datasets.splits:seeded"},
        folds={"seeded": 5},
        default_splits="seeded",
        how_to_get="point to a folder that holds dataset.json, imagesTr and labelsTr",
        known_by="dataset.json",
        classes="trials.data.datasets.nnunet:classes_of_masks",
        mask_folder="labelsTr",
    ),
}
