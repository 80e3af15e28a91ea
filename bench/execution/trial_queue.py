"""The next due trial: first pretraining, then the trials of all studies in turn, then the best
setting of each cell under all seeds; a fold's trials come before those of the next fold.

The queue is a function of the grid and the results so far: built again from the results on disk, it
continues where it stopped.
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
from bench.search.propose import propose, rungs, tried_of
from trials.records.codec import record_hash
from trials.records.job import Rung
from trials.records.result import COMPLETE, PRUNED, TrialResult
from trials.records.spec import Cell, Hyper, TrialSpec


@dataclass(frozen=True, slots=True)
class Due:
    """A spec, the hash of its trial, and the rungs at which it can be pruned."""

    trial: str
    spec: TrialSpec
    rungs: tuple[Rung, ...] = ()


class TrialQueue:
    """Gives out each trial as soon as it may run. results maps a trial's hash to its result; add()
    adds one.

    If the grid does not prune, a pruned trial of an earlier run counts as not finished.
    """

    def __init__(self, resolved: ResolvedGrid, results: Mapping[str, TrialResult]):
        self.resolved, self.grid = resolved, resolved.grid
        prunes = self.grid.tuning is not None and self.grid.tuning.prune
        self.results = {
            trial: result for trial, result in results.items() if prunes or result.state != PRUNED
        }
        self._pretrainings = [due(spec) for spec in pretrainings(resolved)]
        self._studies: dict[tuple[Cell, int], list[Due]] = {
            (one.cell, one.fold): [] for one in resolved.cells
        }
        self._finals: dict[tuple[Cell, int, int], Due] = {}
        self._open: list[Due] | None = None

    def add(self, result: TrialResult) -> None:
        """Add the result of a finished trial."""
        self.results[result.trial] = result
        self._open = None

    def next(self, running: Collection[str]) -> Due | None:
        """The first due trial that is neither finished nor running; None if every remaining trial
        must wait for a running one.
        """
        if self._open is None:
            # Cached until the next result: a grid of a thousand trials is asked several times a
            # second.
            self._open = [one for one in self.due() if one.trial not in self.results]
        return next((one for one in self._open if one.trial not in running), None)

    def finished(self) -> bool:
        """Whether every final trial has a result."""
        return all(self.best(one) is not None for one in self.resolved.cells) and all(
            one.trial in self.results for one in self.due()
        )

    def due(self) -> Iterator[Due]:
        """Every trial whose setting is known and whose pretraining has finished, in order; includes
        finished trials.
        """
        for fold in self.grid.folds:
            yield from self._due_of_fold(fold)

    def _due_of_fold(self, fold: int) -> Iterator[Due]:
        cells = [one for one in self.resolved.cells if one.fold == fold]
        yield from (one for one in self._pretrainings if one.spec.fold == fold)
        studies = [self._study(one) for one in cells] if self.grid.tuning else []
        yield from (one for turn in zip_longest(*studies) for one in turn if one is not None)
        for cell in cells:
            best = self.best(cell)
            if best is None:
                continue
            number, hyper = best
            for seed in self.grid.seeds:
                if self._is_pretrained(cell, seed):
                    yield self._final(cell, number, hyper, seed)

    def best(self, cell: ResolvedCell) -> tuple[int, Hyper] | None:
        """The number and the setting of the best trial of a cell's study, by validation score; ties
        go to the earlier trial. The cell's final trials use this setting.

        None until the study is complete. Without tuning, or if every trial of the study failed, it
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
        """Cached: a grid of a thousand trials is asked for its due trials at every step."""
        key = cell.cell, cell.fold, seed
        if key not in self._finals:
            self._finals[key] = due(final_spec(cell, number, hyper, seed))
        return self._finals[key]

    def _study(self, cell: ResolvedCell) -> list[Due]:
        """The trials of a cell's study that are known so far; the grid limits how many are open at
        once.

        A trial depends only on those before its batch, which have all finished, in any order.
        """
        tuning, study = self.grid.tuning, self._studies[cell.cell, cell.fold]
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
        """The number-th trial of a study after the given ones: first the default, then what Optuna
        proposes.
        """
        tuning = self.grid.tuning
        assert tuning is not None
        if number == 0:
            return due(tune_spec(cell, 0, cell.default, tuning.seed))
        tried = [tried_of(self.results[one.trial]) for one in before]
        # A parameter that is not searched keeps its default: a vector alpha, or a number that the
        # grid fixes.
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
    """The due trial of a spec; its name is the hash of its content."""
    return Due(record_hash(spec), spec, rungs)
