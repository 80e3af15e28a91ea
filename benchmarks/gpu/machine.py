"""The GPU that is measured: its name and versions for a stamp, waiting for it, and the times
between two marks.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import torch

from trials.inference.network import pick_device
from trials.process.versions import processor_name


def stamp() -> str:
    """Date, GPU or processor, and the versions on which a time depends."""
    parts = [f"{datetime.now(UTC):%Y-%m-%d}"]
    if torch.cuda.is_available():
        parts += [torch.cuda.get_device_name(), f"driver {driver()}"]
        parts += [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}"]
    parts += [
        f"torch {torch.__version__}",
        f"Python {platform.python_version()}",
        processor_name(),
        f"{os.cpu_count()} cores",
    ]
    return ", ".join(parts)


def driver() -> str:
    """The version of the GPU's driver, "unknown" where nvidia-smi is not to be had."""
    if not shutil.which("nvidia-smi"):
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True).stdout.split()
    return found[0] if found else "unknown"


def synchronise() -> None:
    """Wait until the GPU has done all it was given; nothing on a CPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(way: Callable[[], None]) -> float:
    """Seconds that a call takes until the GPU is done with it."""
    synchronise()
    started = time.perf_counter()
    way()
    synchronise()
    return time.perf_counter() - started


@dataclass(slots=True)
class Marks:
    """Moments on the GPU's own clock, which the processor does not wait for; on a CPU those of the
    processor.
    """

    device: torch.device = field(default_factory=pick_device)
    moments: list = field(default_factory=list)

    def mark(self) -> None:
        """Note that the GPU has come here."""
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.moments.append(event)
        else:
            self.moments.append(time.perf_counter())

    def milliseconds(self) -> list[float]:
        """The times between neighbouring marks."""
        synchronise()
        pairs = pairwise(self.moments)
        if self.device.type == "cuda":
            return [before.elapsed_time(after) for before, after in pairs]
        return [1000 * (after - before) for before, after in pairs]


def python(*arguments: object) -> list[str]:
    """The command that runs a module of this package with this interpreter."""
    return [sys.executable, "-m", *map(str, arguments)]
