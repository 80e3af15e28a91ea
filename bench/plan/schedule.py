"""How long a grid takes side by side: its trials in the order in which they become due, each as
soon as it may and fits.
"""

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

# Three thirds of a GPU are a GPU.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A trial to come: its seconds, the share of a slot that it takes, and which earlier pieces, by
    place, it waits for.
    """

    seconds: float
    share: float = 1.0
    after: tuple[int, ...] = ()


def wall_seconds(pieces: Sequence[Piece], slots: float) -> float:
    """Seconds until the last piece ends on so many slots; of the pieces that may run, the first in
    order that fits starts.

    A share above all slots counts as all of them. 0 for no pieces.
    """
    waits = [len(piece.after) for piece in pieces]
    followers: list[list[int]] = [[] for _ in pieces]
    for number, piece in enumerate(pieces):
        for before in piece.after:
            followers[before].append(number)
    ready = [number for number, count in enumerate(waits) if count == 0]
    running: list[tuple[float, int]] = []
    now, free = 0.0, float(slots)
    while ready or running:
        for number in list(ready):
            share = min(pieces[number].share, slots)
            if share <= free + ROUNDING:
                free -= share
                ready.remove(number)
                heapq.heappush(running, (now + pieces[number].seconds, number))
        now, ended = heapq.heappop(running)
        free += min(pieces[ended].share, slots)
        for number in followers[ended]:
            waits[number] -= 1
            if waits[number] == 0:
                bisect.insort(ready, number)
    return now
