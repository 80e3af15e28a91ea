"""What the first epoch of each model takes where nothing is compiled, in a process that has
computed nothing before.

`python -m benchmarks.gpu.starting SIZES CACHE` prints a line of JSON a model as soon as it is
known.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gpu.machine import python
from benchmarks.gpu.ours import train_ours
from benchmarks.gpu.rows import Sheet, eager_start_row
from benchmarks.gpu.sizes import SIZES, Sizes
from trials.data.prepared.cache import Cache, open_cache
from trials.process.environment import reset_peak
from trials.records.codec import from_json, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds of a model's warm-up and first epoch that were not its steps, and milliseconds of a
    step.
    """

    model: str
    beyond_steps: float
    step_ms: float


def measure_starts(sheet: Sheet, sizes: str, cache: Cache) -> None:
    """Write the row of every model whose start was measured in the time that is left."""
    for found in (
        from_new_process(sheet, sizes, cache)
        if SIZES[sizes].in_new_process
        else starts(SIZES[sizes], cache)
    ):
        sheet.write(
            eager_start_row(found.model), found.beyond_steps, f"{found.step_ms:.1f} ms a step"
        )


def from_new_process(sheet: Sheet, sizes: str, cache: Cache) -> Iterator[Start]:
    """What another process has printed when it ends, or when the part's time is spent."""
    # What this process keeps of the GPU's memory is none of the other's.
    reset_peak()
    process = subprocess.Popen(
        python("benchmarks.gpu.starting", sizes, cache.folder), stdout=subprocess.PIPE, text=True
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(sheet.left())
    process.kill()
    said, _ = process.communicate()
    yield from (from_json(Start, line) for line in said.splitlines())


def starts(sizes: Sizes, cache: Cache) -> Iterator[Start]:
    """Two epochs of each model, eagerly."""
    for model, recipe in sizes.recipes.items():
        trained = train_ours(cache, model, replace(recipe, compile="never"))
        yield Start(model=model, beyond_steps=trained.beyond_steps(), step_ms=trained.step_ms)


def main() -> None:
    """Print the start of every model of the sizes."""
    name, folder = sys.argv[1:]
    for found in starts(SIZES[name], open_cache(Path(folder))):
        print(" ".join(to_json(found).split()), flush=True)


if __name__ == "__main__":
    main()
