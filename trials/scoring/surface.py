"""Surfaces of masks and the distances between them: Surface Dice at a tolerance, and the 95 %
Hausdorff distance.

Defined as in google-deepmind/surface-distance: elements at the corners between voxels, weighted by
their area.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from scipy.spatial import KDTree

from trials.records import result
from trials.scoring.lattice import (
    Rows,
    Spacing,
    drop_empty_rows,
    find_near,
    offsets_within,
    to_rows,
)

# The marching cubes surface (Lorensen and Cline 1987) between the 2 x 2 x 2 voxels around a corner.
# Bit 4 d + 2 h + w of the key is set if that voxel is inside. The value counts corner triangles,
# then half faces across D, H and W, then halves of the slanted rectangle along D, H and W. Every
# other key is one of these rotated, mirrored or inverted.
PATTERNS = {
    0b00000001: (1, 0, 0, 0, 0, 0, 0),
    0b00000011: (0, 0, 0, 0, 0, 0, 2),
    0b00000110: (2, 0, 0, 0, 0, 0, 0),
    0b00000111: (3, 1, 0, 0, 0, 0, 0),
    0b00001111: (0, 2, 0, 0, 0, 0, 0),
    0b00010110: (3, 0, 0, 0, 0, 0, 0),
    0b00010111: (6, 0, 0, 0, 0, 0, 0),
    0b00011000: (2, 0, 0, 0, 0, 0, 0),
    0b00011001: (1, 0, 0, 0, 2, 0, 0),
    0b00011011: (4, 0, 0, 0, 1, 1, 0),
    0b00011110: (4, 1, 0, 0, 0, 0, 0),
    0b00111100: (0, 0, 0, 0, 0, 0, 4),
    0b01101001: (4, 0, 0, 0, 0, 0, 0),
}
# The tree's search may round differently from the distance compared with the limit, so the search
# radius is slightly larger.
SLACK = 1 + 1e-9
# Rows of corners processed in one step.
ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Elements of a mask's surface: corners int32 [N, 3], index (D, H, W) of the voxel after each
    corner; areas_mm2 [N].
    """

    corners: np.ndarray
    areas_mm2: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Area in mm2 and distance in mm to the other surface, for every element of the reference and
    of the prediction.
    """

    true_areas: np.ndarray
    true_mm: np.ndarray
    pred_areas: np.ndarray
    pred_mm: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceOverlap:
    """Areas in mm2 of both surfaces, and of their parts within the tolerance of the other. They are
    additive over cases.
    """

    true_mm2: float
    pred_mm2: float
    true_within_mm2: float
    pred_within_mm2: float


def find_surface(mask: np.ndarray, spacing_mm: Spacing) -> Surface:
    """Find the surface elements of a mask [D, H, W], bool or 0 and 1; outside the array counts as
    0. An empty mask gives none.
    """
    return find_surface_of_rows(to_rows(mask), spacing_mm)


def find_surface_of_rows(rows: Rows, spacing_mm: Spacing) -> Surface:
    """Find the surface elements of a mask given by its rows. Memory grows with the number of
    non-empty rows.
    """
    rows = drop_empty_rows(rows)
    if not len(rows.values):
        return Surface(corners=np.empty((0, 3), np.int32), areas_mm2=np.empty(0))
    pairs, behind, place = (
        _row_codes(rows.values),
        (rows.d.min(), rows.h.min()),
        _row_positions(rows),
    )
    held = place > 0
    d, h = np.nonzero(held[:-1, :-1] | held[:-1, 1:] | held[1:, :-1] | held[1:, 1:])
    corners, codes = [], []
    for some in np.array_split(np.arange(len(d)), len(d) // ROWS_AT_ONCE + 1):
        above, left = d[some], h[some]
        code = pairs[place[above, left]]
        for bits, (down, right) in enumerate(((0, 1), (1, 0), (1, 1)), start=1):
            code |= pairs[place[above + down, left + right]] << 2 * bits
        # Neither 0, all outside, nor 255, all inside: bytes wrap around.
        row, w = np.divmod(np.flatnonzero(code - np.uint8(1) < 254), code.shape[1])
        corners.append(
            np.stack([above[row] + behind[0], left[row] + behind[1], w], axis=1).astype(np.int32)
        )
        codes.append(code[row, w])
    return Surface(
        corners=np.concatenate(corners), areas_mm2=element_areas(spacing_mm)[np.concatenate(codes)]
    )


def distances_between(
    true: Surface, pred: Surface, spacing_mm: Spacing, limit_mm: float = np.inf
) -> Distances:
    """Measure the distance of each element of a surface to the other surface.

    Distances above limit_mm may be inf, which is faster. If one surface is empty, the other's
    distances are inf.
    """
    return Distances(
        true_areas=true.areas_mm2,
        true_mm=_distances_mm(true.corners, pred.corners, spacing_mm, limit_mm),
        pred_areas=pred.areas_mm2,
        pred_mm=_distances_mm(pred.corners, true.corners, spacing_mm, limit_mm),
    )


def surface_overlap(
    true: Surface, pred: Surface, spacing_mm: Spacing, tolerance_mm: float
) -> SurfaceOverlap:
    """Sum the areas of both surfaces, and the areas at most tolerance_mm from the other surface,
    without computing distances if possible.
    """
    offsets = offsets_within(spacing_mm, tolerance_mm)
    if offsets is None:
        return overlap_within(distances_between(true, pred, spacing_mm, tolerance_mm), tolerance_mm)
    near_true, near_pred = find_near(true.corners, pred.corners, offsets)
    return SurfaceOverlap(
        true_mm2=float(true.areas_mm2.sum()),
        pred_mm2=float(pred.areas_mm2.sum()),
        true_within_mm2=float(true.areas_mm2[near_true].sum()),
        pred_within_mm2=float(pred.areas_mm2[near_pred].sum()),
    )


def overlap_within(distances: Distances, tolerance_mm: float) -> SurfaceOverlap:
    """Sum the areas of both surfaces, and the areas at most tolerance_mm from the other surface."""
    return SurfaceOverlap(
        true_mm2=float(distances.true_areas.sum()),
        pred_mm2=float(distances.pred_areas.sum()),
        true_within_mm2=float(distances.true_areas[distances.true_mm <= tolerance_mm].sum()),
        pred_within_mm2=float(distances.pred_areas[distances.pred_mm <= tolerance_mm].sum()),
    )


def surface_dice(overlap: SurfaceOverlap) -> float:
    """The Surface Dice from areas; 0 if only one mask is empty, NaN if both are."""
    return result.surface_dice(
        overlap.true_mm2, overlap.pred_mm2, overlap.true_within_mm2, overlap.pred_within_mm2
    )


def hd95_mm(distances: Distances) -> float:
    """The 95 % Hausdorff distance in mm: the larger of the two distances within which 95 % of a
    surface's area is from the other.

    inf if only one mask is empty; NaN if both are.
    """
    if not len(distances.true_mm) and not len(distances.pred_mm):
        return float("nan")
    return max(
        _reach_mm(distances.true_mm, distances.true_areas, 0.95),
        _reach_mm(distances.pred_mm, distances.pred_areas, 0.95),
    )


def bounding_box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box around all non-zero voxels, as one slice per axis; an empty box for an empty
    mask.
    """
    rows = np.bitwise_or.reduce(mask, axis=2)
    held = [
        np.flatnonzero(line)
        for line in (
            rows.any(axis=1),
            rows.any(axis=0),
            np.bitwise_or.reduce(mask, axis=0).any(axis=0),
        )
    ]
    d, h, w = (
        slice(int(axis[0]), int(axis[-1]) + 1) if len(axis) else slice(0, 0) for axis in held
    )
    return d, h, w


