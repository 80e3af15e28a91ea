"""How often each class occurs on the grids of a prepared set: in each slice of a case, in the cases
of a split.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.prepared.cache import Cache
from trials.data.sampling import ClassCounts
from trials.records.spec import Cube
from trials.records.targets import TargetRegion, Targets, membership


def count_classes(
    cache: Cache,
    cases: Sequence[str],
    unit: str = "voxels",
    regions: Sequence[TargetRegion] = (),
) -> ClassCounts:
    """How often each class, or the background and each region, occurs in these cases on the
    prepared grid: voxels, axial slices that hold it, cases that hold it.

    Slices of a set at a spacing, whose labels are too many to read for nothing, are counted for the
    unit "slices" alone; they are empty otherwise.
    """
    targets = Targets(len(cache.classes), tuple(regions))
    of_cases = np.array([cache.cases[case].cube_class_voxels for case in cases], np.int64)
    of_slices = None
    if isinstance(cache.preparation, Cube) or unit == "slices":
        names = cache.dataset.labels
        of_slices = np.concatenate(
            [slice_class_voxels(cache.labels(case), names, 0) for case in cases]
        )

    def counts_of(groups: Sequence[Sequence[int]], **more: Any) -> ClassCounts:
        members = np.array(membership(groups, targets.num_labels), np.int64).T
        voxels = of_cases @ members
        slices = () if of_slices is None else (of_slices @ members > 0).sum(0).tolist()
        return ClassCounts(
            voxels=tuple(voxels.sum(0).tolist()),
            slices=tuple(slices),
            cases=tuple((voxels > 0).sum(0).tolist()),
            unit=unit,
            **more,
        )

    pairs = [(targets.outside(region.labels), region.labels) for region in regions]
    of_regions = tuple(counts_of(pair, is_region=True) for pair in pairs)
    return counts_of(targets.groups, regions=of_regions)


def slice_class_voxels(labels: np.ndarray, names: LabelSet, axis: int = 0) -> np.ndarray:
    """Annotated voxels of each class in each slice across an axis of a labels cube, int64
    [S, K].
    """
    others = tuple(other for other in range(3) if other != axis)
    counts = np.zeros((labels.shape[axis], names.num_labels), np.int64)
    for label in range(1, names.num_labels):
        counts[:, label] = np.count_nonzero(labels == label, axis=others)
    counts[:, 0] = labels.size // labels.shape[axis] - counts.sum(axis=1)
    return counts[:, : len(names.classes)]
