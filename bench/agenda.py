"""What is due next: pretraining, then each cell's study breadth first, then the best setting of each cell under all seeds.

A pure state of the grid and the results so far: started again from the results on disk it goes on where it was.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from bench.expand import Facts, default_of, final_spec, needs_pretraining, pretrain_spec, pretrainings, space_of, tune_spec
from bench.grids import Grid
from bench.search import Tried, propose
from trials.records import record_hash
from trials.result import COMPLETE, TrialResult
from trials.spec import Cell, Hyper, TrialSpec


@dataclass(frozen=True, slots=True)
class Due:
    """A spec and the hash that names its trial."""

    trial: str
    spec: TrialSpec


class Agenda:
    """Hands out each trial once it may run. results maps a trial's hash to its result; add() grows it."""

    def __init__(self, grid: Grid, facts: Facts, results: Mapping[str, TrialResult]):
        self.grid, self.facts = grid, facts
        self.results = dict(results)
        self._pretrainings = [due(pretrain_spec(grid, facts, model, seed)) for model, seed in pretrainings(grid, facts.weights)]
        self._studies: dict[Cell, list[Due]] = {cell: [] for cell in grid.cells}
        self._finals: dict[tuple[Cell, int], Due] = {}

    def add(self, result: TrialResult) -> None:
        """Take a finished trial into account."""
        self.results[result.trial] = result

    def next(self, running: Collection[str]) -> Due | None:
        """The first trial that is due, neither done nor running; None where all that is left must wait for a running one."""
        return next((one for one in self.due() if one.trial not in self.results and one.trial not in running), None)

    def finished(self) -> bool:
        """True when every final trial has a result."""
        return all(self.best(cell) is not None for cell in self.grid.cells) and all(
            one.trial in self.results for one in self.due()
        )

    def due(self) -> Iterator[Due]:
        """Every trial that is known by now and whose pretraining is there, in order; done ones are among them."""
        yield from self._pretrainings
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
                    yield self._final(cell, number, hyper, seed)

    def best(self, cell: Cell) -> tuple[int, Hyper] | None:
        """The number in its study and the setting that a cell's final trials take: the best on validation, ties to the earlier.

        None while the cell is tuned. Without tuning, or where every trial of the study failed, it is the default.
        """
        if self.grid.tuning is None:
            return 0, default_of(self.grid, self.facts, cell)
        study = self._study(cell)
        results = [self.results.get(one.trial) for one in study]
        if len(study) < self.grid.tuning.trials or results[-1] is None:
            return None
        scores = [result.val_score if result and result.state == COMPLETE else None for result in results]
        number = max(range(len(scores)), key=lambda i: (scores[i] is not None, scores[i] or 0.0, -i))
        return number, study[number].spec.hyper

    def _final(self, cell: Cell, number: int, hyper: Hyper, seed: int) -> Due:
        """Named once: a grid of a thousand trials is asked for what is due at every step."""
        if (cell, seed) not in self._finals:
            self._finals[cell, seed] = due(final_spec(self.grid, self.facts, cell, number, hyper, seed))
        return self._finals[cell, seed]

    def _study(self, cell: Cell) -> list[Due]:
        """The trials of a cell's study as far as its results reach, and the one after them."""
        assert self.grid.tuning is not None
        study = self._studies[cell]
        if not study and self._is_pretrained(cell, self.grid.tuning.seed):
            study.append(due(tune_spec(self.grid, self.facts, cell, 0, default_of(self.grid, self.facts, cell))))
        while study and len(study) < self.grid.tuning.trials and study[-1].trial in self.results:
            study.append(due(tune_spec(self.grid, self.facts, cell, len(study), self._proposal(cell, study))))
        return study

    def _proposal(self, cell: Cell, study: list[Due]) -> dict[str, float | tuple[float, ...]]:
        tried = []
        for one in study:
            result = self.results[one.trial]
            tried.append(Tried(hyper=one.spec.hyper, score=result.val_score if result.state == COMPLETE else None))
        name = f"{self.grid.name}/{cell.model}/{cell.loss}/{cell.sampling}"
        # What is not searched keeps its default: a vector alpha, or a number the grid has fixed.
        return dict(study[0].spec.hyper) | propose(name, space_of(self.grid, self.facts, cell), tried)

    def _is_pretrained(self, cell: Cell, seed: int) -> bool:
        if not needs_pretraining(self.grid, cell.model, self.facts.weights):
            return True
        mine = [one for one in self._pretrainings if (one.spec.cell.model, one.spec.seed) == (cell.model, seed)]
        return mine[0].trial in self.results


def due(spec: TrialSpec) -> Due:
    """Name a spec by its content."""
    return Due(record_hash(spec), spec)
