"""Ways of doing the same thing, timed against each other in one process: interleaved rounds,
medians, ratios, memory.

Every script of this folder prints its table and keeps it as text in results/, with the date and the
processor.
"""

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from trials.process.versions import processor_name

RESULTS = Path(__file__).parent / "results"
MIB = 2**20


@dataclass(slots=True)
class Measured:
    """What the rounds of one way cost: wall and processor seconds each, and the most extra memory
    of any.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mib: float = 0.0


def compare(ways: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, Measured]:
    """Run every way once to warm up, then in rounds, one after the other, so that a busy minute
    falls on all alike.
    """
    measured = {name: Measured() for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            once(way, measured[name])
    return measured


def once(way: Callable[[], object], into: Measured) -> None:
    """Time one call and note its extra memory (Linux; elsewhere 0)."""
    gc.collect()
    before = reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    into.cpu.append(time.process_time() - cpu)
    into.wall.append(time.perf_counter() - wall)
    into.peak_mib = max(into.peak_mib, memory("VmHWM") - before)


def reset_peak() -> float:
    """Start this process's peak anew and return what it holds now, in MiB."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str) -> float:
    """A line of /proc/self/status in MiB; 0 where there is none."""
    if sys.platform != "linux":
        return 0.0
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def table(measured: Mapping[str, Measured], ours: str) -> list[str]:
    """Lines of a table: median milliseconds of processor and wall, the ratio of processor time to
    ours, extra memory.
    """
    own = statistics.median(measured[ours].cpu)
    lines = [f"{'way':52} {'cpu ms':>9} {'wall ms':>9} {'ratio':>7} {'extra MiB':>10}"]
    for name, seen in measured.items():
        cpu, wall = statistics.median(seen.cpu), statistics.median(seen.wall)
        lines.append(
            f"{name:52} {1000 * cpu:9.2f} {1000 * wall:9.2f} {cpu / own:7.2f} {seen.peak_mib:10.1f}"
        )
    return lines


def keep(subject: str, about: str, lines: Sequence[str]) -> None:
    """Print a result and write it to results/SUBJECT.txt with the date, the processor and the load
    of the machine.
    """
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, {processor_name()}, {os.cpu_count()} cores, load {load}"
    text = "\n".join([about, stamp, "", *lines, ""])
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{subject}.txt").write_text(text)
