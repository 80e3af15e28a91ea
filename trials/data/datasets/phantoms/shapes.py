"""The solids that a phantom consists of, and the canvas they are painted on; no anatomy here.

Every patient fills the same frame of 160 x 184 x 272 "atlas" mm, whatever its true size and voxel
size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRAME_MM = np.array([160.0, 184.0, 272.0])
FAT_HU, AIR_HU = -102.0, -1000.0

FloatArray = NDArray[np.float32]
Vector = Sequence[float] | NDArray[np.float64]
PlanePair = tuple[ArrayLike, ArrayLike]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A patient being painted: axes z (head to feet), y (front to back), x (the patient's right to
    left).

    z [D], y [H], x [W] are voxel centres in atlas mm; image [D, H, W] float32 HU; labels [D, H, W]
    uint8; free [D, H, W] bool marks the voxels not yet painted: earlier organs take precedence.
    """

    rng: np.random.Generator
    z: FloatArray
    y: FloatArray
    x: FloatArray
    image: FloatArray
    labels: NDArray[np.uint8]
    free: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Solid:
    """radius [d, h, w] over a box of the canvas: 0 at the centre, 1 on the surface, larger
    outside.
    """

    box: Box
    radius: FloatArray


def blank_canvas(rng: np.random.Generator, shape: tuple[int, int, int]) -> Canvas:
    """A canvas of air with no free voxels."""
    z, y, x = (
        ((np.arange(n) + 0.5) * extent / n).astype(np.float32)
        for n, extent in zip(shape, FRAME_MM, strict=True)
    )
    image = np.full(shape, AIR_HU, np.float32)
    return Canvas(
        rng=rng,
        z=z,
        y=y,
        x=x,
        image=image,
        labels=np.zeros(shape, np.uint8),
        free=np.zeros(shape, bool),
    )


def paint(canvas: Canvas, solid: Solid, hu: ArrayLike, label: int = 0, gap: float = 0.0) -> None:
    """Fill the free voxels of a solid with hu, a number or [d, h, w], and claim them.

    gap also claims an unpainted shell around it (usually fat), as a share of the radius.
    """
    free = canvas.free[solid.box]
    inside = free & (solid.radius < 1)
    np.copyto(canvas.image[solid.box], hu, where=inside)
    if label:
        canvas.labels[solid.box][inside] = label
    free &= solid.radius >= 1 + gap


def rotation(turn: Vector) -> NDArray[np.float64]:
    """Rotation matrix [3, 3] from angles in degrees in the axial (y to x), coronal (z to x) and
    sagittal (z to y) plane.
    """
    product = np.eye(3)
    for (i, j), degrees in zip(((1, 2), (0, 2), (0, 1)), turn, strict=True):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        step = np.eye(3)
        step[[i, j, i, j], [i, j, j, i]] = cos, cos, -sin, sin
        product = product @ step
    return product


def blob(
    canvas: Canvas, centre: Vector, radii: Vector, turn: Vector = (0, 0, 0), wobble: float = 0.06
) -> Solid:
    """An irregular ellipsoid; radii along its own z, y, x axes in mm, wobble as a share of the
    radius.
    """
    axes = rotation(turn)
    spread = axes @ np.diag(np.square(radii)) @ axes.T
    box = _box(canvas, centre, np.sqrt(np.diag(spread)) * (1.25 + 3 * wobble))
    z, y, x = _offsets(canvas, box, centre)
    form = np.linalg.inv(spread).astype(np.float32)
    plane = form[0, 0] * z * z + form[1, 1] * y * y + 2 * form[0, 1] * z * y
    squared = plane + x * (2 * form[0, 2] * z + 2 * form[1, 2] * y) + form[2, 2] * x * x
    radius = np.sqrt(np.maximum(squared, 0))
    if wobble:
        radius *= 1 + wobble * waves(canvas, box, 1.3 * float(np.mean(radii)))
    return Solid(box, radius)


