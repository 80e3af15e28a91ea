"""Do the report's intervals and claims hold their level? Simulated runs of skewed Dice, judged by
the report's own functions.

    python benchmarks/coverage.py > benchmarks/results/coverage.txt

The world: a patient's difficulty, how it mixes with a configuration, the seed_effect of a training
and a rest, normal on the logit of Dice; a share of the patients is missed whatever one does. The
truth is known by quadrature.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit

from reports.analysis.comparisons import DEFAULT_FAMILIES, LEVEL, compare_family
from reports.analysis.selection import select
from reports.analysis.summary import resample_ratio, resample_values
from reports.load.counts import Counts
from reports.load.run_folder import Run
from trials.process.versions import processor_name
from trials.records.spec import Cell

CASES, VALIDATION_CASES, REPLICATES, SEED = 81, 70, 2000, 20_261_123
VOXELS = 10_000
# Patients of whom there are several scans.
CLUSTERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Standard deviations on the logit of Dice, and the share of patients in whom the lesion is
    missed. scan is that of a patient's scans, where patients have several.
    """

    level: float = 1.3
    case: float = 1.0
    mix: float = 0.4
    seed_effect: float = 0.1
    rest: float = 0.4
    missed: float = 0.06
    scan: float = 0.3


@cache
def mean_dice(world: World) -> float:
    """The mean over all patients and all trainings, by Gauss-Hermite quadrature."""
    places, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = math.sqrt(world.case**2 + world.mix**2 + world.seed_effect**2 + world.rest**2)
    return (
        (1 - world.missed)
        * float(weights @ expit(world.level + spread * places))
        / float(weights.sum())
    )


def draw_luck(rng: np.random.Generator, world: World, num_cells: int, num_seeds: int) -> np.ndarray:
    """The seed_effect of every training, [C, S, 1]: the same on validation and test."""
    return rng.normal(0, world.seed_effect, (num_cells, num_seeds, 1))


def draw_dice(
    rng: np.random.Generator, world: World, seed_effect: np.ndarray, num_cases: int = CASES
) -> np.ndarray:
    """Dice of equal configurations on the same patients, [C, S, N]."""
    num_cells, num_seeds, _ = seed_effect.shape
    case, missed = rng.normal(0, world.case, num_cases), rng.random(num_cases) < world.missed
    mix = rng.normal(0, world.mix, (num_cells, 1, num_cases))
    rest = rng.normal(0, world.rest, (num_cells, num_seeds, num_cases))
    return np.where(missed, 0.0, expit(world.level + case + mix + seed_effect + rest))


def draw_scans(
    rng: np.random.Generator, world: World, seed_effect: np.ndarray, patients: np.ndarray
) -> np.ndarray:
    """Dice of equal configurations on several scans of the same patients, [C, S, N]; patients [N]
    is each scan's patient, counted from 0. A lesion is missed in all scans of a patient.
    """
    num_cells, num_seeds, _ = seed_effect.shape
    num = int(patients.max()) + 1
    case, missed = rng.normal(0, world.case, num), rng.random(num) < world.missed
    mix = rng.normal(0, world.mix, (num_cells, 1, num))
    own = rng.normal(0, world.scan, len(patients))
    rest = rng.normal(0, world.rest, (num_cells, num_seeds, len(patients)))
    logit = world.level + (case + mix + seed_effect)[..., patients] + own + rest
    return np.where(missed[patients], 0.0, expit(logit))


def as_counts(dice: np.ndarray, patients: tuple[str, ...] = ()) -> Counts:
    """One class, every case's lesion of 10,000 voxels predicted at its size: the overlap is the
    Dice.
    """
    num_cells, num_seeds, num_cases = dice.shape
    true = np.full((num_cases, 2), VOXELS)
    overlap = np.repeat(np.rint(VOXELS * dice).astype(np.int64)[..., None], 2, axis=3)
    pred, available = np.broadcast_to(true, overlap.shape), np.ones((num_cells, num_seeds), bool)
    return Counts(
        cases=tuple(map(str, range(num_cases))),
        true=true,
        pred=pred,
        overlap=overlap,
        available=available,
        patient_of=patients,
    )


def made_run(num_cells: int, num_seeds: int) -> Run:
    """A run without a folder: names alone."""
    cells = tuple(Cell(model=str(i), loss="", sampling="") for i in range(num_cells))
    names = dict.fromkeys(Run.__dataclass_fields__, ())
    fields = {"out": Path(), "record": {}, "grid_text": "", "classes": ("background", "lesion")}
    return Run(**(names | fields | {"cells": cells, "seeds": tuple(range(num_seeds))}))


