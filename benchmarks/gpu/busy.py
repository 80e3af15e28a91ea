"""How busy the GPU is, asked every 100 ms beside whatever runs: by pynvml where it is installed,
else by nvidia-smi.
"""

import importlib.util
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

PERIOD_SECONDS = 0.1

# By the clock of time.time(), percent of the last period in which the GPU computed.
Sample = tuple[float, float]


@contextmanager
def watching() -> Iterator[list[Sample]]:
    """Samples of the first GPU that this process sees, as they come in; none where
    nothing tells."""
    samples: list[Sample] = []
    ended = threading.Event()
    ask = None
    if torch.cuda.is_available():
        name = f"GPU-{torch.cuda.get_device_properties(0).uuid}".replace("GPU-GPU-", "GPU-")
        if importlib.util.find_spec("pynvml"):
            ask = threading.Thread(target=ask_nvml, args=(name, samples, ended))
        elif shutil.which("nvidia-smi"):
            ask = threading.Thread(target=ask_nvidia_smi, args=(name, samples, ended))
    if ask:
        ask.start()
    try:
        yield samples
    finally:
        ended.set()
        if ask:
            ask.join()


def ask_nvml(name: str, samples: list[Sample], ended: threading.Event) -> None:
    """Ask the driver's library itself."""
    import pynvml

    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByUUID(name)
    while not ended.wait(PERIOD_SECONDS):
        samples.append((time.time(), float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)))


def ask_nvidia_smi(name: str, samples: list[Sample], ended: threading.Event) -> None:
    """Read what nvidia-smi prints every 100 ms; lines that are no number, as of a GPU that does not
    tell, are passed over.
    """
    fields = [
        "--query-gpu=utilization.gpu",
        "--format=csv,noheader,nounits",
        f"-lms={int(1000 * PERIOD_SECONDS)}",
    ]
    process = subprocess.Popen(
        ["nvidia-smi", f"--id={name}", *fields], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().isdecimal():
            samples.append((time.time(), float(line)))
        if ended.is_set():
            break
    process.terminate()
    process.communicate()


def busy_percent(samples: Sequence[Sample], begin: float, end: float) -> float:
    """The mean of the samples between two moments. Raises ValueError where there is none."""
    within = [percent for moment, percent in samples if begin <= moment <= end]
    if not within:
        raise ValueError(
            "no sample of the GPU's use; install nvidia-ml-py, or nvidia-smi with the driver"
        )
    return sum(within) / len(within)
