"""Small files for the report: a case on the cube in a few axial slices, its whole reference and a whole prediction."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.cache import Cache
from trials.files import is_there, write_whole
from trials.seal import sealed_bytes

NUM_SLICES = 8
SHEET_SLICES = 16


def telling_slices(labels: np.ndarray) -> np.ndarray:
    """Up to 8 axial slice numbers of a reference [D, H, W]: the fullest of each label, the rest spread over the foreground.

    A reference without foreground gives slices spread over the cube.
    """
    depth = len(labels)
    held = np.flatnonzero(labels.reshape(depth, -1).any(1))
    first, last = (int(held[0]), int(held[-1])) if held.size else (0, depth - 1)
    fullest = {int((labels == label).sum((1, 2)).argmax()) for label in np.unique(labels[labels > 0])[: NUM_SLICES - 2]}
    spread = np.linspace(first, last, NUM_SLICES - len(fullest)).round().astype(int)
    return np.array(sorted(fullest | set(spread.tolist())))


def save_reference(path: Path, cache: Cache, case: str) -> None:
    """Keep what a page shows of a case itself, unless it is there already.

    image and reference uint8 [n, H, W] are the slices that index names; sheet uint8 [16, H, W] is the image in equidistant
    slices, sheet_index; volume uint8 [D, H, W] the whole reference; size_mm the cube's extent in D, H and W.
    """
    if is_there(path):
        return
    labels, record = cache.labels(case), cache.cases[case]
    index, sheet_index = telling_slices(labels), equidistant_slices(len(labels))
    grey = display_window(np.asarray(cache.image(case), np.float32))
    arrays = {
        "image": grey[index],
        "reference": labels[index],
        "index": index,
        "sheet": grey[sheet_index],
        "sheet_index": sheet_index,
        "volume": labels,
        "size_mm": np.multiply(record.shape, record.spacing_mm),
    }
    _write(path, arrays)


def save_prediction(path: Path, predicted: np.ndarray, reference: np.ndarray) -> None:
    """Keep a prediction uint8 [D, H, W], whole as volume, and as prediction [n, H, W] the slices that save_reference keeps."""
    _write(path, {"prediction": predicted[telling_slices(reference)], "volume": predicted.astype(np.uint8)})


def _write(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as an .npz file with its digest behind it."""
    content = BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, lambda file: file.write(sealed_bytes(content.getvalue())))


def equidistant_slices(depth: int) -> np.ndarray:
    """Up to 16 slice numbers, each in the middle of an equal share of a cube that is depth slices deep."""
    num = min(SHEET_SLICES, depth)
    return ((np.arange(num) + 0.5) * depth / num).astype(int)


def display_window(image: np.ndarray) -> np.ndarray:
    """Map a prepared image to grey values uint8 over the range of its denser half, which in CT is the body without the air."""
    dense = image[image > np.median(image)]
    low, high = np.percentile(dense, (2, 97)) if dense.size else (0.0, 1.0)
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
