"""The time that the trials of a run have taken so far, by model, and the time that remains at this
pace.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import count_trials
from bench.grid.resolve import epochs_of, pretrainings
from trials.records.spec import PRETRAIN, TUNE, TrialSpec


@dataclass(slots=True)
class Pace:
    """The time of the finished epochs of a model, and of its finished trials outside their epochs,
    in seconds.
    """

    epochs: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)

    def seconds(self, epochs: float, trials: float) -> float:
        """The expected seconds of so many epochs and trials: the mean per epoch, plus the mean time
        of a trial outside its epochs.
        """
        outside = sum(self.outside) / len(self.outside) if self.outside else 0.0
        return epochs * sum(self.epochs) / len(self.epochs) + trials * outside


class PaceByModel:
    """The pace of each model, updated with every finished epoch and trial."""

    def __init__(self) -> None:
        self.models: dict[str, Pace] = defaultdict(Pace)

    def add_epoch(self, model: str, seconds: float) -> None:
        """Record a finished epoch."""
        self.models[model].epochs.append(seconds)

    def add_trial(self, model: str, epochs: int, seconds: float) -> None:
        """Record a finished trial; the time beyond its epochs counts as time outside them."""
        mean = sum(self.models[model].epochs[-epochs:]) / max(1, epochs)
        self.models[model].outside.append(max(0.0, seconds - epochs * mean))

    def seconds_left(self, left: Mapping[str, tuple[float, float]]) -> float | None:
        """The expected seconds of these epochs and trials of each model, one trial at a time; None
        before the first epoch. A model without a finished epoch gets the mean pace of the others.
        """
        paces = {model: pace for model, pace in self.models.items() if pace.epochs}
        if not paces:
            return None
        usual = Pace(
            [sum(p.epochs) / len(p.epochs) for p in paces.values()],
            [b for p in paces.values() for b in p.outside],
        )
        return sum(paces.get(model, usual).seconds(*amount) for model, amount in left.items())


def work_left(
    queue: TrialQueue, running: Iterable[tuple[TrialSpec, int]]
) -> dict[str, tuple[float, float]]:
    """Remaining epochs and trials of each model; of a running trial, its finished epochs are
    subtracted.
    """
    counts, models, share = (
        count_trials(queue.resolved),
        queue.resolved.models,
        share_trained(queue),
    )
    lengths = {phase: share if phase == TUNE else 1.0 for phase in counts}
    left: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    in_cells = [one.cell.model for one in queue.resolved.cells]
    pretrained = [spec.cell.model for spec in pretrainings(queue.resolved)]
    for phase, count in counts.items():
        wanted = pretrained if phase == PRETRAIN else in_cells
        for model in wanted:
            trials = count / len(wanted)
            left[model][0] += trials * lengths[phase] * epochs_of(models[model], phase)
            left[model][1] += trials
    for result in queue.results.values():
        left[result.spec.cell.model][0] -= lengths[result.spec.phase] * spec_epochs(result.spec)
        left[result.spec.cell.model][1] -= 1
    for spec, epoch in running:
        left[spec.cell.model][0] -= epoch
    return {model: (max(0.0, epochs), max(0.0, trials)) for model, (epochs, trials) in left.items()}


def share_trained(queue: TrialQueue) -> float:
    """The fraction of their epochs that the tuning trials so far have trained: less than 1 if some
    were pruned.
    """
    tuned = [one for one in queue.results.values() if one.spec.phase == TUNE and one.curve]
    whole = sum(spec_epochs(result.spec) for result in tuned)
    return sum(len(result.curve) for result in tuned) / whole if whole else 1.0


def spec_epochs(spec: TrialSpec) -> int:
    """The number of epochs of a trial that is neither pruned nor stopped early."""
    return spec.recipe.pretrain_epochs if spec.phase == PRETRAIN else spec.recipe.epochs
