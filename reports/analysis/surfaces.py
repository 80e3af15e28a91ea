"""Regions of the final trials as a tidy table and as one dense array: surfaces, voxels, lesions,
and their ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.summary import MEAN, ScoreSummary, resample_values
from reports.load.by_patient import by_patient, folds_of_patients, patients_of
from reports.load.counts import cases_by_fold, places, trial_places
from reports.load.run_folder import SURFACE_TYPES, Run
from reports.table import COUNTS, IDENTITY, rows_table
from trials.records.metrics import ALL, AREAS, BOTH, METRICS, MetricEntry, value_of

LESIONS = ("lesions", "lesions_found", "lesions_false")
KEYS = ("split", "case", "patient", "region", "tolerance_mm")
STORED = (*COUNTS, *AREAS, *LESIONS, "voxel_mm3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """The regions of the test cases on the native grid. regions and cases are sorted.

    true_voxels [N, R] is the reference. numbers holds every other column by name as [C, S, N, R]; C
    and S are the cells and seeds of the run. available [C, S] says which were scored; the others
    hold zeros. patient_of [N] names the patient of each case; it is empty if each case is one.
    fold_of [N] is as in Counts.
    """

    regions: tuple[str, ...]
    cases: tuple[str, ...]
    true_voxels: np.ndarray
    numbers: dict[str, np.ndarray]
    available: np.ndarray
    patient_of: tuple[str, ...] = ()
    fold_of: tuple[int, ...] = ()

    def metric(self, name: str, region: str) -> np.ndarray:
        """A metric of METRICS for a region as [C, S, N]; NaN if it is not defined or the seed is
        missing.
        """
        values = self.numbers[name][..., self.regions.index(region)]
        return np.where(self.available[:, :, None], values, np.nan)

    def counted(self, name: str, region: str) -> np.ndarray:
        """The same as metric(), with NaN also in the cases that are excluded from the mean of the
        metric.
        """
        at, values = self.regions.index(region), self.metric(name, region)
        if METRICS[name].over == ALL:
            return values
        holding = self.holding(region)
        if METRICS[name].over == BOTH:
            holding = holding & (self.numbers["pred_voxels"][..., at] > 0)
        return np.where(holding, values, np.nan)

    def holding(self, region: str) -> np.ndarray:
        """Whether the reference of each case holds a region: bool [N]."""
        return self.true_voxels[:, self.regions.index(region)] > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """A mean over the n patients that count, then over seeds, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


# Keyed by metric, then by (configuration, label).
MetricSummaries = Mapping[str, Mapping[tuple[int, int], MetricSummary]]


def surfaces_table(run: Run) -> pd.DataFrame:
    """One row per trial, test case and region: voxels, areas in mm2, lesions, and every entry of
    METRICS (NaN if it is not defined).

    Columns are surface_columns(); rows are sorted by trial, split, case and region. Contains no
    time and no host.
    """
    table = rows_table(run, "surfaces", SURFACE_TYPES, order=("split", "case", "region"))
    metrics = {name: metric_column(entry, table) for name, entry in METRICS.items()}
    return table.assign(**metrics)[surface_columns()]


def surface_columns() -> list[str]:
    """The columns of the surfaces table: identity, stored numbers and metrics."""
    return list(dict.fromkeys((*IDENTITY, *KEYS, *STORED, *METRICS)))


def metric_column(entry: MetricEntry, table: pd.DataFrame) -> list[float]:
    """A metric for every row of the surfaces table."""
    function = entry.load()
    return [
        value_of(function, *numbers)
        for numbers in zip(*(table[name].tolist() for name in entry.of), strict=True)
    ]


