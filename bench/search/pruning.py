"""Successive halving within one study: the score that a trial must reach after 1, 3, 9, ...
validations to continue. Pure.
"""

from collections.abc import Iterator, Sequence

from trials.records.job import Rung

# The best third of the trials at a rung continues, and the next rung is three times as far. Li et
# al. 2020.
ETA = 3


def rungs(curves: Sequence[Sequence[float]], epochs: int, every: int = 1) -> tuple[Rung, ...]:
    """The rungs of a study's next trial, from the validation scores of the trials before it; every
    is the number of epochs between validations.

    A trial's score at a rung is its best score so far. It continues if it is among the best third
    of the trials that reached the rung, itself included; ties continue. The first two trials at a
    rung always continue, so the first trial of a study is never pruned. epochs is the length of a
    complete trial; its last epoch is not a rung.
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