def element_areas(spacing_mm: Spacing) -> np.ndarray:
    """Area in mm2 of the surface element of each of the 256 neighbourhoods, float64 [256]; 0 if all
    voxels are inside or all outside.
    """
    d, h, w = spacing_mm
    faces = np.array([h * w, d * w, d * h])
    triangle = np.linalg.norm(faces) / 8
    slanted = [np.linalg.norm(np.delete(faces, axis)) / 4 for axis in range(3)]
    return _pattern_counts() @ np.array([triangle, *(faces / 2), *slanted])


@cache
def _pattern_counts() -> np.ndarray:
    """The counts of PATTERNS for all neighbourhoods, [256, 7]."""
    pieces = np.zeros((256, 7))
    for key, counts in PATTERNS.items():
        voxels = np.array([key >> bit & 1 for bit in range(8)]).reshape(2, 2, 2)
        for axes, steps in product(permutations(range(3)), product((1, -1), repeat=3)):
            turned = voxels.transpose(axes)[tuple(slice(None, None, step) for step in steps)]
            code = int(turned.ravel() @ (1 << np.arange(8)))
            pieces[[code, 255 - code]] = np.array(counts)[
                [0, *(1 + axis for axis in axes), *(4 + axis for axis in axes)]
            ]
    return pieces


