"""The cost of each configuration: device time, memory and size, with its validation Dice; and the
Pareto front.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.analysis.context import Context
from trials.records.result import TrialResult
from trials.records.spec import TUNE

HOURS = {"cuda": "GPU-hours", "cpu": "core-hours"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One configuration: validation Dice (mean of classes, native grid) and what it takes to train.

    seconds is the mean duration of a final training, hours its mean device time, search_hours the
    device time of its whole study, peak_gib the largest of its trainings; case_seconds and case_gib
    are the mean seconds of predicting a case and the largest memory while cases are predicted, None
    in results of versions that did not record them; parameters and what is read from one are equal
    in all its trainings.
    """

    i: int
    dice: float
    seconds: float
    hours: float
    search_hours: float
    peak_gib: float
    case_seconds: float | None = None
    case_gib: float | None = None
    one: TrialResult

    @property
    def parameters(self) -> float:
        return float(self.one.num_parameters)


def costs_of(context: Context) -> list[Cost]:
    """Every configuration with a validation score, in the order of the grid."""
    if context.selection is None:
        return []
    costs = []
    for i, cell in enumerate(context.run.cells):
        mine = [result for result in context.run.finals if result.spec.cell == cell]
        dice = float(context.selection.validation[i])
        if mine and not math.isnan(dice):
            search = [
                result
                for result in context.run.results
                if result.spec.cell == cell and result.spec.phase == TUNE
            ]
            costs.append(
                Cost(
                    i=i,
                    dice=dice,
                    seconds=sum(result.seconds for result in mine) / len(mine),
                    hours=sum(map(device_hours, mine)) / len(mine),
                    search_hours=sum(map(device_hours, search)),
                    peak_gib=max(result.peak_gib for result in mine),
                    case_seconds=mean_of(facts_of(mine, "prediction_seconds_a_case")),
                    case_gib=max(facts_of(mine, "prediction_peak_gib"), default=None),
                    one=mine[0],
                )
            )
    return costs


def facts_of(results: Sequence[TrialResult], name: str) -> list[float]:
    """A number that results recorded among their facts, of those that did."""
    found = [result.facts.get(name) for result in results]
    return [float(value) for value in found if isinstance(value, int | float)]


def mean_of(values: Sequence[float]) -> float | None:
    """The mean, None of nothing."""
    return sum(values) / len(values) if values else None


def device_hours(result: TrialResult) -> float:
    """Hours multiplied by the share of a GPU, or the number of cores, that a trial used."""
    on_gpu = result.facts.get("device_type") == "cuda"
    threads = result.facts.get("threads", 1)
    held = (
        result.spec.recipe.gpu_share
        if on_gpu
        else float(threads)
        if isinstance(threads, int)
        else 1.0
    )
    return result.seconds / 3600 * held


def pareto_front(costs: Sequence[Cost], of: Callable[[Cost], float]) -> list[Cost]:
    """The Pareto front, the cheapest first: no other configuration reaches their Dice at the same
    or a lower cost.
    """
    kept: list[Cost] = []
    for cost in sorted(costs, key=lambda cost: (of(cost), -cost.dice, cost.i)):
        if not kept or cost.dice > kept[-1].dice:
            kept.append(cost)
    return kept


def unit_of(costs: list[Cost]) -> tuple[float, str]:
    """The factor and unit in which device time is shown: hours, or less for short trainings; GPU or
    core by where the trials ran.
    """
    kinds = {HOURS.get(str(cost.one.facts.get("device_type")), "hours") for cost in costs}
    name = kinds.pop() if len(kinds) == 1 else "hours"
    longest = max(cost.hours for cost in costs)
    factor, word = (
        (1.0, "hours")
        if longest >= 1
        else (60.0, "minutes")
        if longest >= 1 / 60
        else (3600.0, "seconds")
    )
    return factor, name.replace("hours", word)
