"""The grid file of runs that are disturbed by the hundred: two cells on eleven phantoms, trials of
seconds.
"""

from collections.abc import Sequence


def tiny_grid(tuning: str, epochs: int, steps: int, seeds: Sequence[int] = (0,)) -> str:
    """The text of a grid whose cells are tuned so, Tuning(...), and whose final trials take so many
    epochs of so many steps.
    """
    return f"""
from dataclasses import replace
from bench.grids import DEMO, Tuning, product

TINY = replace(
    DEMO,
    name="tiny",
    generate={{"num_cases": 11, "seed": 1}},
    cells=product(("unet3d",), ("combined", "focal"), ("none",)),
    tuning={tuning},
    seeds={tuple(seeds)},
    recipes={{
        "3d": replace(
            DEMO.recipes["3d"], epochs={epochs}, steps_per_epoch={steps}, train_cases_scored=0
        )
    }},
)
"""