def coverage(
    rng: np.random.Generator, world: World, num_seeds: int, num_cells: int = 12
) -> dict[str, bool]:
    """Whether the intervals of one mean and of one difference hold the truth in one
    simulated run."""
    values = draw_dice(rng, world, draw_luck(rng, world, num_cells, num_seeds))
    found = resample_values({1: values}, np.ones(values.shape[:2], bool), 2000)
    (low, high), (under, over) = found.interval(1), found.lead_interval(1, 0)
    return {
        "interval of a mean holds the truth": bool(low[0] <= mean_dice(world) <= high[0]),
        "interval of a difference holds the truth": bool(under[1] <= 0 <= over[1]),
    }


def clustered(rng: np.random.Generator, num_seeds: int, num_cells: int = 2) -> dict[str, bool]:
    """Intervals over 40 patients with one to four scans each, by patient as the report has them and
    by scan, and the test of two equal configurations.
    """
    world = World()
    patients = np.repeat(np.arange(CLUSTERS), 1 + np.arange(CLUSTERS) % 4)
    dice = draw_scans(rng, world, draw_luck(rng, world, num_cells, num_seeds), patients)
    truth = mean_dice(replace(world, case=math.hypot(world.case, world.scan)))
    found = {}
    for unit, names in (("patient", tuple(map(str, patients))), ("scan", ())):
        counts = as_counts(dice, names)
        low, high = resample_ratio(counts, num_draws=2000).interval(1)
        under, over = resample_ratio(counts, num_draws=2000).lead_interval(1, 0)
        p = compare_family(DEFAULT_FAMILIES[0], made_run(num_cells, num_seeds).cells, counts, 0).p
        found |= {
            f"by {unit}: interval of a mean": bool(low[0] <= truth <= high[0]),
            f"by {unit}: interval of a difference": bool(under[1] <= 0 <= over[1]),
            f"by {unit}: false claim": min(p.values()) < LEVEL,
        }
    return found


def claims(
    rng: np.random.Generator, world: World, num_seeds: int, num_cells: int, with_choice: bool
) -> dict[str, bool]:
    """Which false claims one simulated report of equal configurations makes."""
    seed_effect = draw_luck(rng, world, num_cells, num_seeds)
    validation, test = (
        as_counts(draw_dice(rng, world, seed_effect, num)) for num in (VALIDATION_CASES, CASES)
    )
    run = made_run(num_cells, num_seeds)
    found = {}
    if with_choice:
        selection = select(run, validation, test, resample_ratio(test, num_draws=500))
        assert selection is not None
        found = {
            "no winner": not selection.winner,
            "any rival called resolved": bool(selection.resolved.any()),
        }
    selected = int(np.argmax(validation.ratio(1).mean((1, 2))))
    for family in DEFAULT_FAMILIES:
        adjusted = compare_family(family, run.cells, test, selected).adjusted
        found[f"any false claim, {family.name}"] = any(p < LEVEL for p in adjusted.values())
    return found


def shares(
    simulate: Callable[[np.random.Generator], dict[str, bool]], replicates: int
) -> Iterator[tuple[str, float, float]]:
    """Each claim's share of the simulated runs and its Monte Carlo standard error; a seed a run."""
    runs = [simulate(np.random.default_rng((SEED, i))) for i in range(replicates)]
    for name in runs[0]:
        share = float(np.mean([run[name] for run in runs]))
        yield name, share, math.sqrt(share * (1 - share) / replicates)


STUDIES: dict[str, Callable[[np.random.Generator], dict[str, bool]]] = {
    "12 cells, 1 seed, no seed_effect": lambda rng: coverage(rng, World(seed_effect=0.0), 1),
    "12 cells, 3 seeds, little seed_effect": lambda rng: coverage(rng, World(), 3),
    "12 cells, 3 seeds, much seed_effect": lambda rng: coverage(rng, World(seed_effect=0.4), 3),
    "2 cells, 3 seeds, much seed_effect": lambda rng: (
        coverage(rng, World(seed_effect=0.4), 3, 2)
        | claims(rng, World(seed_effect=0.4), 3, 2, True)
    ),
    "40 patients, 100 scans, 3 seeds": lambda rng: clustered(rng, 3),
    "64 cells, 3 seeds, no seed_effect": lambda rng: claims(
        rng, World(seed_effect=0.0), 3, 64, False
    ),
    "64 cells, 3 seeds, much seed_effect": lambda rng: claims(
        rng, World(seed_effect=0.4), 3, 64, True
    ),
}


def main() -> None:
    """Print every study's shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    replicates = parser.parse_args().replicates
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {processor_name()}, {replicates} simulated runs each, "
        f"{CASES} patients, seed {SEED}"
    )
    for study, simulate in STUDIES.items():
        for name, share, error in shares(simulate, replicates):
            print(f"{study:32}{name:44}{100 * share:6.2f} % +/- {100 * error:.2f}", flush=True)


if __name__ == "__main__":
    main()
