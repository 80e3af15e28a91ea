"""The data sets that a grid may name: their cases, their classes, and how they are split.

Imports only the standard library; code that opens or splits a data set is imported when used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trials.data.datasets.label_set import LabelSet, Region
from trials.records.faults import Fault, why_no_file
from trials.records.grouping import EACH_CASE, NO_RULE, Grouping, divided_patients
from trials.records.registry import Entry, pick, unknown

# The default pattern of case names: no control characters, marks that turn text, or slashes.
_NO_LETTERS = r"/\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
CASE_NAMES = f"[^.{_NO_LETTERS}][^{_NO_LETTERS}]{{0,199}}"
# The split that a data set brings itself.
OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One study of a patient: its name and its files.

    image holds the first channel, or all of them along a fourth axis; other_images are the files of
    the further channels, in their order.
    """

    case: str
    image: Path
    labels: Path
    other_images: tuple[Path, ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """Every file of the image: one a channel, or one of four axes."""
        return (self.image, *self.other_images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Cases of one kind, in the order of their names. classes, has_ignore, regions and class_order
    are those of its LabelSet.

    title is what people call the data, "" for the name of its kind. channels names the channels of
    every image; one named CT is in HU (see is_ct). published is the
    number of cases in the full data set, None if unknown. class_voxels holds each case's native
    voxels per class if already counted, else None. own_splits are the splits that the data set
    brings itself, one a fold, see splits.own(). faults lists problems of names and layout; cases
    contains only those whose files exist. grouping says which cases are scans of one patient; it is
    found by the names unless the data set sets it.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    cases: tuple[Case, ...]
    title: str = ""
    channels: tuple[str, ...] = ("CT",)
    has_ignore: bool = False
    regions: tuple[Region, ...] = ()
    class_order: tuple[int, ...] = ()
    published: int | None = None
    licence: str = "not stated"
    class_voxels: Mapping[str, tuple[int, ...]] | None = None
    own_splits: tuple["Split", ...] = ()
    faults: tuple[Fault, ...] = ()
    grouping: Grouping = NO_RULE

    @property
    def labels(self) -> LabelSet:
        """What the labels of its masks mean."""
        return LabelSet(
            classes=self.classes,
            has_ignore=self.has_ignore,
            regions=self.regions,
            class_order=self.class_order,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Case names by use; excluded gives a reason for each. Together they contain every case exactly
    once, and the cases of a patient are in one of train, val and test.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetEntry(Entry):
    """A data set: target is a function (root) -> Dataset.

    splits maps a split's name to "module:function", (dataset, fold) -> Split; folds maps it to its
    number of folds. generate is "module:function", (root, ...), for generated data; download is
    "module:function", (root, on_case=), for downloadable data, with on_case(done, total) called
    after each case. how_to_get says how to obtain the data. marker_file is a file whose presence
    identifies the data set. label_set is "module:function", (folder of masks) -> LabelSet; by
    default it is that of the data set found there. regions are what its challenge scores besides
    the labels, and class_order the label of each one's voxels where they are in no later one, for
    targets="regions". mask_folder is the folder of its masks below its root, mask_file their name
    if every case has its own folder. case_names is the pattern of case names. patients says which
    cases are scans of one patient, in the same form as Grid.patients; "" if the data set has no
    rule. intensity (low, high): a valid image has values below low and above high; None if the
    unit is unknown. within maps a class to the class it grows in. case_metadata is
    "module:function", Dataset -> trait to case to value, for data sets with metadata. window (low,
    high) is the intensity range that a picture shows from black to white, None if the unit is
    unknown. shows_images lets a report show image slices by default. It is for synthetic images
    only: a licence may allow sharing patients' images under conditions (CC BY-NC-SA: attribution,
    no commercial use), but whether a report meets them is its author's decision.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    folds: Mapping[str, int] = field(default_factory=dict)
    default_splits: str = ""
    generate: str = ""
    download: str = ""
    how_to_get: str = ""
    marker_file: str = ""
    label_set: str = ""
    regions: tuple[Region, ...] = ()
    class_order: tuple[int, ...] = ()
    mask_folder: str = ""
    mask_file: str = "segmentation.nii.gz"
    case_names: str = CASE_NAMES
    patients: str = ""
    intensity: tuple[float, float] | None = None
    within: Mapping[str, str] = field(default_factory=dict)
    case_metadata: str = ""
    window: tuple[float, float] | None = None
    shows_images: bool = False


def is_ct(channel: str) -> bool:
    """Whether a channel's name says that its intensities are in HU."""
    return channel.strip().casefold() == "ct"


def detect_dataset(folder: Path) -> str:
    """The data set whose marker file is in a folder, the last registered first; default_dataset()
    if there is none.
    """
    for name, part in reversed(DATASETS.items()):
        if part.marker_file and why_no_file(folder / part.marker_file) is None:
            return name
    return default_dataset()


def default_dataset() -> str:
    """The first data set without a marker file."""
    return next(name for name, part in DATASETS.items() if not part.marker_file)


def official_regions(name: str) -> tuple[Region, ...]:
    """The regions that a data set's challenge scores besides the labels; empty if it has none or
    the name is not registered.
    """
    return DATASETS[name].regions if name in DATASETS else ()


def case_names(name: str) -> str:
    """The pattern of a data set's case names; the default pattern if the name is not registered."""
    return DATASETS[name].case_names if name in DATASETS else CASE_NAMES


def default_scheme(dataset: Dataset) -> str:
    """The split that is used unless a grid names one: the data set's own, or that of its entry."""
    return OWN if dataset.own_splits else pick(DATASETS, "data set", dataset.name).default_splits


def num_folds(dataset: Dataset, splits: str) -> int:
    """The number of folds of a split; own splits have one for each that validates."""
    is_validated = splits == OWN and any(split.val for split in dataset.own_splits)
    return len(dataset.own_splits) if is_validated else DATASETS[dataset.name].folds[splits]


def split_cases(dataset: Dataset, splits: str, fold: int) -> Split:
    """Split a data set by one of its named rules. Raises ValueError for an unknown rule or fold, or
    an empty part.
    """
    part = pick(DATASETS, "data set", dataset.name)
    if splits not in part.splits:
        raise ValueError(unknown(f"split of {dataset.name}", splits, part.splits))
    if not 0 <= fold < (folds := num_folds(dataset, splits)):
        raise ValueError(f"{dataset.name} split {splits!r} has folds 0..{folds - 1}; got {fold}")
    split: Split = Entry(part.splits[splits]).load()(dataset, fold)
    named = sorted([*split.train, *split.val, *split.test, *split.excluded])
    assert named == sorted(case.case for case in dataset.cases), (
        "a split names every case exactly once"
    )
    _refuse_divided(dataset, splits, split)
    if not (split.train and split.val and split.test):
        counts = f"{len(split.train)} train, {len(split.val)} validation and {len(split.test)} test"
        raise ValueError(
            f"{dataset.name} split {splits!r}, fold {fold}, needs a case in each part; "
            f"{len(dataset.cases)} cases give "
            f"{counts}; add patients or use another split"
        )
    return split


def _refuse_divided(dataset: Dataset, splits: str, split: Split) -> None:
    """Raise ValueError naming a patient with cases in two parts of a split."""
    parts = {"train": split.train, "val": split.val, "test": split.test}
    for patient, cases in divided_patients(dataset.grouping, parts).items():
        found = " and ".join(f"{case} in {part}" for part, case in cases.items())
        raise ValueError(
            f"{dataset.name} split {splits!r} must keep the scans of a patient in one part; "
            f"patient {patient} has {found}; correct the split, or the rule for patients "
            f"({dataset.grouping.rule})"
        )


# An abdominal CT has fat and air below the first value and bone or contrast medium above the
# second.
HU = (-200.0, 100.0)
# Width 400, level 40: the usual window for abdominal CT.
ABDOMEN_HU = (-160.0, 240.0)
# The hierarchical evaluation classes, each a subset of the previous one, and their tolerances, as
# in github.com/neheller/kits23, version 0.1.4.
KITS23_REGIONS = (
    Region(name="kidney_and_mass", labels=(1, 2, 3), tolerance_mm=1.0330772532390826),
    Region(name="mass", labels=(2, 3), tolerance_mm=1.1328796488598762),
    Region(name="tumor", labels=(2,), tolerance_mm=1.1498198361434828),
)
# Kidney, cyst, tumour: what is left of each region outside the next.
KITS23_ORDER = (1, 3, 2)
IN_A_KIDNEY = {"tumor": "kidney", "cyst": "kidney"}

DATASETS: dict[str, DatasetEntry] = {
    "phantoms": DatasetEntry(
        "trials.data.datasets.kits23:phantoms",
        about="synthetic patients, in the layout of KiTS23",
        splits={
            "sequential": "trials.data.datasets.splits:sequential",
            "seeded": "trials.data.datasets.splits:seeded",
        },
        folds={"sequential": 1, "seeded": 5},
        default_splits="sequential",
        generate="trials.data.datasets.phantoms.writing:write_phantoms",
        how_to_get="the demo generates them: `segbench run --grid demo`",
        marker_file="phantoms.json",
        regions=KITS23_REGIONS,
        class_order=KITS23_ORDER,
        case_names=r"case_\d{5}",
        patients=EACH_CASE,
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
        how_to_get="point to the folder that holds its case_XXXXX folders, or run "
        "`segbench prepare kits23 FOLDER --cache DIR --download` to download it there (30 GB)",
        regions=KITS23_REGIONS,
        class_order=KITS23_ORDER,
        case_names=r"case_\d{5}",
        patients=EACH_CASE,
        intensity=HU,
        within=IN_A_KIDNEY,
        case_metadata="trials.data.datasets.kits23:case_metadata",
        window=ABDOMEN_HU,
    ),
    "nnunet": DatasetEntry(
        "trials.data.datasets.nnunet.dataset:nnunet",
        about="any folder of nnU-Net v2 or the Medical Segmentation Decathlon",
        splits={
            "seeded": "trials.data.datasets.splits:seeded",
            OWN: "trials.data.datasets.splits:own",
        },
        folds={"seeded": 5, OWN: 5},
        default_splits="seeded",
        how_to_get="point to a folder that holds dataset.json, imagesTr and labelsTr",
        marker_file="dataset.json",
        label_set="trials.data.datasets.nnunet.dataset:labels_of_masks",
        mask_folder="labelsTr",
    ),
}
