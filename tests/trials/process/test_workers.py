"""Worker processes keep the memory of one case for the next, and do not outlive the process that
started them.
"""

import os
import platform
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from trials.process.workers import run_on_cases

PARENT = """
import os, time
from trials.process.workers import run_on_cases

class One:
    def __init__(self, case):
        self.case = case

def wait(case):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once, or two workers' lines could mix
    time.sleep(600)

if __name__ == "__main__":
    run_on_cases([One("a"), One("b")], wait, 2, lambda: None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    environment = os.environ | {"PYTHONPATH": root}
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    )
    workers = [int(parent.stdout.readline()) for _ in range(2)]

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()

    # Both held the pipe's other end; it closes when the last of them is gone.
    assert parent.stdout.read() == ""
    assert all(is_gone(worker) for worker in workers)


@dataclass(frozen=True)
class Turn:
    """One piece of work."""

    case: str


def new_pages(turn):
    """How many pages the system had to give for as many bytes each time."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"." * 64 * 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(
    "glibc" not in platform.libc_ver(), reason="only glibc can be told to keep what is freed"
)
def test_a_worker_hands_the_memory_of_a_case_to_the_next():
    turns = [Turn(f"{number}") for number in range(6)]

    pages = run_on_cases(turns, new_pages, 2, lambda: None).values()

    # 64 MiB are 16,384 pages: each of the two workers takes them once.
    assert sum(count > 8000 for count in pages) <= 2


def is_gone(process):
    """Whether a process has ended; one that nobody has waited for yet has ended too."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{process}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (
            FileNotFoundError,
            ProcessLookupError,
        ):  # before it was opened, or before it was read
            return True
    return False
