"""A third of the full grid's cells, trained for one step and scored: no model, loss or sampling
surprises another.
"""

from dataclasses import replace

import pytest

from bench.grids import FULL
from trials.data.prepared.cache import open_cache
from trials.records.codec import record_hash
from trials.records.job import Job
from trials.records.result import COMPLETE
from trials.records.spec import TUNE, Cube, Recipe, TrialSpec
from trials.training.attempt import attempt

STEP = Recipe(
    epochs=1,
    steps_per_epoch=1,
    batch_size=2,
    preparation=Cube(edge=32),
    weights="random",
    train_cases_scored=0,
)
RECIPES = {
    "unet3d": replace(STEP, width=4),
    "vnet": replace(STEP, width=4),
    "segresnet": replace(STEP, width=8),
    "unet2d_resnet50": replace(STEP, batch_size=2, model_options=(("depth", 3.0),)),
}
HYPER = {
    "combined": (),
    "focal": ("gamma",),
    "weighted_focal": ("gamma",),
    "class_balanced": ("gamma", "one_minus_beta"),
}
VALUES = {"gamma": 2.0, "one_minus_beta": 1e-4}
MODELS, LOSSES, SAMPLINGS = (
    tuple(dict.fromkeys(getattr(cell, factor) for cell in FULL.cells))
    for factor in ("model", "loss", "sampling")
)
# Along the diagonals, so that any two levels of two factors meet.
CELLS = [
    cell
    for cell in FULL.cells
    if (MODELS.index(cell.model) + LOSSES.index(cell.loss)) % len(SAMPLINGS)
    == SAMPLINGS.index(cell.sampling)
]


@pytest.mark.parametrize("pair", [("model", "loss"), ("model", "sampling"), ("loss", "sampling")])
def test_all_pairs_of_the_full_grid_are_among_the_cells(pair):
    met, wanted = (
        {tuple(getattr(cell, factor) for factor in pair) for cell in cells}
        for cells in (CELLS, FULL.cells)
    )

    assert met == wanted


@pytest.mark.parametrize(
    "cell", CELLS, ids=lambda cell: f"{cell.model}-{cell.loss}-{cell.sampling}"
)
def test_one_step_of_a_cell_of_the_full_grid(small_cache, tmp_path, cell):
    cache = open_cache(small_cache)
    cases = tuple(sorted(cache.cases))
    hyper = {"lr": 1e-4} | {name: VALUES[name] for name in HYPER[cell.loss]}
    spec = TrialSpec(
        dataset="phantoms",
        data=cache.digest,
        splits="sequential",
        fold=0,
        cell=cell,
        hyper=hyper,
        recipe=RECIPES[cell.model],
        seed=0,
        phase=TUNE,
    )
    job = Job(
        trial=record_hash(spec),
        spec=spec,
        out=str(tmp_path),
        cache=str(small_cache),
        train=cases[:8],
        val=cases[8:9],
    )

    result = attempt(job)

    assert result.state == COMPLETE, result.error
    assert len(result.scores) == 2 * 4
    assert result.curve[0].train_loss > 0
