"""Surfaces of masks as triangle meshes."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

MOST_FACES = 5000
# In voxels. Structures too thin for this smoothing are not smoothed.
SMOOTHING = 0.8


@dataclass(frozen=True, slots=True)
class Mesh:
    """vertices float [V, 3] in mm along D, H and W; faces int [F, 3] are indices into them."""

    vertices: np.ndarray
    faces: np.ndarray


def surface(mask: np.ndarray, voxel_mm: np.ndarray, most_faces: int = MOST_FACES) -> Mesh | None:
    """The surface of a mask bool [D, H, W] with at most most_faces triangles; None if the mask is
    empty.

    Marching cubes (Lewiner and others 2003) over the smoothed mask, then decimated.
    """
    if not mask.any():
        return None
    held = [
        np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        for axis in range(3)
    ]
    low, high = np.array([axis[0] for axis in held]), np.array([axis[-1] + 1 for axis in held])
    solid = np.pad(mask[tuple(map(slice, low, high))], 2).astype(np.float32)
    smooth = gaussian_filter(solid, SMOOTHING)
    vertices, faces, _, _ = marching_cubes(smooth if smooth.max() > 0.5 else solid, 0.5)
    mesh = decimate(Mesh(vertices, faces), most_faces)
    return Mesh((mesh.vertices + low - 2) * voxel_mm, mesh.faces)


def decimate(mesh: Mesh, most_faces: int) -> Mesh:
    """Merge the vertices within boxes of growing size until at most most_faces are left (Rossignac
    and Borrel 1993).
    """
    smaller, box = mesh, 1.0
    while len(smaller.faces) > most_faces:
        smaller, box = _clustered(mesh, box), 1.15 * box
    return smaller


def _clustered(mesh: Mesh, box: float) -> Mesh:
    boxes = np.floor(mesh.vertices / box).astype(np.int64)
    _, place, count = np.unique(
        _key(boxes - boxes.min(axis=0)), return_inverse=True, return_counts=True
    )
    sums = np.stack([np.bincount(place, weights=axis) for axis in mesh.vertices.T], axis=1)
    faces = place[mesh.faces]
    whole = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    )
    _, first = np.unique(_key(np.sort(faces[whole], axis=1)), return_index=True)
    return Mesh(sums / count[:, None], faces[whole][np.sort(first)])


def _key(rows: np.ndarray) -> np.ndarray:
    """One integer per row of non-negative integers [N, 3], in the order of the rows; sorting these
    is many times faster.
    """
    size = int(rows.max(initial=0)) + 1
    assert size < 2**21, "three of them fill 63 bits"
    return (rows[:, 0] * size + rows[:, 1]) * size + rows[:, 2]
