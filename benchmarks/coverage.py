"""Do the report's intervals and claims hold their level, and does it resolve what it says that it
can? Simulated runs, judged by the report's own functions.

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
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import expit

from reports.analysis.questions import answer_questions
from reports.analysis.selection import judge_pairs, select
from reports.analysis.summary import resample_ratio, resample_values
from reports.load.counts import Counts
from reports.load.run_folder import Run
from reports.stats.power import Design, Spread, smallest_gap
from trials.process.versions import processor_name
from trials.records.questions import asked
from trials.records.spec import Cell

CASES, VALIDATION_CASES, REPLICATES, SEED = 81, 70, 2000, 20_261_123
FOLDS, CASES_OF_FOLD = 5, 20
VOXELS = 10_000
# Patients of whom there are several scans.
CLUSTERS = 40
# Standard deviations of a difference between patients and of a training between seeds.
SPREAD, BETWEEN_SEEDS = 0.10, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Standard deviations on the logit of Dice, and the share of patients in whom the lesion is
    missed. scan is that of a patient's scans, where patients have several; training_set that of
    the training cases of a fold, which all seeds of a configuration share.
    """

    level: float = 1.3
    case: float = 1.0
    mix: float = 0.4
    seed_effect: float = 0.1
    rest: float = 0.4
    missed: float = 0.06
    scan: float = 0.3
    training_set: float = 0.2


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


