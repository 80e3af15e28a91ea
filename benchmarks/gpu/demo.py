"""The part `demo`: the grid `demo` on one GPU through `python -m bench.run`, its trials side by
side in eighths of the GPU.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.grid.expand import count_trials
from bench.grid.resolve import before_data, resolve
from bench.grids import DEMO, Grid
from benchmarks.gpu.real_run import bench_run, results
from benchmarks.gpu.rows import DICE_ROW, DONE_ROW, ROWS, WALL_ROW, Sheet

GRID = """
from dataclasses import replace
from bench.grids import DEMO

RECIPES = {name: replace(recipe, gpu_share=0.125) for name, recipe in DEMO.recipes.items()}
EIGHTHS = replace(DEMO, name="demo_eighths", recipes=RECIPES)
"""
# One cell of it, for the short form.
ONE = """
from dataclasses import replace
from bench.grids import DEMO

ONE = replace(
    DEMO,
    name="demo_one",
    generate={"num_cases": 11, "seed": 1},
    cells=DEMO.cells[-1:],
    tuning=None,
    recipes={"3d": replace(DEMO.recipes["3d"], epochs=1, steps_per_epoch=2)},
)
"""
# The demo's own limit is four minutes; it is ended there.
LIMIT_SECONDS = 240.0


def run_demo(sheet: Sheet, size: str) -> None:
    """Write the rows of the part."""
    sheet.measure([row.name for row in ROWS["demo"]], lambda: whole_demo(sheet, size))


def whole_demo(sheet: Sheet, size: str) -> None:
    """Run the demo and write how long it took, how much of it is there and how well its best cell
    segments.
    """
    text, trials = (GRID, num_trials(DEMO)) if size == "full" else (ONE, 1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "grid.py").write_text(text)
        started = time.perf_counter()
        is_whole = bench_run(
            str(place / "grid.py"), place, LIMIT_SECONDS if sheet.seconds >= 60 else sheet.left()
        )
        seconds = time.perf_counter() - started
        complete = [
            found for found in results(place / "out").values() if found["state"] == "COMPLETE"
        ]
    sheet.write(
        WALL_ROW,
        seconds,
        "from the command to its report" if is_whole else "ended by the part's time or an error",
    )
    sheet.write(DONE_ROW, 100 * len(complete) / trials, f"{len(complete)} of {trials}")
    dice, cell = best_cell(complete)
    sheet.write(DICE_ROW, dice, cell)


def num_trials(grid: Grid) -> int:
    """How many trials a grid has."""
    return sum(count_trials(resolve(grid, before_data(grid))).values())


def best_cell(complete: Sequence[dict]) -> tuple[float, str]:
    """The highest mean over foreground labels of mean test Dice on the native grid, and the cell
    that has it.

    A label's mean is over the cases whose reference holds it. Raises ValueError where no final
    trial is complete.
    """
    found = []
    for result in complete:
        if result["spec"]["phase"] == "final":
            cell = result["spec"]["cell"]
            found.append(
                (mean_dice(result["scores"]), f"{cell['model']} {cell['loss']} {cell['sampling']}")
            )
    if not found:
        raise ValueError("no final trial is complete")
    return max(found)


def mean_dice(scores: Sequence[dict]) -> float:
    """The mean over foreground labels of a result's scores of test cases on the native grid."""
    by_label: dict[int, list[float]] = {}
    for score in scores:
        if (
            (score["split"], score["space"]) == ("test", "native")
            and score["label"]
            and score["true_voxels"]
        ):
            dice = 2 * score["overlap_voxels"] / (score["true_voxels"] + score["pred_voxels"])
            by_label.setdefault(score["label"], []).append(dice)
    return sum(sum(values) / len(values) for values in by_label.values()) / len(by_label)
