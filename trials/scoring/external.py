"""External predictions: computes from files the same counts that a run's own trials record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from trials.data.datasets.label_set import LabelSet, Region
from trials.data.nifti.voxels import read_header
from trials.process.workers import run_on_cases
from trials.records.result import NATIVE, CaseScore, ExternalPredictions, SurfaceScore
from trials.records.targets import TargetRegion
from trials.scoring.case import surface_scores
from trials.scoring.folders import MaskPair, list_cases, pair_of, read_pair
from trials.scoring.found_masks import MASK_FILE, predicted_files
from trials.scoring.overlap import case_scores, label_counts
from trials.scoring.regions import find_ignored

# Starting processes takes longer than scoring this many cases.
FEW_CASES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCounts:
    """The counts of one test case: every label, or every region that the run's networks predict,
    and the surfaces of every region, on the case's own grid.
    """

    scores: tuple[CaseScore, ...]
    surfaces: tuple[SurfaceScore, ...]


def external_pairs(
    references: Mapping[str, Path], predictions: Path, flag: str, classes: Sequence[str] = ()
) -> tuple[MaskPair, ...]:
    """Pair each test case's reference with its prediction, as find_pairs() does; other predictions
    are left out. Raises ValueError naming every prediction that is missing; it begins with flag.
    """
    found = predicted_files(predictions, references, MASK_FILE, classes)
    if missing := set(references) - set(found):
        raise ValueError(
            f"{flag}: {predictions} has no prediction for {list_cases(missing)}; add "
            "one for every test case"
        )
    return tuple(
        pair_of(case, path, found[case], classes) for case, path in sorted(references.items())
    )


def count_external(
    name: str,
    pairs: Sequence[MaskPair],
    labels: LabelSet,
    regions: tuple[Region, ...],
    on_done: Callable[[], None],
    predicted: tuple[TargetRegion, ...] = (),
) -> ExternalPredictions:
    """Count every pair on its own grid; predicted are the regions that the run's networks predict,
    none for the labels. Raises one ValueError naming every case that cannot be
    scored.
    """
    workers = 1 if len(pairs) <= FEW_CASES else None
    count = partial(count_pair, labels=labels, regions=regions, predicted=predicted)
    counted = run_on_cases(pairs, count, workers, on_done, "scored").values()
    return ExternalPredictions(
        name=name,
        scores=tuple(score for one in counted for score in one.scores),
        surfaces=tuple(surface for one in counted for surface in one.surfaces),
    )


def count_pair(
    pair: MaskPair,
    labels: LabelSet,
    regions: tuple[Region, ...],
    predicted: tuple[TargetRegion, ...] = (),
) -> CaseCounts:
    """Count one case."""
    true, pred, spacing_mm = read_pair(pair, labels)
    ignored = find_ignored(true, labels)
    surfaces = surface_scores(true, pred, spacing_mm, regions, pair.case, "test", ignored)
    counts = label_counts(pred, true, len(labels.classes), predicted)
    # The voxels cropped off are background in both.
    counts[0] += int(np.prod(read_header(pair.reference).shape)) - true.size
    return CaseCounts(
        scores=tuple(case_scores(counts, pair.case, "test", NATIVE)), surfaces=tuple(surfaces)
    )