def tube(canvas: Canvas, start: Vector, end: Vector, radius_mm: float) -> Solid:
    """A straight tube with round ends."""
    first, along = np.asarray(start, float), np.subtract(end, start)
    box = _box(canvas, first + along / 2, np.abs(along) / 2 + 1.3 * radius_mm)
    z, y, x = _offsets(canvas, box, first)
    dz, dy, dx = (float(step) for step in along)
    share = np.clip((dz * z + dy * y + dx * x) / float(along @ along), 0, 1)
    squared = (z - dz * share) ** 2 + (y - dy * share) ** 2 + (x - dx * share) ** 2
    return Solid(box, np.sqrt(squared) / radius_mm)


def arc(canvas: Canvas, centre: Vector, turn: Vector, bend_mm: float, radius_mm: float) -> Solid:
    """A tube bent to two thirds of a ring of radius bend_mm; without rotation the ring is in the
    axial plane.
    """
    axes = rotation(turn).astype(np.float32)
    box = _box(canvas, centre, np.full(3, bend_mm + 1.3 * radius_mm))
    z, y, x = _offsets(canvas, box, centre)
    lift, front, side = (axis[0] * z + axis[1] * y + axis[2] * x for axis in axes.T)
    beyond_the_end = np.maximum(-side - 0.5 * bend_mm, 0)
    squared = (np.hypot(front, side) - bend_mm) ** 2 + lift**2 + (2 * beyond_the_end) ** 2
    return Solid(box, np.sqrt(squared) / radius_mm)


def column(canvas: Canvas, centre: PlanePair, radii: PlanePair, power: float = 2) -> Solid:
    """An upright solid through all slices; centre and radii (y, x) in mm are numbers or [D], power
    2 is an ellipse.
    """
    y0, x0, deep, wide = (
        np.asarray(value, np.float32).reshape(-1, 1, 1) for value in (*centre, *radii)
    )
    rows = _span(canvas.y, float((y0 - 1.3 * deep).min()), float((y0 + 1.3 * deep).max()))
    columns = _span(canvas.x, float((x0 - 1.3 * wide).min()), float((x0 + 1.3 * wide).max()))
    y, x = canvas.y[rows][:, None], canvas.x[columns]
    radius = (np.abs((y - y0) / deep) ** power + np.abs((x - x0) / wide) ** power) ** (1 / power)
    return Solid(
        (slice(0, len(canvas.z)), rows, columns),
        np.broadcast_to(radius, (len(canvas.z), *radius.shape[1:])),
    )


def waves(canvas: Canvas, box: Box, length_mm: float) -> FloatArray:
    """A smooth random pattern [d, h, w] within +-1.6, deviation about 0.5, that changes sign over
    about length_mm.
    """
    steps = canvas.rng.uniform(0.7, 1.4, (2, 3)) * np.pi / length_mm
    phases = canvas.rng.uniform(0, 2 * np.pi, (2, 3))
    axes = (canvas.z[box[0]][:, None, None], canvas.y[box[1]][:, None], canvas.x[box[2]])
    one, two = (
        [np.cos(axis * step + phase) for axis, step, phase in zip(axes, row, shift, strict=True)]
        for row, shift in zip(steps.tolist(), phases.tolist(), strict=True)
    )
    return 0.4 * (one[0] + one[1] + one[2] + two[0] * two[1] * two[2])


def _span(axis: FloatArray, low: float, high: float) -> slice:
    return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high)))


def _box(canvas: Canvas, centre: Vector, reach: Vector) -> Box:
    low, high = np.subtract(centre, reach).tolist(), np.add(centre, reach).tolist()
    return (
        _span(canvas.z, low[0], high[0]),
        _span(canvas.y, low[1], high[1]),
        _span(canvas.x, low[2], high[2]),
    )


def _offsets(canvas: Canvas, box: Box, centre: Vector) -> tuple[FloatArray, FloatArray, FloatArray]:
    z0, y0, x0 = np.asarray(centre, np.float32)
    return (
        (canvas.z[box[0]] - z0)[:, None, None],
        (canvas.y[box[1]] - y0)[:, None],
        canvas.x[box[2]] - x0,
    )
