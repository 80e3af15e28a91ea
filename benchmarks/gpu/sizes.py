"""What is measured at which size: FULL's recipes on a GPU, and a tiny form of
everything for a CPU."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.grids import FULL
from benchmarks.gpu.rows import SLICE_MODEL, VOLUME_MODELS
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.records.job import Job
from trials.records.spec import TUNE, Cell, Cube, Recipe, TrialSpec

# Training cases of FULL's split, each of 128 slices: what compile="auto" of a real trial goes by.
FULL_CASES, FULL_SLICES = 337, 337 * 128
CLASSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The recipes by model, each of an epoch's steps, and the number of cases.

    bare_steps are those of a bare loop, compared_steps of the network whose predictions are
    compared; rounds is how often a validation is timed. stance is that of torch.compiler: under
    "force_eager" what is compiled runs eagerly. in_new_process says that first epochs without
    compiling are timed in a process of their own, which takes seconds to start.
    """

    recipes: Mapping[str, Recipe]
    cases: int
    bare_steps: int = 15
    compared_steps: int = 30
    rounds: int = 3
    stance: Literal["default", "force_eager"] = "default"
    in_new_process: bool = True


def of_full(recipe: Recipe, items: int, steps: int) -> Recipe:
    """A recipe of FULL in epochs of so many steps, over as many items in all as a trial of FULL is
    trained on.
    """
    epochs = math.ceil(recipe.epochs * items / (steps * recipe.batch_size))
    return replace(
        recipe, epochs=epochs, steps_per_epoch=steps, train_cases_scored=0, weights="random"
    )


VOLUMES = of_full(FULL.recipes["3d"], FULL_CASES, 12)
SLICES = of_full(FULL.recipes["2d"], FULL_SLICES, 50)
LITTLE = replace(
    VOLUMES,
    batch_size=1,
    steps_per_epoch=2,
    width=2,
    preparation=Cube(edge=32),
    compile="never",
)
SIZES = {
    "full": Sizes(recipes=dict.fromkeys(VOLUME_MODELS, VOLUMES) | {SLICE_MODEL: SLICES}, cases=12),
    "short": Sizes(
        recipes={
            "unet3d": LITTLE,
            "segresnet": replace(LITTLE, width=8),
            "vnet": replace(LITTLE, model_options=(("kernel", 3.0),)),
            SLICE_MODEL: replace(LITTLE, batch_size=4, width=None, model_options=(("depth", 3.0),)),
        },
        cases=1,
        bare_steps=1,
        compared_steps=1,
        rounds=1,
        # To compile a network takes a CPU half a minute.
        stance="force_eager",
        in_new_process=False,
    ),
}


def prepared(sizes: Sizes, place: Path) -> Cache:
    """Phantoms rendered and prepared under a folder."""
    write_phantoms(place / "phantoms", sizes.cases)
    preparation = next(iter(sizes.recipes.values())).preparation
    return open_cache(
        prepare_dataset(open_dataset("phantoms", place / "phantoms"), preparation, place / "cache")
    )


def job_of(cache: Cache, model: str, recipe: Recipe) -> Job:
    """A trial of a model that trains on all cases and validates on all cases."""
    cases, cell = tuple(cache.cases), Cell(model=model, loss="combined", sampling="none")
    spec = TrialSpec(
        dataset="phantoms",
        data=cache.digest,
        splits="sequential",
        fold=0,
        cell=cell,
        hyper={"lr": 1e-4},
        recipe=recipe,
        seed=0,
        phase=TUNE,
    )
    return Job(trial=model, spec=spec, out="", cache=str(cache.folder), train=cases, val=cases)
