"""Small files for the report: a case in a few axial slices of its own grid, its whole reference and
prediction on the cube.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.datasets.registry import DATASETS
from trials.data.prepared.cache import Cache
from trials.data.prepared.native_grid import native_planes
from trials.scoring.regions import as_background, find_ignored
from trials.storage.atomic import exists, write_whole
from trials.storage.checksum import add_byte_checksum

NUM_SLICES = 8
SHEET_SLICES = 16
# The longest edge of a sheet's slice, in pixels: sixteen of them stand side by side.
SHEET_EDGE = 256
# What an ignored voxel's grey is raised by after it is divided by 3.
VEIL = 85
# Images of more channels would cost a page more than they tell.
NUM_CHANNELS = 4


def telling_slices(labels: np.ndarray) -> np.ndarray:
    """Up to 8 axial slice numbers of a reference uint8 [D, H, W]: the fullest of each label, the
    rest spread over foreground.

    A reference without foreground gives slices spread over its depth.
    """
    counts = np.stack([np.bincount(plane.reshape(-1), minlength=256) for plane in labels])
    counts[:, 0] = 0
    held = np.flatnonzero(counts.any(1))
    first, last = (int(held[0]), int(held[-1])) if held.size else (0, len(labels) - 1)
    fullest = set(counts[:, np.flatnonzero(counts.any(0))[: NUM_SLICES - 2]].argmax(0).tolist())
    spread = np.linspace(first, last, NUM_SLICES - len(fullest)).round().astype(int)
    return np.array(sorted(fullest | set(spread.tolist())))


def save_reference(path: Path, cache: Cache, case: str, reference: np.ndarray) -> None:
    """Keep what a page shows of a case itself, unless it is there already. reference uint8 [D, H,
    W] is its own mask.

    On the case's own grid image and reference uint8 [n, H, W] are the slices that index names, and
    pixel_mm the edges of a pixel in H and W; sheet and sheet_reference uint8 [16, h, w] are
    equidistant slices, sheet_index, thinned to 256 pixels. image and sheet are the first channel;
    other_images and other_sheets uint8 [C - 1, ...] hold the next ones, up to 4 in all. On the cube
    volume uint8 [n, n, n] is the whole reference, and size_mm its extent in D, H and W. Ignored
    voxels are background here, and have a grey veil in images.
    """
    if exists(path):
        return
    record, labels = cache.cases[case], cache.dataset.labels
    ignored = find_ignored(reference, labels)
    reference = as_background(reference, ignored)
    index, sheet_index = telling_slices(reference), equidistant_slices(len(reference))
    shown = np.concatenate([index, sheet_index])
    veiled = None if ignored is None else ignored[shown]
    greys = [
        grey_planes(cache, case, shown, channel, veiled)
        for channel in range(min(len(record.mean), NUM_CHANNELS))
    ]
    sheets = [thinned(grey[len(index) :], reference[sheet_index]) for grey in greys]
    sheet, sheet_reference = sheets[0]
    further: dict[str, Any] = {}
    if len(greys) > 1:
        further = {
            "other_images": np.stack([grey[: len(index)] for grey in greys[1:]]),
            "other_sheets": np.stack([other for other, _ in sheets[1:]]),
        }
    arrays = further | {
        "image": greys[0][: len(index)],
        "reference": reference[index],
        "index": index,
        "pixel_mm": np.array(record.spacing_mm[1:]),
        "sheet": sheet,
        "sheet_reference": sheet_reference,
        "sheet_index": sheet_index,
        "volume": as_background(cache.labels(case), find_ignored(cache.labels(case), labels)),
        "size_mm": np.multiply(record.shape, record.spacing_mm),
    }
    _write(path, arrays)


def grey_planes(
    cache: Cache, case: str, wanted: np.ndarray, channel: int, veiled: np.ndarray | None
) -> np.ndarray:
    """Axial planes of a channel as grey values, uint8 [n, H, W]; veiled bool [n, H, W] marks
    ignored voxels.
    """
    part = DATASETS.get(cache.dataset.name)
    planes = native_planes(cache.cases[case], wanted, channel)
    grey = display_window(planes, part.window if part else None)
    return grey if veiled is None else np.where(veiled, grey // 3 + VEIL, grey)


def save_prediction(
    path: Path,
    cache: Cache,
    case: str,
    predicted: tuple[np.ndarray, np.ndarray],
    reference: np.ndarray,
) -> None:
    """Keep a prediction: whole on the cube as volume, and as prediction uint8 [n, H, W] the slices
    that save_reference keeps.

    predicted are labels on the cube and on the case's own grid, that of reference uint8 [D, H, W];
    index names the slices. Ignored voxels are background.
    """
    on_cube, on_native = predicted
    labels = cache.dataset.labels
    ignored = find_ignored(reference, labels)
    index = telling_slices(as_background(reference, ignored))
    arrays = {
        "prediction": as_background(on_native, ignored)[index],
        "index": index,
        "volume": as_background(on_cube.astype(np.uint8), find_ignored(cache.labels(case), labels)),
    }
    _write(path, arrays)


def _write(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as an .npz file with its digest behind it."""
    content = BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, lambda file: file.write(add_byte_checksum(content.getvalue())))


def equidistant_slices(depth: int) -> np.ndarray:
    """Up to 16 slice numbers, each in the middle of an equal share of a volume that is depth slices
    deep.
    """
    num = min(SHEET_SLICES, depth)
    return ((np.arange(num) + 0.5) * depth / num).astype(int)


def thinned(grey: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slices uint8 [n, H, W] of at most 256 pixels an edge: squares of pixels become their mean,
    labels that of the middle.

    Smaller slices stay as they are; what is left of an edge that the square does not divide is cut
    off.
    """
    num, rows, columns = grey.shape
    step = -(-max(rows, columns) // SHEET_EDGE)
    if step == 1 or min(rows, columns) < step:
        return grey, labels
    height, width = rows // step, columns // step
    squares = grey[:, : height * step, : width * step].reshape(num, height, step, width, step)
    middle = labels[:, step // 2 :: step, step // 2 :: step][:, :height, :width]
    return squares.mean((2, 4)).round().astype(np.uint8), middle


def display_window(image: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Map intensities to grey values uint8, from window's low, black, to its high, white.

    None takes the range of the image's denser half, which in CT is the body without the air.
    """
    if window is None:
        dense = image[image > np.median(image)]
        low, high = np.percentile(dense, (2, 97)) if dense.size else (0.0, 1.0)
    else:
        low, high = window
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
