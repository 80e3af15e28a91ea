"""One Optuna study per cell: its next proposal, and the score that a trial must reach after 1, 3,
9, ... validations to continue. Both from the finished trials of the cell only.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from bench.spaces import Range
from trials.records.job import Rung
from trials.records.result import COMPLETE, FAILED, PRUNED, TrialResult, headline
from trials.records.spec import Hyper

STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A finished trial of a study: its state, its best validation score (None if it failed), and
    the score of each validation.
    """

    hyper: Hyper
    state: str
    score: float | None
    curve: tuple[float, ...] = ()


def propose(
    study_name: str, number: int, space: Mapping[str, Range], tried: Sequence[Tried]
) -> dict[str, float]:
    """The number-th setting of a study by TPE. Equal histories give equal proposals, on any machine
    and after any restart.

    The study is rebuilt from its trials at each call, so no Optuna state can be lost or damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = distributions_of(space)
    seed = int.from_bytes(hashlib.sha256(f"{study_name}/{number}".encode()).digest()[:4], "big")
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5)
    study = optuna.create_study(direction="maximize", sampler=sampler, study_name=study_name)
    for trial in tried:
        study.add_trial(frozen_trial(trial, distributions))
    asked = study.ask(distributions)
    return {name: _value(asked.params[name], space[name]) for name in space}


def distributions_of(space: Mapping[str, Range]) -> dict[str, BaseDistribution]:
    """A search space as Optuna distributions."""
    return {name: _distribution(bounds) for name, bounds in space.items()}


def frozen_trial(
    trial: Tried, distributions: Mapping[str, BaseDistribution]
) -> optuna.trial.FrozenTrial:
    """A finished trial as an Optuna FrozenTrial; a pruned trial has its last score, as in
    Study.tell.

    A default may lie outside its search range: Optuna then uses only the parameters inside.
    """
    inside = {
        name: value
        for name, value in trial.hyper.items()
        if name in distributions
        and not isinstance(value, tuple)
        and distributions[name]._contains(value)
    }
    state = STATES[trial.state]
    return optuna.trial.create_trial(
        state=state,
        value=trial.score
        if state == TrialState.COMPLETE
        else trial.curve[-1]
        if state == TrialState.PRUNED
        else None,
        params=inside,
        distributions={name: distributions[name] for name in inside},
        intermediate_values=dict(enumerate(trial.curve, 1)),
    )


def _distribution(bounds: Range) -> BaseDistribution:
    if bounds.integer:
        return IntDistribution(int(bounds.low), int(bounds.high), log=bounds.log)
    return FloatDistribution(bounds.low, bounds.high, log=bounds.log)


def _value(value: float, bounds: Range) -> float:
    """The value with six significant digits, which is easy to read and to type."""
    return (
        float(value) if bounds.integer else min(bounds.high, max(bounds.low, float(f"{value:.6g}")))
    )


def tried_of(result: TrialResult) -> Tried:
    """A finished trial in the form that a study uses."""
    curve = tuple(headline(epoch.val_dice) for epoch in result.curve if epoch.val_dice)
    return Tried(hyper=result.spec.hyper, state=result.state, score=result.val_score, curve=curve)


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
