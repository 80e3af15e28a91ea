"""Processes that prepare the same data at once, one of them killed at a random moment: no final
file is ever unreadable, and the others succeed.

python -m benchmarks.prepare_kills [NUMBER]. Children are forked after the imports and killed by the
system. The files are read while the others still prepare; the cache stays from one kill to the
next where one prepares alone, and is emptied otherwise. Linux only.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.small_data import write_small_data
from benchmarks.write_faults import check, finals
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import Dataset
from trials.data.prepared.cache import prepare_dataset
from trials.records.spec import Cube

PREPARERS = 3
SMALL = Cube(edge=16)


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


def read(cache: Path, counts: Counter[str]) -> None:
    """Read every final file with its own reader."""
    for path in finals(cache):
        counts["read"] += 1
        try:
            check(path)
        except (ValueError, AssertionError, OSError):
            counts["unreadable"] += 1


def count_kills(number: int, preparers: int = PREPARERS, seed: int = 0) -> Counter[str]:
    """Kill that many preparations: how many were `killed`, how many neighbours of theirs `failed`,
    how many final files were `read` beside and after them, and how many were `unreadable`.
    """
    chance, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        dataset = open_dataset("phantoms", write_small_data(place / "data", 4))
        seconds, cache = measured(dataset, place / "first"), place / "cache"
        while counts["killed"] < number:
            # The victim starts last: in a large process a fork takes as long as preparing.
            *others, victim = (start(dataset, cache) for _ in range(preparers))
            time.sleep(chance.uniform(0, seconds))
            os.kill(victim, signal.SIGKILL)
            was_killed = os.waitpid(victim, 0)[1] != 0
            read(cache, counts)
            counts["failed"] += sum(os.waitpid(other, 0)[1] != 0 for other in others)
            read(cache, counts)
            counts["killed"] += was_killed
            if others or not was_killed:
                shutil.rmtree(cache)
    return counts


def main(number: int) -> int:
    """Print the counts; the exit code is 1 if a file could not be read or a neighbour failed."""
    alone, beside = count_kills(number // 2, 1), count_kills(number - number // 2)
    for preparers, counts in ((1, alone), (PREPARERS, beside)):
        print(
            f"{preparers} at once: {counts['killed']} kills, {counts['failed']} others failed; "
            f"{counts['read']} final files read: {counts['unreadable']} unreadable"
        )
    return any(counts["failed"] or counts["unreadable"] for counts in (alone, beside))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
