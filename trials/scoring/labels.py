"""All columns of one region in one case: every metric, and the counts behind them."""

from collections.abc import Iterable

from trials.records.metrics import METRICS, VOXELS, metric_of
from trials.records.result import SurfaceScore

COUNTED = (*VOXELS, "lesions", "lesions_found", "lesions_false")


def metric_columns(scores: Iterable[SurfaceScore]) -> dict[str, float]:
    """METRIC_REGION of every region and entry of METRICS, then its counts.

    If a region is in neither mask, ratios and distances are NaN; if it is in only one, ratios are 0
    and distances inf.
    """
    return {
        f"{name}_{score.region}": value
        for score in scores
        for name, value in _numbers(score).items()
    }


def _numbers(score: SurfaceScore) -> dict[str, float]:
    metrics = {name: metric_of(entry, score) for name, entry in METRICS.items()}
    return metrics | {name: getattr(score, name) for name in COUNTED}
