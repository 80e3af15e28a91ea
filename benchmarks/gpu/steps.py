"""The part `steps`: our trainer against bare loops, first epochs, validation, arithmetic and
memory.
"""

import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.against_cpu import compare_devices
from benchmarks.gpu.ours import Trained, arithmetic, train_ours, validation_seconds
from benchmarks.gpu.rows import (
    COUNTS_ROW,
    LAYOUTS,
    LOSS_ROWS,
    MODES,
    ROWS,
    SLICE_MODEL,
    VOXELS_ROW,
    Sheet,
    bare_row,
    eager_start_row,
    own_rows,
    step_row,
)
from benchmarks.gpu.sizes import SIZES, Sizes, prepared
from benchmarks.gpu.starting import measure_starts
from benchmarks.gpu.ways import OURS, bare, compiling_ahead
from trials.data.prepared.cache import Cache

# The likeliest best comes first, so that a ratio means something early.
WAYS = (
    ("channels_last", "compiled"),
    ("contiguous", "eager"),
    ("channels_last", "eager"),
    ("contiguous", "compiled"),
)
# The part of the time in which processes may compile ahead, and seconds that a network takes which
# they did not finish.
AHEAD_SHARE, COMPILE_SECONDS = 0.45, 60.0


def run_steps(sheet: Sheet, sizes: str) -> None:
    """Write every row of the part that its time allows."""
    with tempfile.TemporaryDirectory() as name, torch.compiler.set_stance(SIZES[sizes].stance):
        cache = prepared(SIZES[sizes], Path(name))
        with compiling_ahead(sizes, cache, AHEAD_SHARE * sheet.left()) as ahead:
            sheet.measure(
                [*LOSS_ROWS.values(), COUNTS_ROW, VOXELS_ROW],
                partial(compare_devices, sheet, SIZES[sizes], cache),
            )
        done = {way for way, finished in ahead.items() if finished.result()}
        for model in SIZES[sizes].recipes:
            needs = 0.0 if not ahead or (model, OURS) in done else COMPILE_SECONDS
            sheet.measure(
                [row.name for row in own_rows(model)],
                partial(measure_ours, sheet, SIZES[sizes], cache, model),
                needs,
            )
        for layout, mode in WAYS:
            for model in SIZES[sizes].recipes:
                needs = (
                    0.0
                    if mode == "eager" or not ahead or (model, layout) in done
                    else COMPILE_SECONDS
                )
                names = [bare_row(model, layout, mode)]
                sheet.measure(
                    names, partial(measure_bare, sheet, SIZES[sizes], model, layout, mode), needs
                )
        starts = [eager_start_row(model) for model in SIZES[sizes].recipes]
        sheet.measure(starts, partial(measure_starts, sheet, sizes, cache))
    sheet.measure([row.name for row in ROWS["steps"]], lambda: None)


def measure_ours(sheet: Sheet, sizes: Sizes, cache: Cache, model: str) -> None:
    """Write what our trainer takes."""
    trained = train_ours(cache, model, sizes.recipes[model])
    sheet.write(
        f"{model}: ours, ms a step", trained.step_ms, f"{trained.note}, {precision(trained)}"
    )
    if model == SLICE_MODEL:
        sheet.write(
            f"{model}: time beside the model, %",
            100 * trained.beside,
            f"an epoch of {trained.task.steps} steps",
        )
    sheet.write(
        f"{model}: first epoch beyond its steps, s",
        trained.beyond_steps(),
        f"{trained.note}, on this node before",
    )
    sheet.write(f"{model}: ours, peak memory GiB", trained.peak_gib)
    found = arithmetic(trained)
    detail = (
        f"{found.tensor}, {'right' if found.is_right else 'WRONG'}, {found.seconds:.1f} s, "
        f"{found.items} items"
    )
    sheet.write(f"{model}: arithmetic, largest error", found.error, detail)
    validation, forward = validation_seconds(trained, sizes.rounds)
    detail = f"{validation:.3f} s of {len(trained.task.val)} cases, {forward:.3f} s forward"
    sheet.write(f"{model}: validation / its forward passes", validation / forward, detail)


def precision(trained: Trained) -> str:
    """The type of a network's forward passes."""
    return str(trained.network.autocast or "float32").removeprefix("torch.")


def measure_bare(sheet: Sheet, sizes: Sizes, model: str, layout: str, mode: str) -> None:
    """Write what a bare loop takes, and the model's ratio to the best of those measured so far."""
    milliseconds, peak = bare(sizes, model, layout, mode, sizes.bare_steps)
    sheet.write(bare_row(model, layout, mode), milliseconds, f"{peak:.2f} GiB")
    own = sheet.value(f"{model}: ours, ms a step")
    ways = {
        f"{where} {how}": sheet.value(bare_row(model, where, how))
        for where in LAYOUTS
        for how in MODES
    }
    known = {name: value for name, value in ways.items() if value is not None}
    if own is not None:
        best = min(known, key=lambda name: known[name])
        sheet.write(
            step_row(model),
            own / known[best],
            f"{own:.1f} ms, best {best}, of {len(known)} of {len(ways)} ways",
        )
