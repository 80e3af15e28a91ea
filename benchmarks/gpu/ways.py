"""The bare loop in each layout, compiled or not, and what compiles ahead: a process a network, all
at once, into one cache.

`python -m benchmarks.gpu.ways SIZES CACHE MODEL WAY` compiles one: WAY is "ours", or the layout of
a bare loop.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.gpu.bare import compile_bare, random_batch, search_kernels, step_ms, train_bare
from benchmarks.gpu.machine import python
from benchmarks.gpu.rows import LAYOUTS
from benchmarks.gpu.sizes import CLASSES, SIZES, Sizes, job_of
from trials.data.prepared.cache import Cache, open_cache
from trials.inference.network import memory_format, pick_device, pick_precision
from trials.models.build import build
from trials.models.registry import MODELS
from trials.process.environment import memory_gib, peak_gib, reset_peak
from trials.training.build import make_network, make_segmentation
from trials.training.warm_up import first_batch, share_compile_cache, should_compile, try_compile
from trials.voxel_losses import Combined

OURS = "ours"
# GPU memory that one process may take which compiles a network and takes a step.
GIB_A_PROCESS = 14.0
LR = 1e-4


def bare(sizes: Sizes, model: str, layout: str, mode: str, steps: int) -> tuple[float, float]:
    """Milliseconds of a step of the bare loop in one way, and its peak memory in GiB."""
    share_compile_cache()
    import torch._inductor.config as inductor

    part, recipe, device = MODELS[model], sizes.recipes[model], pick_device()
    reset_peak()
    search_kernels(part.kernel_search)
    module = build(model, CLASSES, width=recipe.width, options=recipe.model_options)
    module.to(memory_format=memory_format(layout, part.dims)).to(device)
    if mode == "compiled":
        compile_bare(module)
    batch = random_batch(recipe.batch_size, recipe.preparation.edge, part.dims, CLASSES, device)
    # A trial lets dropout draw as in eager mode; a bare loop need not.
    with inductor.patch(fallback_random=False):
        marks = train_bare(module, Combined(), batch, pick_precision("auto", device), steps, LR)
    return step_ms(marks), peak_gib(device)


def compile_ours(sizes: Sizes, cache: Cache, model: str) -> None:
    """Compile a network as a trial does, for training and for validation, where a trial of FULL
    would.
    """
    job = job_of(cache, model, sizes.recipes[model])
    network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    if should_compile(task.recipe, network, task.epochs * task.steps * task.recipe.batch_size):
        network, failure = try_compile(network, task.loss, *first_batch(network, task, job.spec))
        if failure:
            raise RuntimeError(failure)
        task.validate(network)


@contextmanager
def compiling_ahead(
    sizes: str, cache: Cache, seconds: float
) -> Iterator[Mapping[tuple[str, str], Future[bool]]]:
    """Processes that compile every network of these sizes; each future says whether its one is done
    within the seconds.

    Nothing is compiled ahead where there is no GPU, or where all runs eagerly. At the end all are
    waited for.
    """
    device = pick_device()
    if device.type != "cuda" or SIZES[sizes].stance == "force_eager" or seconds <= 0:
        yield {}
        return
    share_compile_cache()
    with ThreadPoolExecutor(max(1, int(memory_gib(device) / GIB_A_PROCESS))) as pool:
        wanted = [(model, way) for way in (OURS, *LAYOUTS) for model in SIZES[sizes].recipes]
        yield {
            (model, way): pool.submit(_compile, sizes, cache, model, way, seconds)
            for model, way in wanted
        }
    forget_timings()


def _compile(sizes: str, cache: Cache, model: str, way: str, seconds: float) -> bool:
    command = python("benchmarks.gpu.ways", sizes, cache.folder, model, way)
    try:
        return subprocess.run(command, timeout=seconds, stdout=subprocess.DEVNULL).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def forget_timings() -> None:
    """Remove which variants of kernels were found fastest while many processes shared the GPU: they
    are timed again.
    """
    for path in Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).rglob("*.best_config"):
        path.unlink(missing_ok=True)


def main() -> None:
    """Compile one network."""
    name, folder, model, way = sys.argv[1:]
    share_compile_cache()
    if way == OURS:
        compile_ours(SIZES[name], open_cache(Path(folder)), model)
    else:
        bare(SIZES[name], model, way, "compiled", 1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