def _row_codes(values: np.ndarray) -> np.ndarray:
    """The state of the 2 voxels around each corner of a row: [M, W] to bits 0 and 1 of [1 + M, W +
    1]; row 0 is empty.
    """
    pairs = np.zeros((len(values) + 1, values.shape[1] + 1), np.uint8)
    pairs[1:, 1:] = values
    pairs[1:, :-1] += 2 * values.view(np.uint8)
    return pairs


def _row_positions(rows: Rows) -> np.ndarray:
    """The index in _row_codes of the row at (d, h), for the rows' box padded by one: int32, 0 for
    an empty row.
    """
    d, h = rows.d - rows.d.min(), rows.h - rows.h.min()
    place = np.zeros((d.max() + 3, h.max() + 3), np.int32)
    place[d + 1, h + 1] = np.arange(1, len(d) + 1)
    return place


def _distances_mm(
    corners: np.ndarray, others: np.ndarray, spacing_mm: Spacing, limit_mm: float
) -> np.ndarray:
    """Distance of each of corners [N, 3] to the nearest of others [M, 3]; inf if there is none
    within the limit.
    """
    distances = np.full(len(corners), np.inf)
    if not len(corners) or not len(others):
        return distances
    shared = np.isin(*_keys(corners, others), assume_unique=True)
    distances[shared] = 0
    away = np.flatnonzero(~shared)
    # Lattice points are sorted and have ties: splitting boxes at the middle is faster than at the
    # median.
    tree = KDTree(others * np.array(spacing_mm), balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(
        corners[away] * np.array(spacing_mm), distance_upper_bound=limit_mm * SLACK
    )
    found = nearest < len(others)
    # From integer steps, so that two corners one voxel apart are exactly one spacing apart
    # anywhere.
    steps_mm = (corners[away[found]] - others[nearest[found]]) * np.array(spacing_mm)
    distances[away[found]] = np.sqrt((steps_mm**2).sum(axis=1))
    return distances


def _keys(corners: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One integer per corner, equal for equal corners."""
    shape = tuple(np.maximum(corners.max(axis=0), others.max(axis=0)) + 1)
    return np.ravel_multi_index(tuple(corners.T), shape), np.ravel_multi_index(
        tuple(others.T), shape
    )


def _reach_mm(distances_mm: np.ndarray, areas: np.ndarray, share: float) -> float:
    """The distance that covers this share of the area; inf if there are no elements."""
    if not len(distances_mm):
        return float("inf")
    order = np.lexsort((areas, distances_mm))
    covered = np.cumsum(areas[order]) / areas.sum()
    last = min(int(np.searchsorted(covered, share)), len(order) - 1)
    return float(distances_mm[order][last])
