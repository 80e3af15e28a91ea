"""The part `grid`: six trials of one model, one after the other on one GPU, through `python -m
bench.run`.
"""

import statistics
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.gpu.bare import random_batch, search_kernels, step_ms, train_bare
from benchmarks.gpu.busy import busy_percent, watching
from benchmarks.gpu.real_run import bench_run, spans
from benchmarks.gpu.rows import BUSY_ROW, GAP_ROW, ROWS, SIX_ROW, Sheet
from benchmarks.gpu.sizes import CLASSES
from trials.inference.network import memory_format, pick_device, pick_precision
from trials.models.build import build
from trials.models.registry import MODELS
from trials.process.environment import reset_peak
from trials.voxel_losses import Combined

# Five settings of a search and the final trial.
GRID = """
from dataclasses import replace
from bench.grids import DEMO, Cube, Tuning, product

RECIPE = replace(
    DEMO.recipes["3d"],
    epochs={epochs},
    steps_per_epoch={steps},
    batch_size={batch},
    width={width},
    preparation=Cube(edge={cube}),
    gpu_share=1.0,
)
SIX = replace(
    DEMO,
    name="six",
    generate={{"num_cases": 11, "seed": 1}},
    cells=product(("unet3d",), ("combined",), ("none",)),
    tuning=Tuning(trials=5, prune=False),
    recipes={{"3d": RECIPE}},
)
"""
# Seconds until Ray and the first trial are there, and after the last for the report.
AROUND_SECONDS = 45.0
GAP_SECONDS, EPOCHS = 3.0, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The size of a trial's batches."""

    cube: int
    width: int
    batch: int


FORMS = {"full": Form(cube=64, width=32, batch=8), "short": Form(cube=32, width=4, batch=2)}


def run_grid(sheet: Sheet, size: str) -> None:
    """Write the rows of the part."""
    names = [row.name for row in ROWS["grid"]]
    sheet.measure(names, lambda: six_trials(sheet, FORMS[size], is_long=size == "full"))


def six_trials(sheet: Sheet, form: Form, is_long: bool) -> None:
    """Run the grid under watch and write what its results say."""
    seconds = (sheet.left() - AROUND_SECONDS) / 6 - GAP_SECONDS
    steps = max(1, int(1000 * seconds / EPOCHS / form_step_ms(form))) if is_long else 2
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        text = GRID.format(
            epochs=EPOCHS, steps=steps, batch=form.batch, width=form.width, cube=form.cube
        )
        (place / "grid.py").write_text(text)
        with watching() as samples:
            is_whole = bench_run(str(place / "grid.py"), place, sheet.left())
        found = spans(place / "out")
    each = f"{EPOCHS} epochs of {steps} steps a trial" + (
        "" if is_whole else ", ended by the part's time or an error"
    )
    sheet.write(SIX_ROW, len(found), each)
    gaps = [after.first_step - before.end for before, after in pairwise(found)]
    sheet.write(
        GAP_ROW, max(gaps), f"the longest of {len(gaps)}, median {statistics.median(gaps):.2f} s"
    )
    lasted = found[-1].end - found[0].first_step
    sheet.write(
        BUSY_ROW, busy_percent(samples, found[0].first_step, found[-1].end), f"over {lasted:.0f} s"
    )


def form_step_ms(form: Form) -> float:
    """Milliseconds of a step of the grid's trials, by a bare loop, which takes about as long."""
    device, part = pick_device(), MODELS["unet3d"]
    search_kernels(part.kernel_search)
    layout = part.eager_gpu_layout if device.type == "cuda" else part.layout
    module = (
        build("unet3d", CLASSES, width=form.width)
        .to(memory_format=memory_format(layout, 3))
        .to(device)
    )
    batch = random_batch(form.batch, form.cube, 3, CLASSES, device)
    milliseconds = step_ms(
        train_bare(module, Combined(), batch, pick_precision("auto", device), 13, 1e-4)
    )
    del module, batch
    reset_peak()
    return milliseconds
