"""Where a trial runs: device, threads, total memory and peak memory; and the seconds that a device
spends, measured without synchronising it with the CPU.
"""

import ctypes
import functools
import gc
import os
import platform
import resource
import sys
import time
from pathlib import Path

import torch

from trials.process.versions import processor_name
from trials.process.workers import keep_freed_memory

GIB = 2**30


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def machine_facts(device: torch.device, autocast: torch.dtype | None) -> dict[str, object]:
    """The machine's properties that may explain an unexpected number."""
    return {
        "device": device_name(device),
        "device_type": device.type,
        "threads": torch.get_num_threads(),
        "precision": str(autocast or torch.float32).removeprefix("torch."),
        "host": platform.node(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def memory_gib(device: torch.device) -> float:
    """Total memory in GiB: the GPU's if there is one, else the machine's."""
    if device.type == "cuda":
        return round(torch.cuda.get_device_properties(device).total_memory / GIB, 1)
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1)


@functools.cache
def freeze_imports() -> None:
    """Exclude imported objects from garbage collection, once per process: they are never freed, and
    traversing them costs a quarter of a second.
    """
    gc.collect()
    gc.freeze()


def reset_peak() -> None:
    """Return freed memory to the system and reset the peak, since worker processes are reused."""
    freeze_imports()
    keep_freed_memory()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def peak_gib(device: torch.device) -> float:
    """Peak memory in GiB since reset_peak: the GPU's if there is one, else the process's."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / GIB, 3)
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(
            int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / GIB, 3
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB, 3)


class Stopwatch:
    """Sums the time of `with stopwatch:` blocks; on a GPU by events that are read once, at the
    end.
    """

    def __init__(self, device: torch.device):
        self._on_card = device.type == "cuda"
        self._seconds = 0.0
        self._started = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __enter__(self) -> None:
        if self._on_card:
            self._events.append((_event(), _event()))
            self._events[-1][0].record()
        else:
            self._started = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        if self._on_card:
            self._events[-1][1].record()
        else:
            self._seconds += time.perf_counter() - self._started

    def seconds(self) -> float:
        """The sum so far; waits for the GPU once."""
        if self._events:
            self._events[-1][1].synchronize()
            self._seconds += sum(begin.elapsed_time(end) for begin, end in self._events) / 1000
            self._events.clear()
        return self._seconds


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)
