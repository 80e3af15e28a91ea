"""The body of a phantom around its organs: skin, fat, muscles, ribs, spine and great vessels.

Positions are in atlas mm (z from head to feet, y front to back, x from the patient's right to
left).
"""

import numpy as np
from numpy.typing import NDArray

from trials.data.datasets.phantoms.shapes import FAT_HU, Canvas, Solid, column, paint, tube

MIDDLE_Y, MIDDLE_X, SPINE_Y = 92.0, 136.0, 127.0
VERTEBRA_MM, DISC_MM = 33.0, 6.0
# Angle from the spine at which ribs 7 to 12 end; the last two are floating ribs.
RIB_ENDS = np.array([3.0, 2.8, 2.6, 2.4, 1.9, 1.2])
RIB_MM = 24.0


def paint_body(canvas: Canvas) -> None:
    """Paint the trunk; afterwards only the fat of the abdominal cavity is free."""
    cavity = _paint_wall(canvas)
    _paint_spine(canvas)
    _paint_muscles(canvas)
    _paint_vessels(canvas)
    np.logical_and(canvas.free, cavity, out=canvas.free)


def _paint_wall(canvas: Canvas) -> NDArray[np.bool_]:
    """Paint skin, fat, muscle and ribs; returns the mask of the cavity [D, H, W] and leaves the
    whole trunk free.
    """
    rng = canvas.rng
    waist = 1 + 0.02 * np.cos(canvas.z / 50 + rng.uniform(0, 6))
    deep, wide = 87 * rng.uniform(0.95, 1) * waist, 132 * rng.uniform(0.95, 1) * waist
    power, fat, muscle = rng.uniform(2.15, 2.4), rng.uniform(4, 12), rng.uniform(7, 10)
    skin, under_skin, outer, inner = (
        column(canvas, (MIDDLE_Y, MIDDLE_X), (deep - depth, wide - 1.2 * depth), power)
        for depth in (0, 2, fat, fat + muscle)
    )
    for solid, hu in (
        (skin, -20),
        (under_skin, FAT_HU),
        (outer, rng.uniform(45, 65)),
        (inner, FAT_HU),
    ):
        canvas.image[solid.box][solid.radius < 1] = hu
    canvas.free[skin.box] = skin.radius < 1
    _paint_ribs(canvas, outer, inner)
    cavity = np.zeros_like(canvas.free)
    cavity[inner.box] = inner.radius < 1
    return cavity


def _paint_ribs(canvas: Canvas, outer: Solid, inner: Solid) -> None:
    """Ribs run forward and down inside the muscle, so an axial slice shows each as a dot."""
    shell = np.zeros_like(canvas.free)
    shell[outer.box] = outer.radius < 0.985
    shell[inner.box] &= inner.radius > 1.01
    place = np.nonzero(shell)
    z, y, x = canvas.z[place[0]], canvas.y[place[1]] - MIDDLE_Y, canvas.x[place[2]] - MIDDLE_X
    angle = np.arctan2(np.abs(x), y)
    height = z - 130 / np.pi * angle + 72 + np.where(x < 0, *canvas.rng.uniform(-3, 3, 2))
    number, along = np.divmod(height, RIB_MM)
    ends = RIB_ENDS[np.clip(number.astype(int), 0, len(RIB_ENDS) - 1)]
    rib = (
        (np.abs(along - RIB_MM / 2) < 3.2)
        & (number < len(RIB_ENDS))
        & (angle > 0.35)
        & (angle < ends)
    )
    canvas.image[tuple(index[rib] for index in place)] = 420


def _paint_spine(canvas: Canvas) -> None:
    rng = canvas.rng
    along = (canvas.z + rng.uniform(0, VERTEBRA_MM)) % VERTEBRA_MM
    is_disc = along < DISC_MM
    waist = np.where(
        is_disc, 1, 1 - 0.06 * np.sin(np.pi * (along - DISC_MM) / (VERTEBRA_MM - DISC_MM))
    )
    body = column(canvas, (SPINE_Y, MIDDLE_X), (16.5 * waist, 21.5 * waist), 2.3)
    bone = np.where(body.radius > 0.86, 420, rng.uniform(200, 270))
    paint(canvas, body, np.where(is_disc[:, None, None], 95, bone))
    paint(canvas, column(canvas, (SPINE_Y + 23, MIDDLE_X), (7.5, 9.5)), 25)
    paint(canvas, column(canvas, (SPINE_Y + 23, MIDDLE_X), (11, 14)), 360)
    paint(
        canvas,
        column(
            canvas, (SPINE_Y + 31, MIDDLE_X), (np.where((along > 10) & (along < 26), 11, 5), 2.6)
        ),
        380,
    )
    paint(
        canvas,
        column(
            canvas, (SPINE_Y + 18, MIDDLE_X), (3.0, np.where((along > 12) & (along < 18), 32, 14))
        ),
        330,
    )


def _paint_muscles(canvas: Canvas) -> None:
    hu = canvas.rng.uniform(50, 65)
    growth = np.clip((canvas.z - 30) / 110, 0.15, 1.1)
    for side in (-1, 1):
        paint(
            canvas,
            column(
                canvas,
                (SPINE_Y + 4, MIDDLE_X + side * (22 + 12 * growth)),
                (16 * growth, 11 * growth + 1),
            ),
            hu,
        )
        paint(canvas, column(canvas, (SPINE_Y + 16, MIDDLE_X + side * 50), (6, 17)), hu)
        paint(canvas, column(canvas, (SPINE_Y + 30, MIDDLE_X + side * 24), (13, 20)), hu)


def _paint_vessels(canvas: Canvas) -> None:
    rng = canvas.rng
    sway = 3 * np.cos(canvas.z / 40 + rng.uniform(0, 6))
    aorta = column(canvas, (SPINE_Y - 26 + sway / 2, MIDDLE_X + 11 + sway), (8.5, 8.5))
    cava = column(
        canvas,
        (SPINE_Y - 25 - sway / 2, MIDDLE_X - 13 + sway),
        (rng.uniform(7, 9.5), rng.uniform(9.5, 12)),
    )
    paint(canvas, aorta, rng.uniform(150, 280), gap=0.25)
    paint(canvas, cava, rng.uniform(110, 165), gap=0.1)
    for _ in range(14):
        start = rng.uniform((30, 60, 90), (150, 95, 180))
        paint(
            canvas,
            tube(canvas, start, start + rng.uniform(-25, 25, 3), rng.uniform(1.4, 2.4)),
            rng.uniform(90, 180),
        )
