"""Everything the sections show, computed once: the run, its tables, the summaries, the selection,
the caveats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.caveats import Caveat, page_one_caveats
from reports.analysis.checks import refuse_infeasible, refuse_unsound
from reports.analysis.ensembles import ensemble_summaries, mirrored_summaries
from reports.analysis.external import AllPredictions, External, gather_external, join_predictions
from reports.analysis.questions import Answer, answer_questions, read_questions
from reports.analysis.selection import Pairs, Selection, judge_pairs, select
from reports.analysis.summary import MEAN, Resampled, ScoreSummary, resample_ratio, summarise
from reports.analysis.surfaces import (
    MetricSummaries,
    Surfaces,
    gather_surfaces,
    metric_summaries,
    refuse_unsound_surfaces,
    surfaces_table,
    with_scores,
)
from reports.load.counts import Counts, count, on_one_grid
from reports.load.run_folder import Run
from reports.stats.intervals import rank_first
from trials.records.result import NATIVE, PREPARED


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a section may show. images is "none", "masks" or "ct".

    validation counts are native; test holds the test counts by space, summaries the test scores by
    space, then by (configuration, label). surface_rows is the surfaces table, surfaces its test
    cases as one block, metrics the mean of each metric by (configuration, label), region_metrics by
    (configuration, number of the region from 1); all are empty for a run without surfaces. external
    are predictions that the run did not make; ensembles are the test scores of a configuration's
    seeds as one prediction by (configuration, label), mirrored those of predictions with mirroring,
    for those that were scored so; all_predictions are those of its configurations, then the
    external ones, and resampled is their native test Dice in that order. answers are those to the
    run's questions, pairs the verdict on every two predictions, first the share of resamples in
    which each ranks first.
    """

    run: Run
    scores: pd.DataFrame
    trials: pd.DataFrame
    validation: Counts
    test: Mapping[str, Counts]
    summaries: Mapping[str, Mapping[tuple[int, int], ScoreSummary]]
    surface_rows: pd.DataFrame
    surfaces: Surfaces
    metrics: MetricSummaries
    region_metrics: MetricSummaries
    resampled: Resampled
    external: External
    ensembles: Mapping[tuple[int, int], ScoreSummary]
    mirrored: Mapping[tuple[int, int], ScoreSummary]
    all_predictions: AllPredictions
    selection: Selection | None
    answers: tuple[Answer, ...]
    pairs: Pairs
    first: np.ndarray
    caveats: tuple[Caveat, ...]
    images: str


def build_context(run: Run, scores: pd.DataFrame, trials: pd.DataFrame, images: str) -> Context:
    """Check the run, then compute what all sections share. Raises ValueError if the run must not be
    shown (checks.py).
    """
    scores = on_one_grid(run, scores)
    refuse_unsound(run, scores)
    validation = count(run, scores, "val", NATIVE)
    test = {space: count(run, scores, "test", space) for space in (NATIVE, PREPARED)}
    surface_rows = surfaces_table(run)
    refuse_unsound_surfaces(surface_rows)
    surfaces = gather_surfaces(run, surface_rows)
    external = gather_external(run, test[NATIVE], surfaces)
    together = join_predictions(run, test[NATIVE], surfaces, external)
    resampled = resample_ratio(together.counts)
    ours, theirs = _divided(summarise(together.counts, resampled), len(run.cells))
    prepared = summarise(test[PREPARED], resample_ratio(test[PREPARED]))
    summaries = {NATIVE: ours, PREPARED: prepared}
    for space, by_cell in summaries.items():
        refuse_infeasible(run, space, by_cell)
    questions = read_questions(run.record, run.cells, run.classes)
    answers = answer_questions(run, questions, together.counts, resampled)
    pairs = judge_pairs(together.counts, resampled, answers)
    return Context(
        run=run,
        scores=scores,
        trials=trials,
        validation=validation,
        test=test,
        summaries=summaries,
        surface_rows=surface_rows,
        surfaces=surfaces,
        metrics=with_scores(metric_summaries(surfaces, run.classes), ours),
        region_metrics=metric_summaries(surfaces, ("", *run.regions)),
        external=replace(external, summaries=theirs, metrics=with_scores(external.metrics, theirs)),
        ensembles=ensemble_summaries(run, test[NATIVE]),
        mirrored=mirrored_summaries(run, test[NATIVE]),
        all_predictions=together,
        resampled=resampled,
        selection=select(run, validation, together.counts, resampled, pairs),
        answers=answers,
        pairs=pairs,
        first=rank_first(resampled.draws[MEAN]),
        caveats=page_one_caveats(run, scores),
        images=images,
    )


def _divided(
    summaries: Mapping[tuple[int, int], ScoreSummary], num: int
) -> tuple[dict[tuple[int, int], ScoreSummary], dict[tuple[int, int], ScoreSummary]]:
    """Those of the first num predictions, and those of the others counted from 0."""
    ours = {place: of for place, of in summaries.items() if place[0] < num}
    theirs = {(i - num, label): of for (i, label), of in summaries.items() if i >= num}
    return ours, theirs
