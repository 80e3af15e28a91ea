"""Where a trial runs: device, threads, memory that is kept for it, and the most that it took."""

import ctypes
import functools
import gc
import os
import platform
import resource
import sys
from pathlib import Path

import torch

from trials.process.malloc import keep_freed_memory
from trials.process.versions import processor_name

GIB = 2**30


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def machine_facts(device: torch.device, autocast: torch.dtype | None) -> dict[str, object]:
    """What to know of the machine when a number surprises."""
    return {
        "device": device_name(device),
        "device_type": device.type,
        "threads": torch.get_num_threads(),
        "precision": str(autocast or torch.float32).removeprefix("torch."),
        "host": platform.node(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def memory_gib(device: torch.device) -> float:
    """All the memory there is, in GiB: of the GPU where there is one, else of the machine."""
    if device.type == "cuda":
        return round(torch.cuda.get_device_properties(device).total_memory / GIB, 1)
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1)


@functools.cache
def freeze_imports() -> None:
    """Spare the collector what was imported, once a process: it never goes, and to walk it costs a
    quarter of a second.
    """
    gc.collect()
    gc.freeze()


def reset_peak() -> None:
    """Forget what this process did before, since workers are used again: give freed memory back,
    then start the peak anew.
    """
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
    """The most memory since reset_peak, in GiB: of the GPU where there is one, else of the
    process.
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / GIB, 3)
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(
            int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / GIB, 3
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB, 3)
