"""External predictions: made by another program, scored by the run's rules and read from the run
folder.

They are compared with the configurations as equals, but never selected or tuned, because they have
no validation scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reports.analysis.summary import ScoreSummary
from reports.analysis.surfaces import (
    STORED,
    MetricSummaries,
    Surfaces,
    empty_numbers,
    metric_summaries,
)
from reports.formatting import cell_name
from reports.load.counts import Counts
from reports.load.run_folder import Run, refuse_overlaps
from trials.records.codec import from_json
from trials.records.metrics import METRICS, metric_of
from trials.records.result import NATIVE, CaseScore, ExternalPredictions
from trials.storage.atomic import find_files, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """The names of the external predictions and their scores, in the form of configurations with
    one seed; empty if there are none. summaries are by (place among them, label).
    """

    names: tuple[str, ...]
    counts: Counts
    surfaces: Surfaces
    summaries: Mapping[tuple[int, int], ScoreSummary]
    metrics: MetricSummaries
    region_metrics: MetricSummaries


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPredictions:
    """All predictions with a test score, the configurations first: names, counts and surfaces on
    the native grid.
    """

    names: tuple[str, ...]
    counts: Counts
    surfaces: Surfaces


def gather_external(run: Run, test: Counts, surfaces: Surfaces) -> External:
    """Read RUN/external and arrange it like the run's test counts. Raises ValueError naming the
    file, or what does not agree.
    """
    files = [read_external(path) for path in find_files(run.out, "external/*.json")]
    files = sorted(files, key=lambda one: one.name) if test.cases else []
    files = [replace(one, scores=of_pooled_folds(one.scores, test, run)) for one in files]
    for one in files:
        refuse_other_ground(f"external predictions {one.name!r}", one.scores, test, run)
    counts = counts_like(test, [one.scores for one in files])
    blocks = _surfaces(files, surfaces)
    return External(
        names=tuple(one.name for one in files),
        counts=counts,
        surfaces=blocks,
        summaries={},
        metrics=metric_summaries(blocks, run.classes) if files else {},
        region_metrics=metric_summaries(blocks, ("", *run.regions)) if files else {},
    )


def read_external(path: Path) -> ExternalPredictions:
    """Read one file of external predictions. Raises ValueError naming the file and the key."""
    try:
        found = from_json(ExternalPredictions, read_text(path))
        refuse_overlaps(found.scores)
        return found
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not a file of external predictions ({error}); delete it and add the "
            "predictions again"
        ) from None


def join_predictions(
    run: Run, test: Counts, surfaces: Surfaces, external: External
) -> AllPredictions:
    """The configurations and the external predictions as one block; the latter have only the first
    seed.
    """
    num_seeds = test.available.shape[1]
    held = Counts(
        cases=test.cases,
        true=test.true,
        pred=_joined(test.pred, external.counts.pred, num_seeds),
        overlap=_joined(test.overlap, external.counts.overlap, num_seeds),
        available=_joined(test.available, external.counts.available, num_seeds),
        patient_of=test.patient_of,
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


def counts_like(test: Counts, several: Sequence[Sequence[CaseScore]]) -> Counts:
    """Scores of several predictions, arranged like the test counts as configurations with one
    seed.
    """
    shape = (len(several), 1, *test.true.shape)
    pred, overlap = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    case_at = {case: i for i, case in enumerate(test.cases)}
    for i, scores in enumerate(several):
        for score in scores:
            pred[i, 0, case_at[score.case], score.label] = score.pred_voxels
            overlap[i, 0, case_at[score.case], score.label] = score.overlap_voxels
    return Counts(
        cases=test.cases,
        true=test.true,
        pred=pred,
        overlap=overlap,
        available=np.ones(shape[:2], bool),
        patient_of=test.patient_of,
    )


def of_pooled_folds(scores: tuple[CaseScore, ...], test: Counts, run: Run) -> tuple[CaseScore, ...]:
    """The scores without those of test cases whose fold is not pooled yet."""
    tested = {case for parts in run.split_cases.values() for case in parts.get("test", ())}
    later = tested - {*test.cases} if len(run.folds) > 1 else set()
    return tuple(score for score in scores if score.case not in later)


def _surfaces(files: Sequence[ExternalPredictions], surfaces: Surfaces) -> Surfaces:
    shape = (len(files), 1, len(surfaces.cases), len(surfaces.regions))
    numbers = empty_numbers(shape)
    case_at = {case: i for i, case in enumerate(surfaces.cases)}
    for i, one in enumerate(files):
        for row in one.surfaces:
            if row.case in case_at and row.region in surfaces.regions:
                at = (i, 0, case_at[row.case], surfaces.regions.index(row.region))
                for name in STORED:
                    numbers[name][at] = getattr(row, name)
                for name, entry in METRICS.items():
                    numbers[name][at] = metric_of(entry, row)
    return replace(surfaces, numbers=numbers, available=np.ones(shape[:2], bool), fold_of=())


def refuse_other_ground(what: str, scores: Sequence[CaseScore], test: Counts, run: Run) -> None:
    """Raise ValueError unless predictions were scored once on every test case and label, against
    the same references. what names them.
    """
    again = "add or score them again with this run's data"
    places = [(score.case, score.label) for score in scores]
    wanted = {(case, label) for case in test.cases for label in range(len(run.classes))}
    if (
        len(set(places)) < len(places)
        or set(places) != wanted
        or {score.space for score in scores} != {NATIVE}
    ):
        odd = sorted(set(places) ^ wanted)
        where = (
            f"{odd[0][0]}, label {odd[0][1]}"
            if odd
            else ("a case is scored twice or on another grid")
        )
        raise ValueError(
            f"{what} were not scored on exactly the run's test cases ({where}); {again}"
        )
    for score in scores:
        ours = int(test.true[test.cases.index(score.case), score.label])
        if score.true_voxels != ours:
            raise ValueError(
                f"{what}: {score.case} has {score.true_voxels} reference voxels of label "
                f"{score.label}, but {ours} in the run; {again}"
            )
