"""What is due next: pretraining, then each cell's study breadth first, then the best setting of each cell under all seeds.

A pure state of the grid and the results so far: started again from the results on disk it goes on where it was.
"""

from collections.abc import Collection, Iterator, Mapping

from bench.expand import Facts, default_of, final_spec, pretrain_spec, pretrainings, space_of, tune_spec, weights_of
from bench.grids import Grid
from bench.search import Tried, propose
from trials.records import record_hash
from trials.result import COMPLETE, TrialResult
from trials.spec import Cell, Hyper, TrialSpec


class Agenda:
    """Hands out each trial once it may run. results maps a trial's hash to its result; add() grows it."""

    def __init__(self, grid: Grid, facts: Facts, results: Mapping[str, TrialResult]):
        self.grid, self.facts = grid, facts
        self.results = dict(results)
        self._studies: dict[Cell, list[TrialSpec]] = {cell: [] for cell in grid.cells}

    def add(self, result: TrialResult) -> None:
        """Take a finished trial into account."""
        self.results[result.trial] = result

    def next(self, running: Collection[str]) -> TrialSpec | None:
        """The first spec that is due, neither done nor running; None where all that is left must wait for a running one."""
        for spec in self.due():
            trial = record_hash(spec)
            if trial not in self.results and trial not in running:
                return spec
        return None

    def finished(self) -> bool:
        """True when every final trial has a result."""
        return all(self.best(cell) is not None for cell in self.grid.cells) and all(
            record_hash(spec) in self.results for spec in self.due()
        )

    def due(self) -> Iterator[TrialSpec]:
        """Every spec that is known by now and whose pretraining is there, in order; done ones are among them."""
        for model, seed in pretrainings(self.grid, self.facts.weights):
            yield pretrain_spec(self.grid, self.facts, model, seed)
        for number in range(self.grid.tuning.trials if self.grid.tuning else 0):
            for cell in self.grid.cells:
                if number < len(self._study(cell)):
                    yield self._studies[cell][number]
        for cell in self.grid.cells:
            best = self.best(cell)
            if best is None:
                continue
            number, hyper = best
            for seed in self.grid.seeds:
                if self._is_pretrained(cell, seed):
                    yield final_spec(self.grid, self.facts, cell, number, hyper, seed)

    def best(self, cell: Cell) -> tuple[int, Hyper] | None:
        """The number in its study and the setting that a cell's final trials take: the best on validation, ties to the earlier.

        None while the cell is tuned. Without tuning, or where every trial of the study failed, it is the default.
        """
        if self.grid.tuning is None:
            return 0, default_of(self.grid, self.facts, cell)
        study = self._study(cell)
        results = [self.results.get(record_hash(spec)) for spec in study]
        if len(study) < self.grid.tuning.trials or results[-1] is None:
            return None
        scores = [result.val_score if result and result.state == COMPLETE else None for result in results]
        number = max(range(len(scores)), key=lambda i: (scores[i] is not None, scores[i] or 0.0, -i))
        return number, study[number].hyper

    def _study(self, cell: Cell) -> list[TrialSpec]:
        """The specs of a cell's study as far as its results reach, and the one after them."""
        assert self.grid.tuning is not None
        study = self._studies[cell]
        if not study and self._is_pretrained(cell, self.grid.tuning.seed):
            study.append(tune_spec(self.grid, self.facts, cell, 0, default_of(self.grid, self.facts, cell)))
        while study and len(study) < self.grid.tuning.trials and record_hash(study[-1]) in self.results:
            study.append(tune_spec(self.grid, self.facts, cell, len(study), self._proposal(cell, study)))
        return study

    def _proposal(self, cell: Cell, study: list[TrialSpec]) -> dict[str, float | tuple[float, ...]]:
        tried = []
        for spec in study:
            result = self.results[record_hash(spec)]
            tried.append(Tried(hyper=spec.hyper, score=result.val_score if result.state == COMPLETE else None))
        name = f"{self.grid.name}/{cell.model}/{cell.loss}/{cell.sampling}"
        # What is not searched keeps its default: a vector alpha, or a number the grid has fixed.
        return dict(study[0].hyper) | propose(name, space_of(self.grid, self.facts, cell), tried)

    def _is_pretrained(self, cell: Cell, seed: int) -> bool:
        source, _, trial = weights_of(self.grid, self.facts, cell.model, seed).partition(":")
        return source != "pretrain" or trial in self.results