def refuse_unsound_surfaces(table: pd.DataFrame) -> None:
    """Raise ValueError unless each trial counts each case once, all use the same reference and
    tolerance, and no part of a surface is larger than the surface.
    """
    again = "delete the trial's folder and run the grid again"
    if (double := table.duplicated(["trial", "case", "region"])).any():
        row = table[double].iloc[0]
        raise ValueError(
            f"trial {row['trial']} counts the surface of {row['region']} in {row['case']} twice; "
            f"{again}"
        )
    beyond = np.zeros(len(table), bool)
    for side in ("true", "pred"):
        within, whole = table[f"{side}_within_mm2"], table[f"{side}_mm2"]
        beyond |= ((within < 0) | (within > whole * (1 + 1e-9))).to_numpy()
    if beyond.any():
        row = table[beyond].iloc[0]
        raise ValueError(
            f"trial {row['trial']}: the agreeing part of {row['region']} in {row['case']} is "
            f"larger than its surface; {again}"
        )
    for name in ("tolerance_mm", "true_voxels", "true_mm2"):
        bounds = table.groupby(["case", "region"])[name].agg(["min", "max"])
        # Different processors may round sums of areas differently.
        if (differs := bounds["max"] - bounds["min"] > 1e-9 * bounds["max"]).any():
            case, region = bounds.index[differs][0]
            low, high = bounds[differs].iloc[0]
            raise ValueError(
                f"{case}: {region} has {name} {low} in one trial and {high} in another; the data "
                "or the tolerance changed between "
                "trials; run all of them on the same version"
            )


def gather_surfaces(run: Run, table: pd.DataFrame) -> Surfaces:
    """The test rows of the pooled final trials as one dense array; no regions if no trial has
    any.
    """
    pooled = {result.trial for result in run.pooled}
    rows = table[(table["split"] == "test") & table["trial"].isin(pooled)]
    regions = tuple(sorted(rows["region"].unique()))
    cases, folds, at_case = cases_by_fold(run, rows)
    shape = (len(run.cells), len(run.seeds), len(cases), len(regions))
    at = (
        *trial_places(run, rows["trial"]),
        at_case,
        places(rows["region"], {region: i for i, region in enumerate(regions)}),
    )
    numbers = empty_numbers(shape)
    for name, block in numbers.items():
        block[at] = rows[name]
    true_voxels, available = np.zeros(shape[2:]), np.zeros(shape[:2], bool)
    true_voxels[at[2:]] = rows["true_voxels"]
    available[at[:2]] = True
    return Surfaces(
        regions=regions,
        cases=cases,
        true_voxels=true_voxels,
        numbers=numbers,
        available=available,
        patient_of=patients_of(run.grouping, cases),
        fold_of=folds,
    )


def empty_numbers(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The initial numbers of Surfaces: zeros, and NaN for each metric."""
    zeros = {name: np.zeros(shape) for name in STORED}
    return zeros | {name: np.full(shape, np.nan) for name in METRICS}


def metric_summaries(surfaces: Surfaces, classes: tuple[str, ...]) -> MetricSummaries:
    """The mean of every metric for every (configuration, label), including MEAN over the labels.

    A label that no patient holds has no mean, nor has a run without surfaces. The bootstrap draws
    are those of all other intervals over the same patients.
    """
    labels = {
        label: name
        for label, name in enumerate(classes)
        if label and name in surfaces.regions and surfaces.holding(name).any()
    }
    return {name: _summaries(surfaces, name, labels) if labels else {} for name in METRICS}


def with_scores(
    metrics: MetricSummaries, scores: Mapping[tuple[int, int], ScoreSummary]
) -> MetricSummaries:
    """The metrics with Dice and IoU as in the leaderboard, whose intervals draw all predictions
    together.
    """
    of_scores = {
        name: {
            key: replace(
                one,
                value=getattr(scores[key], name),
                low=getattr(scores[key], f"{name}_low"),
                high=getattr(scores[key], f"{name}_high"),
            )
            for key, one in metrics.get(name, {}).items()
        }
        for name in ("dice", "iou")
    }
    return {**metrics, **of_scores}


def _summaries(
    surfaces: Surfaces, metric: str, labels: Mapping[int, str]
) -> dict[tuple[int, int], MetricSummary]:
    values = {
        label: by_patient(surfaces.counted(metric, name), surfaces.patient_of)
        for label, name in labels.items()
    }
    folds = folds_of_patients(surfaces.fold_of, surfaces.patient_of)
    resampled = resample_values(values, surfaces.available, folds=folds)
    held = {label: (~np.isnan(of)).any(axis=1) for label, of in values.items()}
    held[MEAN] = np.any(list(held.values()), axis=0)
    found = {}
    for label, estimates in resampled.estimates.items():
        low, high = resampled.interval(label, METRICS[metric].bounds)
        for i, value in enumerate(estimates):
            found[i, label] = MetricSummary(
                value=float(value),
                low=float(low[i]),
                high=float(high[i]),
                n=int(held[label][i].sum()),
            )
    return found
