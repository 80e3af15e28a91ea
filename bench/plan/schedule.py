"""The wall time of parallel trials: each starts, in the order in which they become due, as soon as
it may and fits.
"""

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

# Three thirds of a GPU must sum to one GPU.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTrial:
    """A trial to schedule: its seconds, the share of a slot that it takes, and the positions of the
    earlier trials that it waits for.
    """

    seconds: float
    share: float = 1.0
    after: tuple[int, ...] = ()


def wall_seconds(trials: Sequence[ScheduledTrial], slots: float) -> float:
    """Seconds until the last trial ends on so many slots. Of the trials that may run, the first
    that fits starts.

    A share above all slots counts as all of them. 0 without trials.
    """
    waits = [len(trial.after) for trial in trials]
    followers: list[list[int]] = [[] for _ in trials]
    for number, trial in enumerate(trials):
        for before in trial.after:
            followers[before].append(number)
    ready = [number for number, count in enumerate(waits) if count == 0]
    running: list[tuple[float, int]] = []
    now, free = 0.0, float(slots)
    while ready or running:
        for number in list(ready):
            share = min(trials[number].share, slots)
            if share <= free + ROUNDING:
                free -= share
                ready.remove(number)
                heapq.heappush(running, (now + trials[number].seconds, number))
        now, ended = heapq.heappop(running)
        free += min(trials[ended].share, slots)
        for number in followers[ended]:
            waits[number] -= 1
            if waits[number] == 0:
                bisect.insort(ready, number)
    return now
