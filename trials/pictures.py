"""Small files for the report: a few axial slices of a case on the cube, its reference and a prediction."""

from pathlib import Path

import numpy as np

from trials.data.cache import Cache
from trials.files import write_whole

NUM_SLICES = 8


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
    """Keep image (uint8, 1st to 99th percentile of the tissue), reference and slice numbers, unless they are there already."""
    if path.is_file():
        return
    labels = cache.labels(case)
    index = telling_slices(labels)
    arrays = {
        "image": display_window(np.asarray(cache.image(case), np.float32))[index],
        "reference": labels[index],
        "index": index,
    }
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def save_prediction(path: Path, predicted: np.ndarray, reference: np.ndarray) -> None:
    """Keep the prediction uint8 [n, H, W] of the slices that save_reference keeps."""
    index = telling_slices(reference)
    write_whole(path, lambda file: np.savez_compressed(file, prediction=predicted[index]))


def display_window(image: np.ndarray) -> np.ndarray:
    """Map a prepared image to grey values uint8 over the range of its denser half, which in CT is the body without the air."""
    dense = image[image > np.median(image)]
    low, high = np.percentile(dense, (2, 97)) if dense.size else (0.0, 1.0)
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
