"""Patients of a made-up run as pictures: a ball with a tumor inside, and a prediction that lies a
little beside it.

A patient's own grid has the edge of the cube here.
"""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from trials.storage.checksum import add_byte_checksum


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def write_slices(out: Path, edge: int, cases: list[str], trial: str) -> None:
    """A cube a patient, a bright ball with a tumor inside, and three slices of it; the prediction
    is shifted a little.
    """
    index = edge * np.array([10, 14, 18]) // 32
    for case in cases:
        rng = np.random.default_rng(hash_of(case))
        volume, image = (
            ball_with_tumor(edge, rng.uniform(0.35, 0.65, 2)),
            rng.normal(0, 9, (edge,) * 3),
        )
        image = np.clip(image + 20 + 60.0 * (volume == 1) + 85 * (volume == 2), 0, 255).astype(
            np.uint8
        )
        (out / "cases").mkdir(exist_ok=True)
        stored = {
            "image": image[index],
            "reference": volume[index],
            "index": index,
            "volume": volume,
        }
        stored |= {
            "pixel_mm": np.array([200.0, 300.0]) / edge,
            "sheet": image[::2][:16],
            "sheet_reference": volume[::2][:16],
            "sheet_index": np.arange(0, edge, 2)[:16],
            "size_mm": np.array([300.0, 200.0, 300.0]),
        }
        write_arrays(out / "cases" / f"{case}.npz", stored)
        path = out / "trials" / trial / "cases" / f"{case}.npz"
        path.parent.mkdir(exist_ok=True)
        shifted = np.roll(volume, 1 + hash_of(f"{trial}{case}") % 3, axis=2)
        write_arrays(path, {"prediction": shifted[index], "index": index, "volume": shifted})


def add_channel(out: Path) -> None:
    """A second channel of every patient: the first one, mirrored."""
    for path in (out / "cases").glob("*.npz"):
        with np.load(path) as file:
            arrays = dict(file)
        arrays["other_images"] = arrays["image"][None, ..., ::-1]
        arrays["other_sheets"] = arrays["sheet"][None, ..., ::-1]
        write_arrays(path, arrays)


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Arrays with their digest behind them, as a trial writes them."""
    content = BytesIO()
    np.savez_compressed(content, **arrays)
    path.write_bytes(add_byte_checksum(content.getvalue()))


def ball_with_tumor(edge: int, centre: np.ndarray) -> np.ndarray:
    depth, rows, columns = np.mgrid[:edge, :edge, :edge] / edge
    volume = np.zeros((edge,) * 3, np.uint8)
    far = (depth - 0.44) ** 2 + (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    volume[far < 0.22**2] = 1
    volume[
        (depth - 0.44) ** 2 + (rows - centre[0] - 0.1) ** 2 + (columns - centre[1]) ** 2 < 0.1**2
    ] = 2
    return volume
