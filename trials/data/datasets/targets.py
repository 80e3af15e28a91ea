"""The regions that a grid of targets="regions" trains on: those of dataset.json, or those of the
data set's entry.
"""

from collections.abc import Sequence

from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import DATASETS, Dataset, DatasetEntry
from trials.records.targets import LABELS, TargetRegion

GIVE_REGIONS = (
    'give them in dataset.json ("whole": [1, 2] among its labels, and regions_class_order) or in '
    "the data set's entry (regions and class_order), or set targets='labels'"
)


def target_regions(dataset: Dataset, targets: str) -> tuple[TargetRegion, ...]:
    """The regions that networks are to predict; none if targets is "labels".

    Raises ValueError for a data set without regions or their order, and for regions from which a
    mask cannot be put together again.
    """
    if targets == LABELS:
        return ()
    entry = DATASETS.get(dataset.name)
    regions, order = dataset.regions, dataset.class_order
    if not regions and entry is not None:
        regions, order = entry.regions, entry.class_order
    if not regions:
        raise ValueError(
            f"targets='regions' needs regions, and {dataset.name} in {dataset.root} has none; "
            f"{GIVE_REGIONS}"
        )
    _check_order(dataset.name, regions, order)
    found = tuple(
        TargetRegion(name=region.name, labels=region.labels, label=label)
        for region, label in zip(regions, order, strict=True)
    )
    _refuse_lost_labels(dataset, found)
    return found


def check_regions(entry: DatasetEntry) -> None:
    """Raise ValueError for an entry whose class_order does not fit its regions; it may have
    none.
    """
    if entry.class_order:
        _check_order("the entry", entry.regions, entry.class_order)


def _check_order(name: str, regions: Sequence[Region], order: Sequence[int]) -> None:
    fits = len(order) == len(regions) and all(
        label in region.labels for label, region in zip(order, regions, strict=True)
    )
    if not fits:
        names = ", ".join(region.name for region in regions) or "no region"
        raise ValueError(
            f"class_order of {name} must hold a label of each region ({names}), in their order, "
            f"since it says which label a region's voxels become; got {tuple(order) or 'none'}"
        )


def _refuse_lost_labels(dataset: Dataset, regions: Sequence[TargetRegion]) -> None:
    """Raise ValueError if the voxels of some label, all regions right, would become another label
    that lies in other regions.
    """
    holding = [
        [number for number, region in enumerate(regions) if label in region.labels]
        for label in range(len(dataset.classes))
    ]
    for label, numbers in enumerate(holding):
        restored = regions[numbers[-1]].label if numbers else 0
        if holding[restored] != numbers:
            raise ValueError(
                f"{dataset.root}: label {label} ({dataset.classes[label]}) would be predicted as "
                f"{restored} ({dataset.classes[restored]}), which lies in other regions; name each "
                f"region after those that contain it, or add a region of label {label} alone"
            )
