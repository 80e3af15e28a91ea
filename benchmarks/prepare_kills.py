"""`prepare` killed at random moments: no final file is ever unreadable.

python -m benchmarks.prepare_kills [NUMBER]. Children are forked after the imports and killed by the
system; the cache stays from one kill to the next, and is emptied once it is complete. Linux only.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.small_data import write_small_data
from benchmarks.write_faults import check, finals
from trials.data.datasets.registry import Dataset, open_dataset
from trials.data.prepared.cache import prepare_dataset
from trials.records.spec import Preparation

SMALL = Preparation(cube=16)


def start(dataset: Dataset, cache: Path) -> int:
    """Prepare in a child; its process number."""
    child = os.fork()
    if not child:
        code = 1
        try:
            prepare_dataset(dataset, SMALL, cache, workers=1)
            code = 0
        finally:
            os._exit(code)
    return child


def measured(dataset: Dataset, cache: Path) -> float:
    """Seconds that an undisturbed preparation takes."""
    started = time.monotonic()
    assert os.waitpid(start(dataset, cache), 0)[1] == 0
    return time.monotonic() - started


def count_kills(number: int, seed: int = 0) -> tuple[int, int, int]:
    """Kill that many preparations; how many were killed, how many final files were read since, how
    many could not be.
    """
    chance = random.Random(seed)
    killed = read = unreadable = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        dataset = open_dataset("phantoms", write_small_data(place / "data", 4))
        seconds = measured(dataset, place / "first")
        cache = place / "cache"
        while killed < number:
            child = start(dataset, cache)
            time.sleep(chance.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            if os.waitpid(child, 0)[1] == 0:
                shutil.rmtree(cache)
                continue
            killed += 1
            for path in finals(cache):
                read += 1
                try:
                    check(path)
                except (ValueError, AssertionError, OSError):
                    unreadable += 1
    return killed, read, unreadable


def main(number: int) -> int:
    """Print the counts; the exit code is 1 if a file could not be read."""
    killed, read, unreadable = count_kills(number)
    print(f"{killed} kills, {read} final files read after them: {unreadable} unreadable")
    return bool(unreadable)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
