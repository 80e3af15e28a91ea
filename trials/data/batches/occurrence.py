"""How often each class occurs on the grids of a prepared set: in each slice of a case, in the cases
of a split.
"""

from collections.abc import Sequence

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.prepared.cache import Cache
from trials.data.sampling import ClassCounts
from trials.records.spec import Cube


def count_classes(cache: Cache, cases: Sequence[str], unit: str = "voxels") -> ClassCounts:
    """How often each class occurs in these cases on the prepared grid: voxels, axial slices that
    hold it, cases that hold it. Slices of a set at a spacing, whose labels are too many to read for
    nothing, are counted for the unit "slices" alone; they are empty otherwise.
    """
    voxels = np.array([cache.cases[case].cube_class_voxels for case in cases], np.int64)
    slices = np.zeros(len(cache.classes), np.int64)
    is_counted = isinstance(cache.preparation, Cube) or unit == "slices"
    for case in cases if is_counted else ():
        slices += (slice_class_voxels(cache.labels(case), cache.dataset.labels, 0) > 0).sum(0)
    return ClassCounts(
        voxels=tuple(voxels.sum(0).tolist()),
        slices=tuple(slices.tolist()) if is_counted else (),
        cases=tuple((voxels > 0).sum(0).tolist()),
        unit=unit,
    )


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
