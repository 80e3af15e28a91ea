"""Successive halving within one study: what a trial must have reached after 1, 3, 9, ... epochs to go on; pure."""

from collections.abc import Iterator, Sequence

from trials.job import Rung

# Of the trials that reached a rung the best third goes on, and the next rung is three times as far. Li et al. 2020.
ETA = 3


def rungs(curves: Sequence[Sequence[float]], epochs: int) -> tuple[Rung, ...]:
    """The rungs of a study's next trial, from the validation scores by epoch of the trials before it.

    A trial stands at a rung with the best score of its epochs up to it, and goes on where it is among the best third of
    those that got there, itself counted; equal scores go on. The first two at a rung always do, so a study's first trial is
    never pruned. epochs is the length of a whole trial; its last epoch is no rung.
    """
    return tuple(_rungs(curves, epochs))


def _rungs(curves: Sequence[Sequence[float]], epochs: int) -> Iterator[Rung]:
    epoch = 1
    while epoch < epochs:
        reached = sorted((max(curve[:epoch]) for curve in curves if len(curve) >= epoch), reverse=True)
        places = (len(reached) + 1) // ETA
        if places:
            yield Rung(epochs=epoch, least=reached[places - 1])
        epoch *= ETA
