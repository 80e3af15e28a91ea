"""The border of a mask as smooth curves: an SVG path in tenths of a pixel, which is sharp at
whatever size a page shows it.
"""

import numpy as np
from skimage.measure import find_contours

# Units of a path to a pixel.
UNIT = 10
# A curve of fewer points encloses few voxels, which smoothing would shrink to nothing: it stays as
# it is.
FEWEST_SMOOTHED = 12


def outline(mask: np.ndarray, tolerance: float = 0.1) -> str:
    """The border of a mask bool [H, W] as an SVG path; "" where it holds nothing. The picture's
    corner is (0, 0), x first.

    Marching squares (Lorensen and Cline 1987) at one half, smoothed along the curve and thinned to
    tolerance, in pixels: no point lies more than half a pixel, and the tolerance, from the border.
    Holes are curves of the same path.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return ""
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Of the padded box, row 1 is row rows[0] of the mask, whose middle lies half a pixel below its
    # edge.
    corner = np.array([rows[0], columns[0]]) - 0.5
    curves = find_contours(np.pad(box, 1).astype(np.float32), 0.5)
    return "".join(_path(_thinned(_smoothed(curve[:-1]), tolerance) + corner) for curve in curves)


def _smoothed(points: np.ndarray) -> np.ndarray:
    """A closed curve [n, 2] without the steps of the voxels, and no smaller (Taubin 1995, two
    passes).
    """
    if len(points) < FEWEST_SMOOTHED:
        return points
    for weight in (0.5, -0.53, 0.5, -0.53):
        neighbours = (np.roll(points, 1, 0) + np.roll(points, -1, 0)) / 2
        points = points + weight * (neighbours - points)
    return points


def _thinned(points: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed curve [n, 2] of fewer points, nowhere further than tolerance from the whole one.

    Each pass drops every second point that lies next to the line between its neighbours; what the
    passes allow adds up to less than the tolerance. They are four whole-array steps, where Douglas
    and Peucker's would take one for each point.
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
    """A closed curve [n, 2] (row, column): its first point, then each step from the one before."""
    at = np.rint(UNIT * points[:, ::-1]).astype(int)
    steps = " ".join(str(step) for step in np.diff(at, axis=0).ravel().tolist())
    return f"M{at[0, 0]} {at[0, 1]}l{steps.replace(' -', '-')}z"
