"""Everything the sections draw from, computed once: the run, its tables, the standings, the choice,
the notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reports.analysis.caveats import Note, page_one_notes
from reports.analysis.checks import refuse_infeasible, refuse_unsound
from reports.analysis.comparisons import Tested, compare_family, read_families
from reports.analysis.external import Field, Outsiders, everyone, gather_outsiders
from reports.analysis.selection import Choice, choose
from reports.analysis.summary import Resampled, Standing, resample_ratio, summarise
from reports.analysis.surfaces import (
    Agreement,
    Surfaces,
    agreements,
    gather_surfaces,
    refuse_unsound_surfaces,
    surfaces_table,
)
from reports.load.counts import Counts, count
from reports.load.run_folder import Run
from trials.records.result import CUBE, NATIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What a section may show. images is "none", "masks" or "ct".

    validation counts are native; test holds the test counts by space, standings the test scores by
    space, then by (configuration, label), resampled the native test Dice; families are the
    comparisons that the run declared. surface_rows is the surfaces table, surfaces its test cases
    as one block, agreements the mean Surface Dice by (configuration, label); all are empty for a
    run without surfaces. outsiders are contestants that the run did not train, field everybody: its
    configurations, then them.
    """

    run: Run
    scores: pd.DataFrame
    trials: pd.DataFrame
    validation: Counts
    test: Mapping[str, Counts]
    standings: Mapping[str, Mapping[tuple[int, int], Standing]]
    surface_rows: pd.DataFrame
    surfaces: Surfaces
    agreements: Mapping[tuple[int, int], Agreement]
    resampled: Resampled
    outsiders: Outsiders
    field: Field
    choice: Choice | None
    families: tuple[Tested, ...]
    notes: tuple[Note, ...]
    images: str


def build_board(run: Run, scores: pd.DataFrame, trials: pd.DataFrame, images: str) -> Board:
    """Check the run, then compute what all sections share. Raises ValueError if the run must not be
    shown (checks.py).
    """
    refuse_unsound(run, scores)
    validation = count(run, scores, "val", NATIVE)
    test = {space: count(run, scores, "test", space) for space in (NATIVE, CUBE)}
    resampled = {space: resample_ratio(counts) for space, counts in test.items()}
    standings = {space: summarise(counts, resampled[space]) for space, counts in test.items()}
    for space, by_cell in standings.items():
        refuse_infeasible(run, space, by_cell)
    surface_rows = surfaces_table(run)
    refuse_unsound_surfaces(surface_rows)
    surfaces = gather_surfaces(run, surface_rows)
    outsiders = gather_outsiders(run, test[NATIVE], surfaces)
    choice = choose(run, validation, test[NATIVE], resampled[NATIVE])
    chosen = None if choice is None else choice.chosen
    return Board(
        run=run,
        scores=scores,
        trials=trials,
        validation=validation,
        test=test,
        standings=standings,
        surface_rows=surface_rows,
        surfaces=surfaces,
        agreements=agreements(surfaces, run.classes),
        outsiders=outsiders,
        field=everyone(run, test[NATIVE], surfaces, outsiders),
        resampled=resampled[NATIVE],
        choice=choice,
        families=tuple(
            compare_family(family, run.cells, test[NATIVE], chosen)
            for family in read_families(run.record)
        ),
        notes=page_one_notes(run, scores),
        images=images,
    )
