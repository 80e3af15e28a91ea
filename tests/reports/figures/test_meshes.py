"""Surfaces of masks: a ball's area and place by geometry, at most so many triangles, nothing for
nothing.
"""

import numpy as np
import pytest

from reports.figures.scene import surface
from reports.figures.shading import SIDES, render_mask


def ball(edge=40, radius=12.0):
    places = np.mgrid[:edge, :edge, :edge] - edge / 2
    return (places**2).sum(0) < radius**2


def area(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


@pytest.mark.parametrize("most", [100_000, 1000])
def test_a_ball_has_its_area_and_its_middle_in_mm(most):
    mesh = surface(ball(), np.array([2.0, 2.0, 2.0]), most)

    assert area(mesh) == pytest.approx(4 * np.pi * 24**2, rel=0.05)
    assert mesh.vertices.mean(0) == pytest.approx([40, 40, 40], abs=1.0)
    assert 0 < len(mesh.faces) <= most


def test_every_triangle_has_three_corners_that_exist():
    mesh = surface(ball(), np.ones(3), 500)

    assert mesh.faces.max() < len(mesh.vertices)
    assert all(len(set(face)) == 3 for face in mesh.faces.tolist())


def test_one_voxel_is_seen_and_none_is_nothing():
    mask = np.zeros((5, 5, 5), bool)
    assert surface(mask, np.ones(3)) is None

    mask[2, 2, 2] = True
    assert len(surface(mask, np.ones(3)).faces) >= 8


@pytest.mark.parametrize("axis", SIDES.values())
def test_a_mask_is_drawn_from_every_side(axis):
    assert render_mask(
        ball(20, 6.0).astype(np.uint8), np.array([60.0, 20.0, 20.0]), axis
    ).startswith("data:image/webp;base64,")
