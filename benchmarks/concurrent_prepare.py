"""Eight processes prepare the same data at once while others read: every one succeeds, and no read
fails.

python -m benchmarks.concurrent_prepare [ROUNDS]. Each round starts with an empty cache. Linux only:
it forks.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.prepare_kills import start
from benchmarks.small_data import write_small_data
from benchmarks.write_faults import check, finals
from trials.data.datasets.registry import open_dataset

PREPARERS = 8


def count_reads(rounds: int, preparers: int = PREPARERS) -> tuple[int, int, int]:
    """How many preparations failed, how many final files were read while they ran and after, how
    many of these could not be.
    """
    failed = read = unreadable = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        dataset = open_dataset("phantoms", write_small_data(place / "data", 4))
        for number in range(rounds):
            cache = place / str(number)
            running = {start(dataset, cache) for _ in range(preparers)}
            while True:
                is_last = not running
                for path in finals(cache):
                    read += 1
                    try:
                        check(path)
                    except (ValueError, AssertionError, OSError):
                        unreadable += 1
                if is_last:
                    break
                child, status = os.waitpid(-1, os.WNOHANG)
                if child in running:
                    running.remove(child)
                    failed += status != 0
    return failed, read, unreadable


def main(rounds: int) -> int:
    """Print the counts; the exit code is 1 if anything failed."""
    failed, read, unreadable = count_reads(rounds)
    print(
        f"{rounds} rounds of {PREPARERS} preparers: {failed} failed; {read} reads beside them: "
        f"{unreadable} failed"
    )
    return bool(failed or unreadable)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
