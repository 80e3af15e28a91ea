"""What a run has planned and not finished yet."""

from collections import Counter
from collections.abc import Sequence
from itertools import product

from reports.formatting import cell_name
from reports.load.run_folder import Run
from trials.records.result import COMPLETE
from trials.records.spec import FINAL, PRETRAIN, TUNE


def missing_finals(run: Run) -> list[str]:
    """The planned final trials without a complete result: one line per configuration with its
    seeds, and of several folds one per configuration and seed with its folds.
    """
    done = {(result.spec.cell, result.spec.seed, result.spec.fold) for result in run.finals}
    if len(run.folds) == 1:
        lacking = {
            cell_name(cell): [s for s in run.seeds if (cell, s, run.folds[0]) not in done]
            for cell in run.cells
        }
        return [f"{name}, {numbered('seed', seeds)}" for name, seeds in lacking.items() if seeds]
    lacking = {
        f"{cell_name(cell)}, seed {seed}": [f for f in run.folds if (cell, seed, f) not in done]
        for cell, seed in product(run.cells, run.seeds)
    }
    return [f"{name}, {numbered('fold', folds)}" for name, folds in lacking.items() if folds]


def numbered(noun: str, numbers: Sequence[int]) -> str:
    """'seed 1', 'seeds 1, 2'."""
    return f"{noun if len(numbers) == 1 else f'{noun}s'} {', '.join(map(str, numbers))}"


def num_finals(run: Run) -> int:
    """The number of planned final trials."""
    return len(run.cells) * len(run.seeds) * len(run.folds)


def num_missing(run: Run) -> dict[str, int]:
    """How many planned trials of each phase (pretraining, tuning, final) have no result; phases
    without any are left out.
    """
    planned = dict(run.record.get("planned") or {}) | {FINAL: num_finals(run)}
    there = Counter(result.spec.phase for result in run.results)
    words = {PRETRAIN: "pretraining", TUNE: "tuning", FINAL: "final"}
    return {
        word: planned[phase] - there[phase]
        for phase, word in words.items()
        if planned.get(phase, 0) > there[phase]
    }


def num_states(run: Run, phase: str) -> dict[str, int]:
    """How many trials of a phase ended in each state, COMPLETE first."""
    states = Counter(result.state for result in run.results if result.spec.phase == phase)
    return {
        state: states[state]
        for state in sorted(states, key=lambda state: (state != COMPLETE, state))
    }
