"""The border of a mask as an SVG path: where it runs, what it leaves out, what it never loses."""

import re

import numpy as np
import pytest

from reports.figures.contours import UNIT, outline


def curves_of(path):
    """The points (x, y) of each curve of a path, in pixels."""
    curves = []
    for start, steps in re.findall(r"M([\d -]+)l([\d -]+)z", path):
        first = np.array([int(number) for number in re.findall(r"-?\d+", start)])
        moves = np.array([int(number) for number in re.findall(r"-?\d+", steps)]).reshape(-1, 2)
        curves.append(np.cumsum([first, *moves], axis=0) / UNIT)
    return curves


def area_of(points):
    x, y = points.T
    return abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


def test_an_empty_mask_has_no_border():
    assert outline(np.zeros((4, 5), bool)) == ""


def test_one_voxel_is_a_diamond_around_its_middle():
    mask = np.zeros((6, 9), bool)
    mask[2, 5] = True

    (curve,) = curves_of(outline(mask))

    assert {tuple(point) for point in curve} == {(5.0, 2.5), (6.0, 2.5), (5.5, 2.0), (5.5, 3.0)}


def test_a_square_is_drawn_where_it_lies_and_as_large_as_it_is():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True

    (curve,) = curves_of(outline(mask))

    assert curve.min(0) == pytest.approx([20, 10], abs=0.2)
    assert curve.max(0) == pytest.approx([50, 30], abs=0.2)
    assert area_of(curve) == pytest.approx(20 * 30, rel=0.01)


def test_a_mask_at_the_edge_of_the_picture_is_closed():
    (curve,) = curves_of(outline(np.ones((20, 20), bool)))

    assert area_of(curve) == pytest.approx(400, rel=0.01)


def test_a_hole_and_a_second_part_are_curves_of_the_same_path():
    mask = np.zeros((40, 40), bool)
    mask[2:20, 2:20] = True
    mask[8:12, 8:12] = False
    mask[30:38, 30:38] = True

    assert len(curves_of(outline(mask))) == 3


def test_no_point_of_a_disk_is_more_than_half_a_pixel_from_its_border():
    rows, columns = np.mgrid[:80, :80]
    disk = (rows - 40) ** 2 + (columns - 40) ** 2 < 25**2

    (curve,) = curves_of(outline(disk))

    # The middle of pixel 40 lies at 40.5.
    assert np.abs(np.linalg.norm(curve - 40.5, axis=1) - 25).max() < 0.6
    assert area_of(curve) == pytest.approx(disk.sum(), rel=0.01)
