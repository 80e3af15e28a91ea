"""Where the voxels of each class lie: some of them are kept with every case, so that a patch around
one is drawn without a search.
"""

import numpy as np

from trials.data.nifti.voxels import count_labels

MAX_VOXELS = 10_000


def class_voxel_index(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Up to 10,000 voxels of each class but the background, drawn without replacement: int16 [n, 3]
    of places (D, H, W), class after class.

    labels is uint8 [D, H, W]. The draw depends on the labels alone; kept_voxels() says how many
    each class has.
    """
    num_labels = max(num_classes, int(labels.max(initial=0)) + 1)
    # Plane by plane: a mask of all voxels would be as large as the labels.
    totals = sum(
        (count_labels(plane, num_labels) for plane in labels), np.zeros(num_labels, np.int64)
    )
    generator = np.random.default_rng(totals)
    return np.concatenate(
        [_drawn(labels, label, int(totals[label]), generator) for label in range(1, num_classes)]
    )


def kept_voxels(class_voxels: np.ndarray) -> np.ndarray:
    """How many voxels of each class an index holds, int64 [K], from the voxels that there are; none
    of the background.
    """
    kept = np.minimum(class_voxels, MAX_VOXELS)
    kept[0] = 0
    return kept


def _drawn(
    labels: np.ndarray, label: int, total: int, generator: np.random.Generator
) -> np.ndarray:
    """The places of some voxels of one class, plane by plane."""
    kept = min(total, MAX_VOXELS)
    wanted = np.sort(generator.choice(total, kept, replace=False)) if total else np.empty(0, int)
    found, passed = [np.empty((0, 3), np.int16)], 0
    for number, plane in enumerate(labels if total else ()):
        rows, columns = np.nonzero(plane == label)
        first, last = np.searchsorted(wanted, (passed, passed + len(rows)))
        at = wanted[first:last] - passed
        depth = np.full(len(at), number)
        found.append(np.stack([depth, rows[at], columns[at]], 1).astype(np.int16))
        passed += len(rows)
    return np.concatenate(found)
