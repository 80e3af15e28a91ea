"""A whole data set prepared: by one worker and by two, and verified by a second run.

`python -m benchmarks.prepare_set [CASES]` makes as many phantoms as KiTS23 has cases, 489, and brings each to the cube of the
full grid: 3 GB on disk.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.compare import keep
from trials.data.cache import prepare_dataset
from trials.data.datasets import Dataset, open_dataset
from trials.data.phantoms import write_phantoms
from trials.spec import Preparation

PREPARATION = Preparation(cube=128)


def seconds(dataset: Dataset, cache: Path, workers: int) -> float:
    """Wall seconds of one run of prepare."""
    started = time.perf_counter()
    prepare_dataset(dataset, PREPARATION, cache, workers=workers)
    return time.perf_counter() - started


def main() -> None:
    """Print and keep the seconds."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 489
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        few, all_cases = place / "few", place / "all"
        write_phantoms(few, number // 8, 0)
        write_phantoms(all_cases, number, 0)
        by_workers = {workers: seconds(open_dataset("phantoms", few), place / f"cache{workers}", workers) for workers in (1, 2)}
        first, again = (seconds(open_dataset("phantoms", all_cases), place / "cache", os.cpu_count() or 1) for _ in range(2))
        size = sum(path.stat().st_size for path in (place / "cache").rglob("*") if path.is_file()) / 1e9
    lines = [f"{number // 8} cases, {workers} at a time: {spent:8.1f} s" for workers, spent in by_workers.items()]
    lines += [
        f"ratio: {by_workers[1] / by_workers[2]:.2f}",
        "",
        f"{number} cases, {size:.2f} GB, first run:  {first:8.1f} s",
        f"{number} cases, second run, every byte verified: {again:.1f} s",
    ]
    keep("prepare_set", f"Phantoms brought to {PREPARATION.cube}^3", lines)


if __name__ == "__main__":
    main()
