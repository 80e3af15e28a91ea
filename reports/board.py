"""Everything the sections draw from, computed once: the run, its tables, the standings, the choice, the notes."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reports.checks import refuse_infeasible, refuse_unsound
from reports.choice import Choice, choose
from reports.counts import Counts, count
from reports.notes import Note, page_one_notes
from reports.run_folder import Run
from reports.summary import Standing, resample_ratio, summarise
from trials.result import CUBE, NATIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What a section may show. images is "none", "masks" or "ct".

    validation counts are native; test holds the test counts by space, standings the test scores by space, then by
    (configuration, label).
    """

    run: Run
    scores: pd.DataFrame
    trials: pd.DataFrame
    validation: Counts
    test: Mapping[str, Counts]
    standings: Mapping[str, Mapping[tuple[int, int], Standing]]
    choice: Choice | None
    notes: tuple[Note, ...]
    images: str


def build_board(run: Run, scores: pd.DataFrame, trials: pd.DataFrame, images: str) -> Board:
    """Check the run, then compute what all sections share. Raises ValueError if the run must not be shown (checks.py)."""
    refuse_unsound(run, scores)
    validation = count(run, scores, "val", NATIVE)
    test = {space: count(run, scores, "test", space) for space in (NATIVE, CUBE)}
    standings = {space: summarise(counts) for space, counts in test.items()}
    for space, by_cell in standings.items():
        refuse_infeasible(run, space, by_cell)
    return Board(
        run=run,
        scores=scores,
        trials=trials,
        validation=validation,
        test=test,
        standings=standings,
        choice=choose(run, validation, test[NATIVE], resample_ratio(test[NATIVE])),
        notes=page_one_notes(run, scores),
        images=images,
    )
