"""Random batches from the prepared set, against MONAI's CacheDataset (3D) and against one file a slice (2D)."""

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, ThreadDataLoader
from monai.transforms import Compose, EnsureTyped, Lambdad

from benchmarks.compare import compare, keep, table
from trials.data.cache import Cache, open_cache, prepare_dataset
from trials.data.datasets import open_dataset
from trials.data.loading import Items, slice_items, volume_items
from trials.data.phantoms import write_phantoms
from trials.data.slices import export_slices
from trials.spec import Preparation

CASES, EDGE = 32, 128


def epoch(items: Items, order: np.ndarray, batch_size: int) -> None:
    """Every item of an order, in batches of float32 images."""
    for start in range(0, len(order), batch_size):
        images, _ = items.batch(order[start : start + batch_size])
        images.float()


def monai_epoch(loader: DataLoader) -> None:
    """Every case as MONAI hands it out."""
    for _ in loader:
        pass


def read_slices(paths: Sequence[tuple[Path, Path]], forget: Callable[[Path], None] | None = None) -> None:
    """A batch of slices from a file each, as the study keeps them."""
    if forget:
        for pair in paths:
            for path in pair:
                forget(path)
    torch.from_numpy(np.stack([np.load(image) for image, _ in paths]))
    torch.from_numpy(np.stack([np.load(mask) for _, mask in paths]))


def forget(path: Path) -> None:
    """Drop a file's pages from the kernel's cache, so that the next read goes to the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold(items: Items, order: np.ndarray, files: Sequence[Path]) -> None:
    """A batch after the set's pages were dropped."""
    for path in files:
        forget(path)
    epoch(items, order, len(order))


def prepared(place: Path) -> Cache:
    """Phantoms at the study's cube."""
    write_phantoms(place / "phantoms", CASES, 0)
    return open_cache(prepare_dataset(open_dataset("phantoms", place / "phantoms"), Preparation(cube=EDGE), place / "cache"))


def volumes(cache: Cache, order: np.ndarray) -> list[str]:
    """3D: every case once, four at a time."""
    cases = list(cache.cases)
    as_float = Compose([EnsureTyped(["image", "labels"]), Lambdad("image", lambda image: image.float())])
    rows = [{"image": np.array(cache.image(case))[None], "labels": np.array(cache.labels(case))[None]} for case in cases]
    held = CacheDataset(rows, as_float, progress=False)
    ways = {
        "ours, 32 volumes by 4": partial(epoch, volume_items(cache, cases), order, 4),
        "MONAI CacheDataset + DataLoader": partial(monai_epoch, DataLoader(held, batch_size=4, shuffle=True)),
        "MONAI CacheDataset + ThreadDataLoader": partial(monai_epoch, ThreadDataLoader(held, batch_size=4, shuffle=True)),
    }
    return table(compare(ways), "ours, 32 volumes by 4")


def slices_warm_and_cold(cache: Cache, place: Path, generator: np.random.Generator) -> list[str]:
    """2D: 64 random slices, with everything in memory, and with nothing."""
    export_slices(cache, place / "slices")
    items = slice_items(cache, list(cache.cases), "axial")
    chosen = generator.choice(len(items.index), 64, replace=False)
    names = [f"{list(cache.cases)[case]}_slice_{number:03d}.npy" for case, number in items.index[chosen]]
    pairs = [(place / "slices/axial/images" / name, place / "slices/axial/masks" / name) for name in names]
    files = [cache.folder.parent / "cases" / name for record in cache.cases.values() for name in record.arrays]
    warm: dict[str, Callable[[], object]] = {
        "ours, 64 slices": partial(epoch, items, chosen, 64),
        "one .npy a slice": partial(read_slices, pairs),
    }
    fresh: dict[str, Callable[[], object]] = {
        "ours, 64 slices, pages dropped": partial(cold, items, chosen, files),
        "one .npy a slice, pages dropped": partial(read_slices, pairs, forget),
    }
    return [*table(compare(warm, 15), "ours, 64 slices"), "", *table(compare(fresh), "ours, 64 slices, pages dropped")]


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        cache = prepared(Path(name))
        lines = [*volumes(cache, generator.permutation(CASES)), "", *slices_warm_and_cold(cache, Path(name), generator)]
    keep(
        "batches",
        f"Random batches of {CASES} cases at {EDGE}^3, one thread; the maps are shared by all trials of a node",
        lines,
    )


if __name__ == "__main__":
    main()
