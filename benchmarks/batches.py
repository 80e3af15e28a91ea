"""Random batches from the prepared set, against MONAI's CacheDataset (3D) and against one file a
slice (2D).
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, ThreadDataLoader
from monai.transforms import Compose, EnsureTyped, Lambdad

from benchmarks.compare import compare, keep, table
from trials.data.batches.loading import Items, slice_items, volume_items
from trials.data.batches.slices import export_slices
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.process.environment import reset_peak
from trials.records.spec import Cube

CASES, EDGE = 32, 128
VOLUMES, SLICES = "ours, 32 volumes by 4", "ours, 1,024 slices by 64"
MONAI = "MONAI CacheDataset + DataLoader"


def epoch(items: Items, order: np.ndarray, batch_size: int) -> None:
    """Every item of an order, in batches of float32 images."""
    for start in range(0, len(order), batch_size):
        images, _ = items.batch(order[start : start + batch_size])
        images.float()


def monai_epoch(loader: DataLoader) -> None:
    """Every case as MONAI hands it out."""
    for _ in loader:
        pass


def read_slices(paths: Sequence[tuple[Path, Path]]) -> None:
    """A batch of slices from a file each, as the study keeps them."""
    torch.from_numpy(np.stack([np.load(image) for image, _ in paths]))
    torch.from_numpy(np.stack([np.load(mask) for _, mask in paths]))


def prepared(place: Path) -> Cache:
    """Phantoms at the study's cube."""
    write_phantoms(place / "phantoms", CASES, 0)
    return open_cache(
        prepare_dataset(
            open_dataset("phantoms", place / "phantoms"), Cube(edge=EDGE), place / "cache"
        )
    )


def volumes(cache: Cache, order: np.ndarray) -> dict[str, Callable[[], object]]:
    """3D: every case once, four at a time."""
    cases = list(cache.cases)
    as_float = Compose(
        [EnsureTyped(["image", "labels"]), Lambdad("image", lambda image: image.float())]
    )
    rows = [
        {"image": np.array(cache.image(case)), "labels": np.array(cache.labels(case))[None]}
        for case in cases
    ]
    held = CacheDataset(rows, as_float, progress=False)
    return {
        VOLUMES: partial(epoch, volume_items(cache, cases), order, 4),
        MONAI: partial(monai_epoch, DataLoader(held, batch_size=4, shuffle=True)),
        "MONAI CacheDataset + ThreadDataLoader": partial(
            monai_epoch, ThreadDataLoader(held, batch_size=4, shuffle=True)
        ),
    }


def slices(
    cache: Cache, place: Path, generator: np.random.Generator
) -> dict[str, Callable[[], object]]:
    """2D: 16 batches of 64 random slices with everything in memory."""
    export_slices(cache, place / "slices")
    cases = list(cache.cases)
    items = slice_items(cache, cases, "axial")
    chosen = generator.choice(len(items.index), 16 * 64, replace=False)
    names = [f"{cases[case]}_slice_{number:03d}.npy" for case, number in items.index[chosen]]
    folder = place / "slices" / "axial"
    pairs = [(folder / "images" / name, folder / "masks" / name) for name in names]
    return {
        SLICES: partial(epoch, items, chosen, 64),
        "one .npy a slice": lambda: [
            read_slices(pairs[start : start + 64]) for start in range(0, len(pairs), 64)
        ],
    }


def main() -> None:
    """Print and keep the comparison: with the C library as it is installed, then as a trial runs,
    keeping freed memory.
    """
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        cache = prepared(Path(name))
        in_3d = volumes(cache, generator.permutation(CASES))
        in_2d = slices(cache, Path(name), generator)
        installed, lines = compare(in_3d), ["The C library as it is installed", ""]
        lines += [*table(installed, VOLUMES), "", *table(compare(in_2d), SLICES), ""]
        reset_peak()
        kept = compare(in_3d)
        lines += ["As a trial runs, keeping freed memory; the peers too", ""]
        lines += [*table(kept, VOLUMES), "", *table(compare(in_2d), SLICES), ""]
    gain = statistics.median(installed[MONAI].cpu) / statistics.median(kept[VOLUMES].cpu)
    lines += [
        "3D as a trial runs, against MONAI's CacheDataset and DataLoader as they are installed: "
        f"{gain:.2f}"
    ]
    about = (
        f"Random batches of {CASES} cases at {EDGE}^3, one thread; the maps are shared by all "
        "trials of a node"
    )
    keep("batches", about, lines)


if __name__ == "__main__":
    main()
