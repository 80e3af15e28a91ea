"""A whole data set prepared: by one worker and by two, and verified by a second run.

`python -m benchmarks.prepare_set [CASES]` makes as many phantoms as KiTS23 has cases, 489, and brings each to the cube of the
full grid: 6 GB on disk.
"""

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
        write_phantoms(place / "data", number, 0)
        dataset = open_dataset("phantoms", place / "data")
        one = seconds(dataset, place / "one", 1)
        two = seconds(dataset, place / "two", 2)
        again = seconds(dataset, place / "two", 2)
        size = sum(path.stat().st_size for path in (place / "two").rglob("*") if path.is_file()) / 1e9
    lines = [
        f"one worker           {one:8.1f} s",
        f"two workers          {two:8.1f} s, their start included; {one / two:.2f} times as fast",
        f"again, two workers   {again:8.1f} s, every byte of {size:.2f} GB verified",
    ]
    keep("prepare_set", f"{number} phantoms brought to {PREPARATION.cube}^3", lines)


if __name__ == "__main__":
    main()
