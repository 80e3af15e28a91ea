"""A whole data set prepared by `segbench prepare`: by one worker and by two, and verified by a
second run.

How much faster two processes of this machine are than one is shown by inflating the same files,
which shares nothing. `python -m benchmarks.prepare_set` makes as many phantoms as KiTS23 has cases,
489, and brings each to the cube of the full grid: 6 GB on disk. `--data FOLDER` takes the cases of
KiTS23's layout in a folder instead.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from isal import igzip

from benchmarks.compare import keep
from trials.data.datasets.phantoms.writing import write_phantoms

EDGE = 128


def seconds(kind: str, data: Path, cache: Path, workers: int) -> float:
    """Wall seconds of one run of prepare, its start included."""
    segbench = Path(sys.executable).with_name("segbench")
    started = time.perf_counter()
    command = [
        segbench,
        "prepare",
        kind,
        data,
        "--cache",
        cache,
        "--cube",
        EDGE,
        "--workers",
        workers,
    ]
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


def measured(kind: str, data: Path, place: Path) -> list[str]:
    """The table of one data set, whose caches go to a place."""
    one, two = seconds(kind, data, place / "one", 1), seconds(kind, data, place / "two", 2)
    again = seconds(kind, data, place / "two", 2)
    bound = inflating(data, 1) / inflating(data, 2)
    size = sum(path.stat().st_size for path in (place / "two").rglob("*") if path.is_file()) / 1e9
    return [
        f"one worker           {one:8.1f} s",
        f"two workers          {two:8.1f} s, their start included; {one / two:.2f} times as fast",
        f"inflating alone      {bound:8.2f} times as fast in two processes as in one",
        f"again, two workers   {again:8.1f} s, every byte of {size:.2f} GB verified",
    ]


def main() -> None:
    """Print and keep the seconds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=489, help="how many phantoms to make")
    options.add_argument(
        "--data", type=Path, help="a folder of KiTS23's layout, instead of phantoms"
    )
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if chosen.data:
            lines = measured("kits23", chosen.data, place)
            keep(
                "prepare_set_kits23",
                f"{len(list(chosen.data.glob('case_*')))} cases brought to {EDGE}^3",
                lines,
            )
        else:
            write_phantoms(place / "data", chosen.cases, 0)
            lines = measured("phantoms", place / "data", place)
            keep("prepare_set", f"{chosen.cases} phantoms brought to {EDGE}^3", lines)


if __name__ == "__main__":
    main()
