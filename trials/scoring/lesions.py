"""Which lesions were found: connected components of one label, touching by face, edge or corner."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import generate_binary_structure, label

from trials.scoring.surface import box_of

TOUCHING = generate_binary_structure(3, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionCounts:
    """Components of the reference, those of them that were found, and components of the prediction that are false."""

    lesions: int
    found: int
    false: int


def lesion_counts(true: np.ndarray, pred: np.ndarray) -> LesionCounts:
    """Count lesions of two masks [D, H, W], bool or 0 and 1.

    The rule is overlap by one voxel: a lesion of the reference is found where the prediction shares any voxel with it,
    and a component of the prediction is false where it shares none with the reference.
    """
    lesions, found = _touched(true, pred)
    predicted, right = _touched(pred, true)
    return LesionCounts(lesions=lesions, found=found, false=predicted - right)


def _touched(mask: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """How many components a mask has, and how many of them the other mask touches."""
    box = box_of(mask)
    components, num = label(mask[box], TOUCHING)
    touched = np.bincount(components[other[box] != 0], minlength=num + 1)
    return num, int(np.count_nonzero(touched[1:]))
