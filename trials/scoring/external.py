"""External predictions: computes from files the same counts that a run's own trials record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from trials.data.datasets.registry import Region
from trials.data.nifti.voxels import read_header
from trials.process.workers import run_on_cases
from trials.records.result import NATIVE, CaseScore, ExternalPredictions, SurfaceScore
from trials.scoring.case import surface_scores
from trials.scoring.folders import MaskPair, list_cases, mask_files, read_pair

# Starting processes takes longer than scoring this many cases.
FEW_CASES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCounts:
    """The counts of one test case: every label and every region, on the case's own grid."""

    scores: tuple[CaseScore, ...]
    surfaces: tuple[SurfaceScore, ...]


def external_pairs(
    references: Mapping[str, Path], predictions: Path, name: str
) -> tuple[MaskPair, ...]:
    """Pair each test case's reference with its prediction. Raises ValueError naming every
    prediction that is missing.
    """
    found = mask_files(predictions)
    if missing := set(references) - set(found):
        raise ValueError(
            f"--add {name}: {predictions} has no prediction for {list_cases(missing)}; add "
            "one for every test case"
        )
    return tuple(
        MaskPair(case=case, reference=path, prediction=found[case])
        for case, path in sorted(references.items())
    )


def count_external(
    name: str,
    pairs: Sequence[MaskPair],
    classes: tuple[str, ...],
    regions: tuple[Region, ...],
    on_done: Callable[[], None],
) -> ExternalPredictions:
    """Count every pair on its own grid. Raises one ValueError naming every case that cannot be
    scored.
    """
    workers = 1 if len(pairs) <= FEW_CASES else None
    counted = run_on_cases(
        pairs, partial(count_pair, classes=classes, regions=regions), workers, on_done, "scored"
    ).values()
    return ExternalPredictions(
        name=name,
        scores=tuple(score for one in counted for score in one.scores),
        surfaces=tuple(surface for one in counted for surface in one.surfaces),
    )


def count_pair(pair: MaskPair, classes: tuple[str, ...], regions: tuple[Region, ...]) -> CaseCounts:
    """Count one case; regions must include each foreground label under its class name."""
    true, pred, spacing_mm = read_pair(pair, len(classes))
    surfaces = surface_scores(true, pred, spacing_mm, regions, pair.case, "test")
    by_name = {surface.region: surface for surface in surfaces}
    # The voxels cropped off are background in both.
    total = int(np.prod(read_header(pair.reference).shape))
    background = tuple(total - int(np.count_nonzero(held)) for held in (true, pred, true | pred))
    labels = [
        (by_name[name].true_voxels, by_name[name].pred_voxels, by_name[name].overlap_voxels)
        for name in classes[1:]
    ]
    scores = tuple(
        _score(pair.case, label, counts) for label, counts in enumerate([background, *labels])
    )
    return CaseCounts(scores=scores, surfaces=tuple(surfaces))


def _score(case: str, label: int, counts: tuple[int, ...]) -> CaseScore:
    true_voxels, pred_voxels, overlap_voxels = counts
    return CaseScore(
        case=case,
        split="test",
        space=NATIVE,
        label=label,
        true_voxels=true_voxels,
        pred_voxels=pred_voxels,
        overlap_voxels=overlap_voxels,
    )
