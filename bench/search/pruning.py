"""Successive halving within one study: what a trial must have reached after 1, 3, 9, ...
validations to go on; pure.
"""

from collections.abc import Iterator, Sequence

from trials.records.job import Rung

# Of the trials that reached a rung the best third goes on, and the next rung is three times as far.
# Li et al. 2020.
ETA = 3


def rungs(curves: Sequence[Sequence[float]], epochs: int, every: int = 1) -> tuple[Rung, ...]:
    """The rungs of a study's next trial, from the validation scores of the trials before it, one
    every so many epochs.

    A trial stands at a rung with the best of its scores up to it, and goes on where it is among the
    best third of those that got there, itself counted; equal scores go on. The first two at a rung
    always do, so a study's first trial is never pruned. epochs is the length of a whole trial; its
    last epoch is no rung.
    """
    return tuple(_rungs(curves, epochs, every))


def _rungs(curves: Sequence[Sequence[float]], epochs: int, every: int) -> Iterator[Rung]:
    number = 1
    while number * every < epochs:
        reached = sorted(
            (max(curve[:number]) for curve in curves if len(curve) >= number), reverse=True
        )
        places = (len(reached) + 1) // ETA
        if places:
            yield Rung(epochs=number * every, least=reached[places - 1])
        number *= ETA
