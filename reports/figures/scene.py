"""One 3D scene for the example cases: reference and prediction side by side as triangle meshes,
rotated together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

from reports.analysis.context import Context
from reports.elements import Column, Figure, Table, TableCell, View
from reports.figures.colours import label_colour
from reports.formatting import many, plain
from reports.load.stored import Volumes

# Distance between the two, in widths of a volume.
APART = 1.1


def scene(context: Context, volumes: Sequence[tuple[str, str, Volumes]]) -> Figure | None:
    """The scene of (case, reason to show it, its volumes); None if there are none."""
    if not volumes:
        return None
    views, rows = [], []
    for case, why, both in volumes:
        traces = [
            *_traces(context, both.reference, both, 0.0),
            *_traces(context, both.prediction, both, APART * both.size_mm[2]),
        ]
        views.append(View(name=f"{case}, {why}", data=tuple(traces), layout=_layout(both, traces)))
        labels = range(1, len(context.run.label_names))
        rows += [_row(context, case, label, both) for label in labels]
    caption = (
        f"{many(len(views), 'patient')} in 3D: reference on the left, prediction on the right; "
        "drag to rotate both. The surfaces of the masks on the cube, in mm, smoothed and reduced "
        "to at most 5,000 triangles each: they show position and size, not exact borders."
    )
    columns = (
        Column("patient"),
        Column("class"),
        Column("reference, ml", True),
        Column("prediction, ml", True),
    )
    return Figure(
        id="solids",
        caption=caption,
        layout={"margin": {"l": 0, "r": 0, "t": 0, "b": 0}},
        views=tuple(views),
        view_label="Patient",
        table=Table(
            id="solids-table",
            caption="Volumes of the structures shown, on the cube.",
            columns=columns,
            rows=tuple(rows),
        ),
        height=390,
        least_width=640,
    )


def _traces(
    context: Context, labels: np.ndarray, both: Volumes, shift: float
) -> list[dict[str, Any]]:
    traces = []
    for label, name in enumerate(context.run.label_names[1:], start=1):
        mesh = surface(labels == label, both.voxel_mm)
        if mesh is None:
            continue
        # D runs from head to feet, H from front to back; z of the scene points up, y to the back.
        d, h, w = mesh.vertices.round(1).T
        i, j, k = mesh.faces.T
        traces.append(
            {
                "type": "mesh3d",
                "x": _short(w + shift),
                "y": _short(h),
                "z": _short(both.size_mm[0] - d),
                "i": i.tolist(),
                "j": j.tolist(),
                "k": k.tolist(),
                "color": f"rgb{label_colour(label)}",
                "opacity": 0.35 if label == 1 and len(context.run.label_names) > 2 else 1.0,
                "flatshading": False,
                "lighting": {"ambient": 0.55, "diffuse": 0.7, "specular": 0.1, "roughness": 0.9},
                "name": plain(name),
                "hoverinfo": "name",
            }
        )
    return traces


def _short(values: np.ndarray) -> list[float]:
    return values.round(1).tolist()


def _layout(both: Volumes, traces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A scene cropped to its meshes, with a title above each side."""
    hidden = {"visible": False, "showspikes": False}
    bounds = {
        axis: [f(f(trace[axis]) for trace in traces) for f in (min, max)] if traces else [0.0, 1.0]
        for axis in "xyz"
    }
    width, (low, high) = float(both.size_mm[2]), bounds["z"]
    words = [(width / 2, "reference"), ((APART + 0.5) * width, "prediction")]
    place = {"y": sum(bounds["y"]) / 2, "z": high + 0.18 * (high - low), "showarrow": False}
    bounds["x"] = [min(bounds["x"][0], words[0][0] - 30), max(bounds["x"][1], words[1][0] + 30)]
    bounds["z"] = [low - 0.05 * (high - low), high + 0.3 * (high - low)]
    return {
        "scene": {
            **{
                f"{axis}axis": {**hidden, "range": [round(bound, 1) for bound in bounds[axis]]}
                for axis in "xyz"
            },
            "aspectmode": "data",
            "camera": {"eye": {"x": 0.0, "y": -1.6, "z": 0.25}},
            "annotations": [
                {**place, "x": x, "text": f"<b>{text}</b>", "font": {"color": "var(--muted)"}}
                for x, text in words
            ],
            "dragmode": "orbit",
        }
    }


def _row(context: Context, case: str, label: int, both: Volumes) -> tuple[TableCell, ...]:
    per_voxel = float(np.prod(both.voxel_mm)) / 1000
    volumes = [
        int((labels == label).sum()) * per_voxel for labels in (both.reference, both.prediction)
    ]
    return (
        TableCell(case),
        TableCell(context.run.label_names[label]),
        *(TableCell(f"{volume:.1f}", volume) for volume in volumes),
    )


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
