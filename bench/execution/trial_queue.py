"""What is due next: pretraining, then each cell's study breadth first, then the best setting of
each cell under all seeds.

A pure state of the grid and the results so far: started again from the results on disk it goes on
where it was.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from bench.grid.resolve import (
    ResolvedCell,
    ResolvedGrid,
    final_spec,
    pretrain_spec,
    pretrainings,
    tune_spec,
)
from bench.search.propose import propose, tried_of
from bench.search.pruning import rungs
from trials.records.codec import record_hash
from trials.records.job import Rung
from trials.records.result import COMPLETE, PRUNED, TrialResult
from trials.records.spec import Cell, Hyper, TrialSpec


@dataclass(frozen=True, slots=True)
class Due:
    """A spec, the hash that names its trial, and the rungs at which it may be pruned."""

    trial: str
    spec: TrialSpec
    rungs: tuple[Rung, ...] = ()


class TrialQueue:
    """Hands out each trial once it may run. results maps a trial's hash to its result; add() grows
    it.

    Where the grid does not prune, a pruned trial that an earlier run left counts as not done.
    """

    def __init__(self, resolved: ResolvedGrid, results: Mapping[str, TrialResult]):
        self.resolved, self.grid = resolved, resolved.grid
        prunes = self.grid.tuning is not None and self.grid.tuning.prune
        self.results = {
            trial: result for trial, result in results.items() if prunes or result.state != PRUNED
        }
        self._pretrainings = [due(spec) for spec in pretrainings(resolved)]
        self._studies: dict[Cell, list[Due]] = {cell: [] for cell in self.grid.cells}
        self._finals: dict[tuple[Cell, int], Due] = {}
        self._open: list[Due] | None = None

    def add(self, result: TrialResult) -> None:
        """Take a finished trial into account."""
        self.results[result.trial] = result
        self._open = None

    def next(self, running: Collection[str]) -> Due | None:
        """The first trial that is due, neither done nor running; None where all that is left must
        wait for a running one.
        """
        if self._open is None:
            # Kept from one result to the next: a grid of a thousand trials is asked several times a
            # second.
            self._open = [one for one in self.due() if one.trial not in self.results]
        return next((one for one in self._open if one.trial not in running), None)

    def finished(self) -> bool:
        """True when every final trial has a result."""
        return all(self.best(one) is not None for one in self.resolved.cells) and all(
            one.trial in self.results for one in self.due()
        )

    def due(self) -> Iterator[Due]:
        """Every trial that is known by now and whose pretraining is there, in order; done ones are
        among them.
        """
        yield from self._pretrainings
        studies = [self._study(one) for one in self.resolved.cells] if self.grid.tuning else []
        yield from (one for turn in zip_longest(*studies) for one in turn if one is not None)
        for cell in self.resolved.cells:
            best = self.best(cell)
            if best is None:
                continue
            number, hyper = best
            for seed in self.grid.seeds:
                if self._is_pretrained(cell, seed):
                    yield self._final(cell, number, hyper, seed)

    def best(self, cell: ResolvedCell) -> tuple[int, Hyper] | None:
        """The number in its study and the setting that a cell's final trials take: the best on
        validation, ties to the earlier.

        None while the cell is tuned. Without tuning, or where every trial of the study failed, it
        is the default.
        """
        if self.grid.tuning is None:
            return 0, cell.default
        study = self._study(cell)
        results = [self.results.get(one.trial) for one in study]
        if len(study) < self.grid.tuning.trials or None in results:
            return None
        scores = [
            result.val_score if result and result.state == COMPLETE else None for result in results
        ]
        number = max(
            range(len(scores)), key=lambda i: (scores[i] is not None, scores[i] or 0.0, -i)
        )
        return number, study[number].spec.hyper

    def _final(self, cell: ResolvedCell, number: int, hyper: Hyper, seed: int) -> Due:
        """Named once: a grid of a thousand trials is asked for what is due at every step."""
        if (cell.cell, seed) not in self._finals:
            self._finals[cell.cell, seed] = due(final_spec(cell, number, hyper, seed))
        return self._finals[cell.cell, seed]

    def _study(self, cell: ResolvedCell) -> list[Due]:
        """The trials of a cell's study that are known by now: as many at once as the grid lets be
        open.

        A trial follows from those before its batch alone, which have all ended, whichever came
        first.
        """
        tuning, study = self.grid.tuning, self._studies[cell.cell]
        assert tuning is not None
        if not study and not self._is_pretrained(cell, tuning.seed):
            return study
        while len(study) < tuning.trials:
            before = study[: len(study) // tuning.parallel * tuning.parallel]
            if not all(one.trial in self.results for one in before):
                break
            study.append(self._next_of(cell, len(study), before))
        return study

    def _next_of(self, cell: ResolvedCell, number: int, before: list[Due]) -> Due:
        """The number-th trial of a study after these: the default, then what Optuna proposes."""
        tuning = self.grid.tuning
        assert tuning is not None
        if number == 0:
            return due(tune_spec(cell, 0, cell.default, tuning.seed))
        tried = [tried_of(self.results[one.trial]) for one in before]
        # What is not searched keeps its default: a vector alpha, or a number the grid has fixed.
        hyper = {**cell.default, **propose(cell.study, number, cell.space, tried)}
        spec = tune_spec(cell, number, hyper, tuning.seed)
        curves = [one.curve for one in tried]
        return due(
            spec,
            rungs(curves, spec.recipe.epochs, spec.recipe.validate_every) if tuning.prune else (),
        )

    def _is_pretrained(self, cell: ResolvedCell, seed: int) -> bool:
        spec = pretrain_spec(cell, seed)
        return spec is None or record_hash(spec) in self.results


def due(spec: TrialSpec, rungs: tuple[Rung, ...] = ()) -> Due:
    """Name a spec by its content."""
    return Due(record_hash(spec), spec, rungs)
