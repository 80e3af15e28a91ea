"""The organs of a phantom: kidneys with tumours and cysts, and the other abdominal organs.

Positions are in atlas mm (z from head to feet, y front to back, x from the patient's right to
left).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trials.data.datasets.phantoms.body import MIDDLE_X, SPINE_Y
from trials.data.datasets.phantoms.shapes import (
    Canvas,
    Solid,
    Vector,
    arc,
    blob,
    paint,
    rotation,
    tube,
    waves,
)

KIDNEY, TUMOR, CYST = 1, 2, 3

Place = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kidney:
    """Position, size and rotation of a kidney; side is -1 for the patient's right (the image's
    left) and 1 for the left.
    """

    side: int
    centre: Place
    radii: Place
    turn: Place


def paint_kidneys(canvas: Canvas) -> None:
    """Paint both kidneys, a tumour in one of them and, in half of the patients, a cyst or two."""
    rng = canvas.rng
    kidneys = [_plan_kidney(rng, side) for side in (-1, 1)]
    tumor = _paint_tumor(canvas, kidneys[rng.integers(2)])
    if rng.random() < 0.5:
        _paint_cyst(canvas, kidneys, tumor, rng.uniform(16.5, 25.5))
        if rng.random() < 0.3:
            _paint_cyst(canvas, kidneys, tumor, rng.uniform(6, 10))
    cortex_hu = rng.uniform(150, 200)
    for kidney in kidneys:
        _paint_kidney(canvas, kidney, cortex_hu)


def _plan_kidney(rng: np.random.Generator, side: int) -> Kidney:
    radii = np.array([54, 28.5, 29.5]) * rng.uniform(0.95, 1.05) * rng.uniform(0.96, 1.04, 3)
    centre = _near(rng, (84 - 5 * side, 119, MIDDLE_X + 64 * side), (7, 4, 4))
    turn = rng.uniform((10, -12, -10), (30, -4, 0)) * (side, side, 1)
    return Kidney(side=side, centre=centre, radii=radii, turn=turn)


def _place(kidney: Kidney, direction: Vector, depth: float) -> Place:
    """The point in a direction along the kidney's own axes; depth is 0 at its centre and 1 on its
    surface.
    """
    return kidney.centre + rotation(kidney.turn) @ (kidney.radii * np.asarray(direction) * depth)


def _outward(rng: np.random.Generator, side: int) -> Place:
    """A direction away from the hilum, where lesions would overlap the great vessels."""
    direction = rng.normal(size=3) * (1, 0.8, 1)
    direction[2] = side * (abs(direction[2]) + 0.2)
    return direction / np.linalg.norm(direction)


def _paint_tumor(canvas: Canvas, kidney: Kidney) -> Place:
    """Paint a heterogeneous tumour, often with a necrotic core, from endophytic to exophytic;
    returns its centre.
    """
    rng = canvas.rng
    radius_mm = rng.uniform(21, 30.5)
    centre = _place(kidney, _outward(rng, kidney.side), rng.uniform(0.6, 1.05))
    solid = blob(
        canvas, centre, radius_mm * rng.uniform(0.9, 1.12, 3), rng.uniform(-90, 90, 3), 0.07
    )
    hu = rng.uniform(75, 145) + 22 * waves(canvas, solid.box, 0.7 * radius_mm)
    if rng.random() < 0.6:
        is_core = solid.radius + 0.15 * waves(canvas, solid.box, 0.6 * radius_mm) < rng.uniform(
            0.45, 0.7
        )
        hu = np.where(is_core, rng.uniform(10, 45), hu)
    paint(canvas, solid, hu, TUMOR)
    return centre


def _paint_cyst(canvas: Canvas, kidneys: list[Kidney], tumor: Place, radius_mm: float) -> None:
    """Paint a cyst at the candidate position farthest from the tumour, so that neither covers the
    other.
    """
    rng = canvas.rng
    places = [
        _place(kidney, _outward(rng, kidney.side), rng.uniform(0.6, 1))
        for kidney in kidneys
        for _ in range(3)
    ]
    centre = max(places, key=lambda place: float(np.linalg.norm(place - tumor)))
    paint(
        canvas,
        blob(canvas, centre, radius_mm * rng.uniform(0.92, 1.08, 3), wobble=0.03),
        rng.uniform(-2, 20),
        CYST,
    )


def _paint_kidney(canvas: Canvas, kidney: Kidney, cortex_hu: float) -> None:
    """Paint into the voxels still free: renal vein, pelvis, sinus fat (unlabelled, as in KiTS),
    then the kidney around them.
    """
    rng = canvas.rng
    hilum = _place(kidney, (0, -0.35, -kidney.side), 0.62)
    midline = (hilum[0] - 4, SPINE_Y - 25, MIDDLE_X + 14 * kidney.side)
    paint(canvas, tube(canvas, hilum, midline, rng.uniform(3.2, 4.5)), rng.uniform(120, 190))
    paint(canvas, blob(canvas, hilum, kidney.radii * 0.25, kidney.turn, 0.15), rng.uniform(5, 90))
    paint(canvas, blob(canvas, hilum, kidney.radii * (0.52, 0.44, 0.52), kidney.turn, 0.1), -80)
    solid = blob(canvas, kidney.centre, kidney.radii, kidney.turn, 0.05)
    pyramids = np.clip(1.5 * waves(canvas, solid.box, 13), 0, 1) * (solid.radius < 0.82)
    is_calyx = (waves(canvas, solid.box, 10) + waves(canvas, solid.box, 15) > 1.1) & (
        solid.radius < 0.7
    )
    paint(
        canvas,
        solid,
        np.where(is_calyx, 25, cortex_hu - rng.uniform(15, 45) * pyramids),
        KIDNEY,
        gap=0.13,
    )


def paint_abdomen(canvas: Canvas) -> None:
    """Paint liver, gallbladder, spleen, stomach, pancreas and bowel into the voxels still free."""
    _paint_liver(canvas)
    _paint_spleen(canvas)
    _paint_stomach(canvas)
    _paint_pancreas(canvas)
    _paint_colon(canvas)
    _paint_bowel(canvas)


def _paint_liver(canvas: Canvas) -> None:
    rng = canvas.rng
    hu = rng.uniform(90, 125)
    middle = _near(rng, (28, 78, 66), (10, 4, 4))
    gallbladder = blob(canvas, np.add(middle, (40, -26, 26)), (20, 11, 12), (20, 10, -30))
    paint(canvas, gallbladder, rng.uniform(0, 18), gap=0.1)
    for _ in range(6):
        start = _near(rng, middle, (25, 20, 22))
        paint(
            canvas,
            tube(canvas, start, _near(rng, start, (30, 30, 30)), rng.uniform(2, 3.6)),
            hu + rng.uniform(15, 45),
        )
    if rng.random() < 0.3:
        paint(
            canvas,
            blob(canvas, _near(rng, middle, (25, 20, 18)), rng.uniform(4, 11, 3)),
            rng.uniform(10, 70),
        )
    paint(canvas, blob(canvas, middle, (74, 60, 56), (10, -8, 0), 0.07), hu)
    paint(
        canvas,
        blob(canvas, np.add(middle, (-14, -33, 54)), (42, 26, 62), (0, 12, 0), 0.07),
        hu,
        gap=0.05,
    )


def _paint_spleen(canvas: Canvas) -> None:
    rng = canvas.rng
    radii = np.array([46, 36, 17]) * rng.uniform(0.85, 1.12)
    solid = blob(canvas, _near(rng, (28, 108, 226), (8, 5, 3)), radii, (-20, 5, 0))
    paint(canvas, solid, rng.uniform(105, 135), gap=0.1)


def _paint_stomach(canvas: Canvas) -> None:
    rng = canvas.rng
    centre = _near(rng, (28, 62, 186), (8, 6, 8))
    solid = blob(canvas, centre, np.array([42, 30, 38]) * rng.uniform(0.8, 1.1), (15, 20, 0))
    _paint_hollow(canvas, solid, 0.87, centre[1] + rng.uniform(-33, 2))


def _paint_pancreas(canvas: Canvas) -> None:
    rng = canvas.rng
    hu = rng.uniform(75, 110)
    head = _near(rng, (62, 88, 118), (8, 4, 5))
    neck, tail = np.add(head, (-10, -6, 32)), np.add(head, (-22, 12, 72))
    paint(canvas, tube(canvas, head, neck, 10), hu)
    paint(canvas, tube(canvas, neck, tail, 8), hu, gap=0.1)


def _paint_colon(canvas: Canvas) -> None:
    rng = canvas.rng
    for middle_z, x in ((157, 44), (135, 228)):
        centre = _near(rng, (middle_z, 98, x), (12, 12, 3))
        _paint_hollow(
            canvas,
            blob(canvas, centre, (58, 17, 17), wobble=0.14),
            0.84,
            centre[1] + rng.uniform(-20, 4),
        )


def _paint_bowel(canvas: Canvas) -> None:
    rng = canvas.rng
    places = [
        (z, y, x) for z in (62, 92, 122, 152) for y in (36, 60, 84) for x in range(66, 220, 30)
    ]
    for i in rng.permutation(len(places))[:26]:
        centre = _near(rng, places[i], (9, 9, 9))
        turn = rng.uniform(-180, 180, 3)
        if rng.random() < 0.6:
            solid = arc(canvas, centre, turn, rng.uniform(15, 26), rng.uniform(9, 13))
        else:
            solid = blob(canvas, centre, rng.uniform((14, 10, 10), (28, 16, 16)), turn)
        _paint_hollow(canvas, solid, 0.8, centre[1] + rng.uniform(-28, 6))


def _paint_hollow(canvas: Canvas, solid: Solid, wall: float, level_mm: float) -> None:
    """Paint a wall around fluid or contrast medium, with gas above the level: the patient is
    supine.
    """
    rng = canvas.rng
    filling = rng.choice(
        [rng.uniform(0, 30), rng.uniform(30, 70), rng.uniform(160, 300)], p=[0.5, 0.35, 0.15]
    )
    is_gas = canvas.y[solid.box[1]][:, None] < level_mm
    hu = np.where(solid.radius < wall, np.where(is_gas, -850, filling), rng.uniform(70, 110))
    paint(canvas, solid, hu, gap=0.14)


def _near(rng: np.random.Generator, centre: Vector, spread_mm: Vector) -> Place:
    return np.asarray(centre) + rng.uniform(-1, 1, 3) * np.asarray(spread_mm)
