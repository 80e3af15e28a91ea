"""What tuning is worth: the best of seven settings against the best of seven seeds of the default
setting, both by validation.

Phantoms, real training, both grids run by `python -m bench.run` itself; the default is the study's
learning rate of 1e-4.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.compare import keep

BUDGET = 7
GRID = """
from dataclasses import replace

from bench.grids import DEMO, Tuning, product
from bench.spaces import SPACES

RECIPE = replace(DEMO.recipes["3d"], epochs=4, steps_per_epoch=16, train_cases_scored=0)
SMALL = replace(
    DEMO,
    name="small",
    generate={{"num_cases": 33, "seed": 2}},
    cells=product(("unet3d",), ("combined", "class_balanced"), ("none",)),
    recipes={{"3d": RECIPE}},
    hyper={{}},
    spaces={{"*": {{"lr": SPACES["lr"]}}}},
    seeds={seeds},
    tuning={tuning},
)
"""


def run(
    place: Path, name: str, seeds: tuple[int, ...], tuning: str
) -> tuple[pd.DataFrame, pd.Series]:
    """Run a grid of two cells; returns its trials and the mean test Dice of each, over classes and
    cases that hold them.
    """
    (place / f"{name}.py").write_text(GRID.format(seeds=seeds, tuning=tuning))
    out = place / name
    command = [
        sys.executable,
        "-m",
        "bench.run",
        "--grid",
        str(place / f"{name}.py"),
        "--out",
        str(out),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    scores = pd.read_parquet(out / "scores.parquet")
    test = scores[
        (scores["split"] == "test") & (scores["space"] == "native") & (scores["label"] > 0)
    ]
    held = test[test["true_voxels"] > 0]
    by_class = held.groupby(["trial", "label"])["dice"].mean()
    return pd.read_parquet(out / "trials.parquet"), by_class.groupby("trial").mean()


def best(finals: pd.DataFrame, dice: pd.Series) -> float:
    """The test Dice of the final trial with the best validation score."""
    return float(dice[finals.loc[finals["val_score"].idxmax(), "trial"]])


def main() -> None:
    """Run both grids and keep the table."""
    with tempfile.TemporaryDirectory() as folder:
        tuned, tuned_dice = run(Path(folder), "tuned", (0,), f"Tuning(trials={BUDGET - 1})")
        default, default_dice = run(Path(folder), "default", tuple(range(BUDGET)), "None")
    lines = [
        f"{'cell':26} {'default':>9} {f'best of {BUDGET}':>10} {'tuned':>7} {'lr':>9} "
        f"{'epochs':>7} {'of':>4} {'pruned':>7}"
    ]
    for loss, finals in default.groupby("loss"):
        mine = tuned[tuned["loss"] == loss]
        last = mine[mine["phase"] == "final"]
        first = float(default_dice[finals.loc[finals["seed"] == 0, "trial"].iloc[0]])
        lines.append(
            f"{f'unet3d, {loss}, none':26} {first:9.3f} {best(finals, default_dice):10.3f} "
            f"{best(last, tuned_dice):7.3f} "
            f"{last['lr'].iloc[0]:9.2g} {mine['epochs'].sum():7.0f} {finals['epochs'].sum():4.0f} "
            f"{(mine['state'] == 'PRUNED').sum():7d}"
        )
    about = (
        f"Mean test Dice on phantoms: the default setting under seed 0; the best of {BUDGET} seeds "
        "of it; the best of\n"
        f"{BUDGET - 1} settings, trained once more. Then its learning rate, and the epochs trained "
        "beside those of the seeds."
    )
    keep("tuning", about, lines)


if __name__ == "__main__":
    main()
