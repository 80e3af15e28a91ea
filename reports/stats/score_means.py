"""Means of scores over patients, each with its interval and number of cases. Computes no
scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.load.by_patient import by_patient, sum_by_patient
from reports.stats.intervals import case_weights, interval
from trials.records.metrics import (
    ALL,
    BETTER,
    BOTH,
    HELD,
    METRICS,
    MetricEntry,
    is_counted,
)

OFFICIAL_MEASURES = {"dice": "Dice, official", "surface_dice": "Surface Dice, official"}
LEGEND = """Intervals: bootstrap over {unit}, 95 %. Official scores count every case, 1 where both
masks are empty. A lesion is found where the prediction shares a voxel with it."""

OVER = {
    HELD: "the cases whose reference holds it",
    BOTH: "those where the prediction holds it too",
    ALL: "all cases",
}

ScoreRow = Mapping[str, str | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over patients with its bootstrap 95 % interval, and the number of its cases. NaN if no
    case counts; the interval is also NaN if only one patient does.
    """

    region: str
    measure: str
    value: float
    low: float
    high: float
    cases: int
    patients: int


def score_means(
    rows: Sequence[ScoreRow],
    official: Sequence[str],
    labels: Sequence[str],
    patients: tuple[str, ...] = (),
) -> list[Mean]:
    """The means of scores, given as one row per case: first the official regions and their mean by
    the rule of the challenge, then every label.

    An official mean is over all cases. The mean of a label's metric is over the cases that its
    entry of METRICS names and in which it is defined. Lesions found are a share of all lesions.
    Every mean uses the same bootstrap draws. patients names the patient of each row; empty if each
    is one. Scores of a patient are averaged first, its lesions are added up, and patients are
    drawn.
    """
    means = [
        mean
        for measure in OFFICIAL_MEASURES
        if official
        for mean in _official(rows, measure, official, patients)
    ]
    for label in labels:
        voxels = [_column(rows, f"{side}_voxels", label) for side in ("true", "pred")]
        for name, entry in METRICS.items():
            values = _column(rows, name, label)
            counted = _counted(entry, *voxels) & ~np.isnan(values)
            means.append(_mean(label, entry.heading(name), values, counted, patients))
        lesions, found = _column(rows, "lesions", label), _column(rows, "lesions_found", label)
        title = f"lesions found, {found.sum():.0f} of {lesions.sum():.0f}"
        above, below = sum_by_patient(found, patients), sum_by_patient(lesions, patients)
        means.append(_ratio(label, title, above, below, int(np.count_nonzero(lesions))))
    return means


def means_text(means: Sequence[Mean]) -> str:
    """The means as a text table, one per line, followed by the cases that each is over."""
    several = any(mean.patients != mean.cases for mean in means)
    cells = [("score", "", "mean", "95 % interval", "cases", *["patients"] * several)]
    for mean in means:
        interval_text = "-" if np.isnan(mean.low) else f"{mean.low:.3f} to {mean.high:.3f}"
        value = "-" if np.isnan(mean.value) else f"{mean.value:.3f}"
        counts = (str(mean.cases), *[str(mean.patients)] * several)
        cells.append((mean.region, mean.measure, value, interval_text, *counts))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    legend = LEGEND.format(unit="patients, whose cases are averaged first" if several else "cases")
    return "\n".join([*lines, "", legend, *_rules()])


def _rules() -> Iterator[str]:
    """Lines that say which cases the mean of each metric is over, and which value is better."""
    for over, cases in OVER.items():
        if names := [_with_arrow(name) for name, entry in METRICS.items() if entry.over == over]:
            yield f"Over {cases}: {', '.join(names)}."


def _with_arrow(name: str) -> str:
    return f"{METRICS[name].title_of(name)} ({BETTER[METRICS[name].better]})"


def _counted(entry: MetricEntry, true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Whether each case counts in the mean of a metric, bool [N], from its voxels [N]."""
    return np.array([is_counted(entry, *pair) for pair in zip(true, pred, strict=True)])


def _official(
    rows: Sequence[ScoreRow], measure: str, official: Sequence[str], patients: tuple[str, ...]
) -> list[Mean]:
    columns = {region: _column(rows, measure, region) for region in official}
    columns[f"mean of {len(official)}"] = np.mean([*columns.values()], axis=0)
    title = OFFICIAL_MEASURES[measure]
    return [
        _mean(region, title, values, np.ones(len(rows), bool), patients)
        for region, values in columns.items()
    ]


def _column(rows: Sequence[ScoreRow], measure: str, region: str) -> np.ndarray:
    return np.array([row[f"{measure}_{region}"] for row in rows], float)


def _mean(
    region: str,
    measure: str,
    values: np.ndarray,
    counted: np.ndarray,
    patients: tuple[str, ...],
) -> Mean:
    """The mean of the counted cases, values and counted [N], averaged by patient first."""
    scores = by_patient(np.where(counted, values, np.nan), patients)
    held = ~np.isnan(scores)
    cases = int(np.count_nonzero(counted))
    return _ratio(region, measure, np.where(held, scores, 0), held.astype(float), cases)


def _ratio(region: str, measure: str, above: np.ndarray, below: np.ndarray, cases: int) -> Mean:
    """Sum of above / sum of below, [P] each, over the patients where below is not 0, with the
    interval of a bootstrap over patients.
    """
    weights, patients = case_weights(len(below)), int(np.count_nonzero(below))
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = (weights @ above) / (weights @ below)
        value = float(above.sum() / below.sum())
    low, high = (
        interval(samples[:, None]) if patients > 1 else (np.array([np.nan]), np.array([np.nan]))
    )
    return Mean(
        region=region,
        measure=measure,
        value=value,
        low=float(low[0]),
        high=float(high[0]),
        cases=cases,
        patients=patients,
    )
