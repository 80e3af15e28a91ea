"""How far low precision is from float32 in healthy networks: the demo's models at its sizes, with
--full all at FULL's.

On a GPU the bfloat16 is the GPU's. On a CPU it is that of the processor's own kernels with
--native, else it is imitated (bfloat16.py), which is right everywhere. The limit of
trials/training/precision.py was set from this table.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.grid.resolve import recipe_of
from bench.grids import DEMO, FULL
from benchmarks.bfloat16 import RoundedConvolutions
from benchmarks.compare import keep
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.inference.network import pick_device, untouched
from trials.models.registry import MODELS
from trials.records.job import Job
from trials.records.spec import TUNE, Cell, Recipe, TrialSpec
from trials.training.build import make_network, make_segmentation
from trials.training.precision import LIMIT, compare
from trials.training.warm_up import first_batch

HEADER = (
    f"{'model':18} {'size':>6} {'items':>5} {'seed':>4} {'largest error':>13}  {'in':52} "
    f"{'seconds':>8}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model under a recipe, with random weights from a seed."""

    model: str
    recipe: Recipe
    seed: int


def demo_sizes(seeds: int) -> Iterator[Size]:
    """Every model of the demo at its sizes, under several seeds."""
    for seed in range(seeds):
        for model in dict.fromkeys(cell.model for cell in DEMO.cells):
            yield Size(model=model, recipe=recipe_of(DEMO, model), seed=seed)


def full_sizes(most_items: int) -> Iterator[Size]:
    """Every model of the registry at FULL's sizes, of at most so many items a batch: hours on a
    CPU, seconds on a GPU.
    """
    for model in MODELS:
        recipe = recipe_of(FULL, model)
        items = min(recipe.batch_size, most_items * (1 if MODELS[model].dims == 3 else 16))
        yield Size(model=model, recipe=replace(recipe, batch_size=items, weights="random"), seed=0)


def row(size: Size, folder: Path, native: bool) -> str:
    """A model's line: the largest error of its gradient's tensors and its logits on a batch of
    phantoms.
    """
    prepared = prepare_dataset(
        open_dataset("phantoms", folder / "phantoms"), size.recipe.preparation, folder / "cache"
    )
    cache = open_cache(prepared)
    recipe = replace(size.recipe, precision="bf16", compile="never")
    cell, cases = Cell(model=size.model, loss="combined", sampling="none"), tuple(cache.cases)
    about = {
        "dataset": "phantoms",
        "data": cache.digest,
        "splits": "sequential",
        "fold": 0,
        "phase": TUNE,
    }
    spec = TrialSpec(**about, cell=cell, hyper={"lr": 1e-3}, recipe=recipe, seed=size.seed)
    job = Job(
        trial=size.model,
        spec=spec,
        out=str(folder),
        cache=str(prepared),
        train=cases[:8],
        val=cases[8:],
    )
    network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    started = time.perf_counter()
    with (
        untouched(network),
        nullcontext() if native or network.device.type == "cuda" else RoundedConvolutions(),
    ):
        found = compare(network, task.loss, *first_batch(network, task, spec))
    seconds = time.perf_counter() - started
    edge = f"{recipe.preparation.edge}^{network.dims}"
    return (
        f"{size.model:18} {edge:>6} {found.items:5} {size.seed:4} {found.error:13.3f}  "
        f"{found.tensor:52} {seconds:8.1f}"
    )


def main() -> None:
    """Print and keep the table, a line when it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--native", action="store_true", help="the processor's own kernels, not imitated ones"
    )
    parser.add_argument(
        "--items",
        type=int,
        default=4,
        help="volumes a batch of FULL's at most; slices 16 times as many",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="FULL's sizes too: hours on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [HEADER]
    with tempfile.TemporaryDirectory() as name:
        write_phantoms(Path(name) / "phantoms", 10, 0)
        for size in (
            *demo_sizes(options.seeds),
            *(full_sizes(options.items) if options.full else ()),
        ):
            lines.append(row(size, Path(name), options.native))
            print(lines[-1], flush=True)
    where = pick_device().type if options.native or torch.cuda.is_available() else "a CPU, imitated"
    keep(
        "precision",
        f"bfloat16 against float32 on {where}, random weights, one batch of phantoms; the limit is "
        f"{LIMIT:g}",
        lines,
    )


if __name__ == "__main__":
    main()
