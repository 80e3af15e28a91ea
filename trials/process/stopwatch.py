"""Seconds that a device spends inside `with` blocks, measured without synchronising it with the
CPU.
"""

import time

import torch


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
