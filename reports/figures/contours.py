"""The outline of a mask as smooth curves: an SVG path in tenths of a pixel, sharp at every size."""

import numpy as np
from skimage.measure import find_contours

# Path units per pixel.
UNIT = 10
# Curves with fewer points enclose so few voxels that smoothing would remove them: they are not
# smoothed.
FEWEST_SMOOTHED = 12


def outline(mask: np.ndarray, tolerance: float = 0.1) -> str:
    """The outline of a mask bool [H, W] as an SVG path; "" for an empty mask. The corner of the
    image is (0, 0), x first.

    Marching squares (Lorensen and Cline 1987) at one half, smoothed along the curve and simplified
    to tolerance, in pixels: no point lies more than half a pixel plus the tolerance from the
    border. Holes are curves of the same path.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return ""
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Row 1 of the padded box is row rows[0] of the mask, and the centre of a pixel lies half a
    # pixel from its edge.
    corner = np.array([rows[0], columns[0]]) - 0.5
    curves = find_contours(np.pad(box, 1).astype(np.float32), 0.5)
    return "".join(_path(_thinned(_smoothed(curve[:-1]), tolerance) + corner) for curve in curves)


def _smoothed(points: np.ndarray) -> np.ndarray:
    """Smooth a closed curve [n, 2] without shrinking it (Taubin 1995, two passes)."""
    if len(points) < FEWEST_SMOOTHED:
        return points
    for weight in (0.5, -0.53, 0.5, -0.53):
        neighbours = (np.roll(points, 1, 0) + np.roll(points, -1, 0)) / 2
        points = points + weight * (neighbours - points)
    return points


def _thinned(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Simplify a closed curve [n, 2]; it stays within tolerance of the original.

    Each pass drops every second point that lies close to the line between its neighbours; the
    tolerances of the passes add up to less than the whole. Four whole-array steps, where Douglas
    and Peucker's method takes one step per point.
    """
    for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2):
        if len(points) < FEWEST_SMOOTHED:
            break
        before = np.roll(points, 1, 0)
        chord, offset = np.roll(points, -1, 0) - before, points - before
        across = np.abs(chord[:, 0] * offset[:, 1] - chord[:, 1] * offset[:, 0])
        is_flat = across <= share * tolerance * np.linalg.norm(chord, axis=1)
        is_flat[::2] = False
        points = points[~is_flat]
    return points


def _path(points: np.ndarray) -> str:
    """A closed curve [n, 2] (row, column) as a path: its first point, then each step from the
    previous one.
    """
    at = np.rint(UNIT * points[:, ::-1]).astype(int)
    steps = " ".join(str(step) for step in np.diff(at, axis=0).ravel().tolist())
    return f"M{at[0, 0]} {at[0, 1]}l{steps.replace(' -', '-')}z"
