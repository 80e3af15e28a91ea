"""The final trials' regions as a tidy table and as one dense block: surfaces, voxels and lesions,
and the ratios of them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.summary import MEAN, resample_values
from reports.load.counts import places
from reports.load.run_folder import SURFACE_TYPES, Run
from reports.table import COUNTS, IDENTITY, dice_of, ratio_of, rows_table

AREAS = ("true_mm2", "pred_mm2", "true_within_mm2", "pred_within_mm2")
LESIONS = ("lesions", "lesions_found", "lesions_false")
KEYS = ("split", "case", "region", "tolerance_mm")
SURFACE_COLUMNS = (*IDENTITY, *KEYS, *COUNTS, *AREAS, *LESIONS, "dice", "surface_dice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """The test cases' regions on the native grid. regions and cases in sorted order.

    true_voxels [N, R] is the reference; numbers holds every other column by its name as [C, S, N,
    R], C and S those of the run's cells and seeds; available [C, S] says which were scored (the
    others hold zeros).
    """

    regions: tuple[str, ...]
    cases: tuple[str, ...]
    true_voxels: np.ndarray
    numbers: dict[str, np.ndarray]
    available: np.ndarray

    def dice(self, region: str) -> np.ndarray:
        """Dice of a region as [C, S, N]; NaN where both masks are empty or the seed is missing."""
        at = self.regions.index(region)
        counts = (self.numbers[name][..., at] for name in COUNTS)
        return np.where(self.available[:, :, None], dice_of(*counts), np.nan)

    def surface_dice(self, region: str) -> np.ndarray:
        """Surface Dice of a region as [C, S, N]; NaN where both masks are empty or the seed is
        missing.
        """
        at = self.regions.index(region)
        areas = (self.numbers[name][..., at] for name in AREAS)
        return np.where(self.available[:, :, None], surface_dice_of(*areas), np.nan)

    def holding(self, region: str) -> np.ndarray:
        """Which cases' reference holds a region: bool [N]."""
        return self.true_voxels[:, self.regions.index(region)] > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDiceSummary:
    """A mean Surface Dice, 0..1, over the n patients that hold the region, then over seeds, with
    its 95 % interval.
    """

    value: float
    low: float
    high: float
    n: int


def surfaces_table(run: Run) -> pd.DataFrame:
    """One row per trial, test case and region: voxels, areas in mm2, lesions, Dice and Surface Dice
    (NaN where both are empty).

    Columns are SURFACE_COLUMNS, rows are sorted by trial, split, case and region. Holds no clock
    and no host.
    """
    table = rows_table(run, "surfaces", SURFACE_TYPES, order=("split", "case", "region"))
    table["dice"] = dice_of(*(table[name].to_numpy() for name in COUNTS))
    table["surface_dice"] = surface_dice_of(*(table[name].to_numpy() for name in AREAS))
    return table[list(SURFACE_COLUMNS)]


def refuse_unsound_surfaces(table: pd.DataFrame) -> None:
    """Raise ValueError unless each case counts once a trial, against one reference and tolerance,
    within what there is.
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
            f"trial {row['trial']}: more of {row['region']} in {row['case']} agrees than there is; "
            f"{again}"
        )
    for name in ("tolerance_mm", "true_voxels", "true_mm2"):
        bounds = table.groupby(["case", "region"])[name].agg(["min", "max"])
        # Two processors may add areas up to other last digits.
        if (differs := bounds["max"] - bounds["min"] > 1e-9 * bounds["max"]).any():
            case, region = bounds.index[differs][0]
            low, high = bounds[differs].iloc[0]
            raise ValueError(
                f"{case}: {region} has {name} {low} in one trial and {high} in another; the data "
                "or the rule changed between "
                "trials: run them all on one version"
            )


def surface_dice_of(
    true_mm2: np.ndarray,
    pred_mm2: np.ndarray,
    true_within_mm2: np.ndarray,
    pred_within_mm2: np.ndarray,
) -> np.ndarray:
    """trials.records.result.surface_dice over arrays of one shape."""
    return ratio_of(true_within_mm2 + pred_within_mm2, true_mm2 + pred_mm2)


def gather_surfaces(run: Run, table: pd.DataFrame) -> Surfaces:
    """The final trials' test rows of the surfaces table as one block; no regions where no trial has
    any.
    """
    finals = {
        result.trial: (run.cells.index(result.spec.cell), run.seeds.index(result.spec.seed))
        for result in run.finals
    }
    rows = table[(table["split"] == "test") & table["trial"].isin(finals)]
    regions, cases = (tuple(sorted(rows[name].unique())) for name in ("region", "case"))
    shape = (len(run.cells), len(run.seeds), len(cases), len(regions))
    at = (
        places(rows["trial"], {trial: cell for trial, (cell, _) in finals.items()}),
        places(rows["trial"], {trial: seed for trial, (_, seed) in finals.items()}),
        places(rows["case"], {case: i for i, case in enumerate(cases)}),
        places(rows["region"], {region: i for i, region in enumerate(regions)}),
    )
    numbers = {name: np.zeros(shape) for name in (*COUNTS, *AREAS, *LESIONS)}
    for name, block in numbers.items():
        block[at] = rows[name]
    true_voxels, available = np.zeros(shape[2:]), np.zeros(shape[:2], bool)
    true_voxels[at[2:]] = rows["true_voxels"]
    available[at[:2]] = True
    return Surfaces(
        regions=regions, cases=cases, true_voxels=true_voxels, numbers=numbers, available=available
    )


def surface_dice_summaries(
    surfaces: Surfaces, classes: tuple[str, ...]
) -> dict[tuple[int, int], SurfaceDiceSummary]:
    """Surface Dice of every (configuration, label), MEAN over the labels that some patient holds
    included.

    Nothing where the run has no surfaces. The draws are those of all other intervals of the same
    patients.
    """
    labels = {
        label: name for label, name in enumerate(classes) if label and name in surfaces.regions
    }
    held = {label: surfaces.holding(name) for label, name in labels.items()}
    held = {label: holding for label, holding in held.items() if holding.any()}
    if not held:
        return {}
    values = {
        label: np.where(holding, surfaces.surface_dice(labels[label]), np.nan)
        for label, holding in held.items()
    }
    resampled, found = resample_values(values, surfaces.available), {}
    for label, estimates in resampled.estimates.items():
        num = int(np.any(list(held.values()), axis=0).sum() if label == MEAN else held[label].sum())
        low, high = resampled.interval(label)
        for i, value in enumerate(estimates):
            found[i, label] = SurfaceDiceSummary(
                value=float(value), low=float(low[i]), high=float(high[i]), n=num
            )
    return found
