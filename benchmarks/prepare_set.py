"""A whole data set prepared by `segbench prepare`: by one worker and by two, and verified by a second run.

How much faster two processes of this machine are than one is shown by inflating the same files, which shares nothing.
`python -m benchmarks.prepare_set [CASES]` makes as many phantoms as KiTS23 has cases, 489, and brings each to the cube of the
full grid: 6 GB on disk.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from isal import igzip

from benchmarks.compare import keep
from trials.data.phantoms import write_phantoms

EDGE = 128


def seconds(data: Path, cache: Path, workers: int) -> float:
    """Wall seconds of one run of prepare, its start included."""
    segbench = Path(sys.executable).with_name("segbench")
    started = time.perf_counter()
    command = [segbench, "prepare", "phantoms", data, "--cache", cache, "--cube", EDGE, "--workers", workers]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return time.perf_counter() - started


def inflated(path: Path) -> None:
    """A file through ISA-L, and nothing else."""
    with igzip.open(path, "rb") as stream:
        while stream.read(1 << 16):
            pass


def inflating(data: Path, workers: int) -> float:
    """Wall seconds of inflating every image and mask in that many processes, five times over."""
    paths = sorted(data.rglob("*.nii.gz")) * 5
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(inflated, paths[:workers]))
        started = time.perf_counter()
        list(pool.map(inflated, paths, chunksize=16))
    return time.perf_counter() - started


def main() -> None:
    """Print and keep the seconds."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 489
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        data = place / "data"
        write_phantoms(data, number, 0)
        one, two = seconds(data, place / "one", 1), seconds(data, place / "two", 2)
        again = seconds(data, place / "two", 2)
        bound = inflating(data, 1) / inflating(data, 2)
        size = sum(path.stat().st_size for path in (place / "two").rglob("*") if path.is_file()) / 1e9
    lines = [
        f"one worker           {one:8.1f} s",
        f"two workers          {two:8.1f} s, their start included; {one / two:.2f} times as fast",
        f"inflating alone      {bound:8.2f} times as fast in two processes as in one",
        f"again, two workers   {again:8.1f} s, every byte of {size:.2f} GB verified",
    ]
    keep("prepare_set", f"{number} phantoms brought to {EDGE}^3", lines)


if __name__ == "__main__":
    main()
