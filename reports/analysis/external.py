"""Contestants from outside: predictions that somebody else made, scored by the run's rules and read
from the run folder.

They stand beside the configurations, but are never selected, tuned or called a winner: nothing is
known of their validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reports.analysis.summary import ScoreSummary, resample_ratio, summarise
from reports.analysis.surfaces import (
    STORED,
    MetricSummaries,
    Surfaces,
    empty_numbers,
    metric_summaries,
)
from reports.formatting import cell_name
from reports.load.counts import Counts
from reports.load.run_folder import SCORE_TYPES, SURFACE_TYPES, Run, read_rows, refuse_overlaps
from trials.records.codec import parsed, rebuild
from trials.records.metrics import METRICS, metric_of
from trials.records.result import NATIVE, CaseScore, ExternalPredictions, SurfaceScore
from trials.storage.atomic import matching, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """Who they are, and their scores as those of as many configurations under one seed; empty where
    there are none.
    """

    names: tuple[str, ...]
    counts: Counts
    surfaces: Surfaces
    summaries: Mapping[tuple[int, int], ScoreSummary]
    metrics: MetricSummaries


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPredictions:
    """Everybody with a test score, configurations first: names, and their counts and surfaces on
    the native grid.
    """

    names: tuple[str, ...]
    counts: Counts
    surfaces: Surfaces


def gather_external(run: Run, test: Counts, surfaces: Surfaces) -> External:
    """Read RUN/outside and lay it beside the run's test counts. Raises ValueError naming the file,
    or what does not agree.
    """
    outside = [read_external(path) for path in matching(run.out, "external/*.json")]
    outside = sorted(outside, key=lambda one: one.name) if test.cases else []
    for one in outside:
        _refuse_other_ground(one, test, run)
    counts = _counts(outside, test)
    blocks = _surfaces(outside, surfaces)
    return External(
        names=tuple(one.name for one in outside),
        counts=counts,
        surfaces=blocks,
        summaries=summarise(counts, resample_ratio(counts)) if outside else {},
        metrics=metric_summaries(blocks, run.classes) if outside else {},
    )


def read_external(path: Path) -> ExternalPredictions:
    """Read one contestant's file. Raises ValueError naming the file and the key."""
    try:
        document = parsed(read_text(path))
        scores = read_rows(CaseScore, SCORE_TYPES, document.pop("scores", []), "scores")
        surfaces = read_rows(SurfaceScore, SURFACE_TYPES, document.pop("surfaces", []), "surfaces")
        refuse_overlaps(scores)
        return replace(
            rebuild(ExternalPredictions, document, "external"), scores=scores, surfaces=surfaces
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path}: not an outside contestant ({error}); delete it and add the contestant again"
        ) from None


def join_predictions(
    run: Run, test: Counts, surfaces: Surfaces, external: External
) -> AllPredictions:
    """Configurations and outside contestants as one block; of the latter only the first seed
    exists.
    """
    num_seeds = test.available.shape[1]
    held = Counts(
        cases=test.cases,
        true=test.true,
        pred=_joined(test.pred, external.counts.pred, num_seeds),
        overlap=_joined(test.overlap, external.counts.overlap, num_seeds),
        available=_joined(test.available, external.counts.available, num_seeds),
    )
    numbers = {
        name: _joined(block, external.surfaces.numbers[name], num_seeds)
        for name, block in surfaces.numbers.items()
    }
    available = _joined(surfaces.available, external.surfaces.available, num_seeds)
    names = (*map(cell_name, run.cells), *external.names)
    return AllPredictions(
        names=names, counts=held, surfaces=replace(surfaces, numbers=numbers, available=available)
    )


def _joined(ours: np.ndarray, theirs: np.ndarray, num_seeds: int) -> np.ndarray:
    padded = np.zeros((len(theirs), num_seeds, *theirs.shape[2:]), ours.dtype)
    padded[:, :1] = theirs
    return np.concatenate([ours, padded])


def _counts(outside: Sequence[ExternalPredictions], test: Counts) -> Counts:
    shape = (len(outside), 1, *test.true.shape)
    pred, overlap = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    case_at = {case: i for i, case in enumerate(test.cases)}
    for i, one in enumerate(outside):
        for score in one.scores:
            pred[i, 0, case_at[score.case], score.label] = score.pred_voxels
            overlap[i, 0, case_at[score.case], score.label] = score.overlap_voxels
    return Counts(
        cases=test.cases,
        true=test.true,
        pred=pred,
        overlap=overlap,
        available=np.ones(shape[:2], bool),
    )


def _surfaces(outside: Sequence[ExternalPredictions], surfaces: Surfaces) -> Surfaces:
    shape = (len(outside), 1, len(surfaces.cases), len(surfaces.regions))
    numbers = empty_numbers(shape)
    case_at = {case: i for i, case in enumerate(surfaces.cases)}
    for i, one in enumerate(outside):
        for row in one.surfaces:
            if row.case in case_at and row.region in surfaces.regions:
                at = (i, 0, case_at[row.case], surfaces.regions.index(row.region))
                for name in STORED:
                    numbers[name][at] = getattr(row, name)
                for name, entry in METRICS.items():
                    numbers[name][at] = metric_of(entry, row)
    return replace(surfaces, numbers=numbers, available=np.ones(shape[:2], bool))


def _refuse_other_ground(one: ExternalPredictions, test: Counts, run: Run) -> None:
    """Raise ValueError unless a contestant was scored once on every test case and label, against
    the same references.
    """
    again = "add it again on this run's data"
    places = [(score.case, score.label) for score in one.scores]
    wanted = {(case, label) for case in test.cases for label in range(len(run.classes))}
    if (
        len(set(places)) < len(places)
        or set(places) != wanted
        or {score.space for score in one.scores} != {NATIVE}
    ):
        odd = sorted(set(places) ^ wanted)
        where = f"{odd[0][0]}, label {odd[0][1]}" if odd else "some case twice or on another grid"
        raise ValueError(
            f"outside contestant {one.name!r} was not scored on the run's test cases ({where}); "
            f"{again}"
        )
    for score in one.scores:
        ours = int(test.true[test.cases.index(score.case), score.label])
        if score.true_voxels != ours:
            raise ValueError(
                f"outside contestant {one.name!r}: {score.case} has {score.true_voxels} reference "
                "voxels of label "
                f"{score.label}, the run {ours}; {again}"
            )
