"""A grid through the real command in a process of its own, and what its results say of when each
trial computed.
"""

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.machine import python

# What a driver that is told to end may take for its report.
END_SECONDS = 10.0


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A trial by the machine's clock: its first step, and when its result lay on disk."""

    first_step: float
    end: float


def bench_run(grid: str, folder: Path, seconds: float) -> bool:
    """Run a grid into folder/out; False where the time was not enough or the command failed, with
    its last lines printed.
    """
    command = python(
        "bench.run", "--grid", grid, "--out", folder / "out", "--cache", folder / "cache"
    )
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            code = process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            code = stopped(process)
    if code:
        print("\n".join((folder / "said.txt").read_text().splitlines()[-20:]))
    return code == 0


def stopped(process: subprocess.Popen) -> int:
    """End a driver, twice told so that it ends at once; its exit code."""
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(END_SECONDS / 2)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    return process.wait()


def results(out: Path) -> dict[Path, dict]:
    """Every result of a run folder by its path."""
    return {path: json.loads(path.read_text()) for path in out.glob("trials/*/result.json")}


def spans(out: Path) -> list[Span]:
    """The complete trials of a run folder by their first steps: a result is written when its trial
    has ended.
    """
    found = []
    for path, result in results(out).items():
        if result["state"] == "COMPLETE":
            end = path.stat().st_mtime
            found.append(
                Span(
                    first_step=end - result["seconds"] + result["facts"]["seconds_to_first_step"],
                    end=end,
                )
            )
    return sorted(found)