def draw_folds(
    rng: np.random.Generator, world: World, num_cells: int, num_seeds: int, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Validation and test Dice of equal configurations in a cross-validation, [C, S, N] each; folds
    [N] is each patient's. A patient is tested by the trainings of its fold and validates those of
    the fold before, so both scores share what the patient is to a configuration.
    """
    num = len(folds)
    case, missed = rng.normal(0, world.case, num), rng.random(num) < world.missed
    mix = rng.normal(0, world.mix, (num_cells, 1, num))
    training = rng.normal(0, world.seed_effect, (num_cells, num_seeds, FOLDS))
    training = training + rng.normal(0, world.training_set, (num_cells, 1, FOLDS))
    scores = []
    for by in ((folds - 1) % FOLDS, folds):
        rest = rng.normal(0, world.rest, (num_cells, num_seeds, num))
        logit = world.level + case + mix + training[:, :, by] + rest
        scores.append(np.where(missed, 0.0, expit(logit)))
    return scores[0], scores[1]


def as_counts(
    dice: np.ndarray, patients: tuple[str, ...] = (), folds: tuple[int, ...] = ()
) -> Counts:
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
        fold_of=folds,
    )


def made_run(num_cells: int, num_seeds: int) -> Run:
    """A run without a folder: names alone."""
    # As square a grid as the number allows: 8 models x 8 losses, 3 x 4, or losses alone.
    losses = next(n for n in range(math.isqrt(num_cells), 0, -1) if num_cells % n == 0)
    cells = tuple(
        Cell(model=str(i // losses), loss=str(i % losses), sampling="") for i in range(num_cells)
    )
    names = dict.fromkeys(Run.__dataclass_fields__, ())
    fields = {"out": Path(), "record": {}, "grid_text": "", "classes": ("background", "lesion")}
    fields |= {"folds": (0,)}
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
    by scan, and the claims on equal configurations.
    """
    world = World()
    patients = np.repeat(np.arange(CLUSTERS), 1 + np.arange(CLUSTERS) % 4)
    dice = draw_scans(rng, world, draw_luck(rng, world, num_cells, num_seeds), patients)
    truth = mean_dice(replace(world, case=math.hypot(world.case, world.scan)))
    found = {}
    for unit, names in (("patient", tuple(map(str, patients))), ("scan", ())):
        counts = as_counts(dice, names)
        resampled = resample_ratio(counts, num_draws=2000)
        low, high = resampled.interval(1)
        under, over = resampled.lead_interval(1, 0)
        pairs = judge_pairs(counts, resampled)
        found |= {
            f"by {unit}: interval of a mean": bool(low[0] <= truth <= high[0]),
            f"by {unit}: interval of a difference": bool(under[1] <= 0 <= over[1]),
            f"by {unit}: any pair resolved": bool(pairs.verdicts.resolved.any()),
        }
    return found


def crossed(
    rng: np.random.Generator, world: World, num_seeds: int, num_cells: int
) -> dict[str, bool]:
    """A cross-validation of 5 folds of 20 patients: the intervals with what trainings add, as the
    report has them, and without; and the false claims of a report of equal configurations.
    """
    folds = np.arange(FOLDS * CASES_OF_FOLD) % FOLDS
    names = tuple(folds.tolist())
    validation, test = draw_folds(rng, world, num_cells, num_seeds, folds)
    truth = mean_dice(replace(world, seed_effect=math.hypot(world.seed_effect, world.training_set)))
    found = {}
    for how, of_folds in (("", names), (", folds ignored", ())):
        resampled = resample_ratio(as_counts(test, folds=of_folds), num_draws=2000)
        (low, high), (under, over) = resampled.interval(1), resampled.lead_interval(1, 0)
        found |= {
            f"interval of a mean{how}": bool(low[0] <= truth <= high[0]),
            f"interval of a difference{how}": bool(under[1] <= 0 <= over[1]),
        }
    run = replace(made_run(num_cells, num_seeds), folds=tuple(range(FOLDS)))
    counts = [as_counts(dice, folds=names) for dice in (validation, test)]
    return found | _claimed(run, *counts)


def claims(
    rng: np.random.Generator, world: World, num_seeds: int, num_cells: int, scans: int = 1
) -> dict[str, bool]:
    """Which false claims one simulated report of equal configurations makes; scans is the number of
    scans of each patient.
    """
    effect = draw_luck(rng, world, num_cells, num_seeds)
    sizes = (VALIDATION_CASES, CASES) if scans == 1 else (VALIDATION_CASES, CLUSTERS)
    validation, test = (_drawn(rng, world, effect, num, scans) for num in sizes)
    return _claimed(made_run(num_cells, num_seeds), validation, test)


def _claimed(run: Run, validation: Counts, test: Counts) -> dict[str, bool]:
    """What a report claims of equal configurations."""
    resampled = resample_ratio(test, num_draws=500)
    answers = answer_questions(run, asked(None, run.cells), test, resampled)
    pairs = judge_pairs(test, resampled)
    selection = select(run, validation, test, resampled, pairs)
    assert selection is not None
    return {
        "a false winner": selection.winner,
        "any answer to a question resolved": any(
            one.resolved for answer in answers for one in answer.found
        ),
        "any pair resolved": bool(pairs.verdicts.resolved.any()),
    }


def _drawn(
    rng: np.random.Generator, world: World, effect: np.ndarray, num: int, scans: int
) -> Counts:
    if scans == 1:
        return as_counts(draw_dice(rng, world, effect, num))
    patients = np.repeat(np.arange(num), scans)
    return as_counts(draw_scans(rng, world, effect, patients), tuple(map(str, patients)))


def detected(rng: np.random.Generator, num_cases: int, num_seeds: int, times: float) -> dict:
    """Whether one simulated report resolves a difference of `times` what smallest_gap says that it
    finds with 80 % power: two losses, whose difference varies by SPREAD between patients.
    """
    design = Design(patients=num_cases, seeds=num_seeds, configurations=2)
    seed_effect = 2 * BETWEEN_SEEDS**2
    gap = times * smallest_gap(Spread(mix=SPREAD**2, rest=0.0, seed_effect=seed_effect), design)
    shifts = rng.normal(0, BETWEEN_SEEDS, (2, num_seeds, 1))
    own = rng.normal(0, SPREAD / math.sqrt(2), (2, 1, num_cases))
    level = np.clip(rng.normal(0.6, 0.05, num_cases), 0, 1)
    dice = level + shifts + own + np.reshape([0, gap], (2, 1, 1))
    counts = as_counts(np.clip(dice, 0, 1))
    resampled = resample_ratio(counts, num_draws=500)
    found = judge_pairs(counts, resampled).verdicts.resolved
    return {f"{num_cases} patients, gap {gap:.3f} resolved": bool(found[0])}


def shares(
    simulate: Callable[[np.random.Generator], dict[str, bool]], replicates: int
) -> Iterator[tuple[str, float, float]]:
    """Each claim's share of the simulated runs and its Monte Carlo standard error; a seed a run."""
    runs = [simulate(np.random.default_rng((SEED, i))) for i in range(replicates)]
    for name in runs[0]:
        share = float(np.mean([run[name] for run in runs]))
        yield name, share, math.sqrt(share * (1 - share) / replicates)


Study = Callable[[np.random.Generator], dict[str, bool]]
NONE, MUCH = World(seed_effect=0.0), World(seed_effect=0.4)


def intervals() -> Iterator[tuple[str, float, Study]]:
    """Whether intervals hold the truth: each study's title and its share of the simulated runs."""
    yield "12 cells, 1 seed, no seed effect", 0.5, lambda rng: coverage(rng, NONE, 1)
    yield "12 cells, 3 seeds, small seed effect", 0.5, lambda rng: coverage(rng, World(), 3)
    yield "12 cells, 3 seeds, large seed effect", 0.5, lambda rng: coverage(rng, MUCH, 3)
    yield "2 cells, 3 seeds, large seed effect", 1, lambda rng: coverage(rng, MUCH, 3, 2)
    yield "40 patients, 100 scans, 3 seeds", 1, lambda rng: clustered(rng, 3)


def crossed_cells() -> Iterator[tuple[str, float, Study]]:
    """Intervals and claims of a cross-validation, with and without what trainings add."""
    yield "12 cells, 5 folds, 1 seed, small effect", 0.4, lambda rng: crossed(rng, World(), 1, 12)
    yield "12 cells, 5 folds, 1 seed, large effect", 0.4, lambda rng: crossed(rng, MUCH, 1, 12)
    yield "2 cells, 5 folds, 1 seed, small effect", 1, lambda rng: crossed(rng, World(), 1, 2)
    yield "2 cells, 5 folds, 1 seed, large effect", 1, lambda rng: crossed(rng, MUCH, 1, 2)
    yield "2 cells, 5 folds, 3 seeds, large effect", 1, lambda rng: crossed(rng, MUCH, 3, 2)


def equal_cells() -> Iterator[tuple[str, float, Study]]:
    """What is claimed of equal configurations; the most pairs have the fewest simulated runs."""
    worlds = (("no", NONE), ("large", MUCH))
    for (num, share), (name, world) in product(EQUAL.items(), worlds):
        for scans, patients in (
            (1, f"{CASES} patients"),
            (3, f"{CLUSTERS} patients, 3 scans each"),
        ):
            title = f"{num} equal cells, {patients}, {name} seed effect"
            study = partial(claims, world=world, num_seeds=3, num_cells=num, scans=scans)
            yield title, share, study


def resolvable() -> Iterator[tuple[str, float, Study]]:
    """How often the smallest differences of the report are resolved, and half of them."""
    for num, times in product((6, 8, 10, 16, 25, 40, 81), (1.0, 0.5)):
        title = f"{'smallest difference' if times == 1 else 'half of it'}, 2 cells, 3 seeds"
        yield title, 0.25, partial(detected, num_cases=num, num_seeds=3, times=times)


EQUAL = {2: 1.0, 3: 0.5, 12: 0.25, 64: 0.05}


def main() -> None:
    """Print every study's shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--studies", default="", help="only those whose title starts so")
    options = parser.parse_args()
    replicates = options.replicates
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {processor_name()}, up to {replicates} simulated runs "
        f"each, seed {SEED}"
    )
    studies = (*equal_cells(), *resolvable(), *intervals(), *crossed_cells())
    for study, share, simulate in studies:
        if not study.startswith(options.studies):
            continue
        num = max(1, round(share * replicates))
        for name, found, error in shares(simulate, num):
            percent = f"{100 * found:6.2f} % +/- {100 * error:.2f}"
            print(f"{study:61}{name:42}{percent}, {num} runs", flush=True)


if __name__ == "__main__":
    main()
