"""A mask as a small shaded image: its nearest surface along one axis, lit from above."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom

from reports.figures.colours import label_colour

# The viewing axis in (D, H, W).
SIDES = {"from the front": 1, "from the right": 2, "from the head": 0}
EDGE = 240
# Opacity of a structure behind the nearest surface.
THROUGH = 0.45


def render_mask(labels: np.ndarray, size_mm: np.ndarray, axis: int) -> str:
    """Render a mask uint8 [D, H, W] along an axis as a data URI of a WebP with a transparent
    background; true proportions in mm.

    Raises IndexError for an empty mask.
    """
    voxel_mm = size_mm / labels.shape
    held = [np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {other}))) for other in range(3)]
    labels = np.pad(labels[tuple(slice(places[0], places[-1] + 1) for places in held)], 2)
    size_mm = voxel_mm * labels.shape
    first = np.moveaxis(labels, axis, 0)
    is_hit = (first > 0).any(0)
    depth = (first > 0).argmax(0).astype(float)
    front = np.take_along_axis(first, depth.astype(int)[None], 0)[0]
    behind = np.where(first.max(0) > front, first.max(0), front)
    colours = np.array(
        [(0, 0, 0), *(label_colour(label) for label in range(1, int(labels.max()) + 1))], float
    )
    lit = (1 - THROUGH) * colours[front] + THROUGH * colours[behind]
    # Outside the mask, depth and colour are those of the nearest pixel inside, so that enlarging
    # the image mixes no background into its edge.
    nearest = tuple(distance_transform_edt(~is_hit, return_distances=False, return_indices=True))
    per_mm = EDGE / np.delete(size_mm, axis).max()
    scale = np.delete(voxel_mm, axis) * per_mm
    light = _light(zoom(depth[nearest] * voxel_mm[axis] * per_mm, scale, order=1), scale.max())
    colour = (
        np.stack([zoom(lit[nearest][..., i], scale, order=1) for i in range(3)], -1)
        * light[..., None]
    )
    alpha = gaussian_filter(zoom(is_hit.astype(float), scale, order=1), 0.5 * scale.max()) * 4 - 1.5
    file = BytesIO()
    picture = np.clip(np.concatenate([colour, 255 * alpha[..., None]], -1), 0, 255).astype(np.uint8)
    Image.fromarray(picture, "RGBA").save(file, "WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _light(depth: np.ndarray, voxel: float) -> np.ndarray:
    """The brightness of a surface at this depth (in pixels), lit from the upper left."""
    slopes = np.gradient(gaussian_filter(depth, voxel))
    normal = np.stack([*slopes, np.ones_like(depth)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return 0.45 + 0.65 * np.clip(normal @ np.array([-0.45, -0.35, 0.82]), 0, 1)
