"""A trial's share of a GPU's memory, and what to do and report when memory runs out."""

import torch

from trials.inference.network import pick_device
from trials.models.registry import check_input
from trials.process.environment import peak_gib
from trials.records.job import Job
from trials.records.preparation import input_text
from trials.training.attempt_log import HALVES

_EXHAUSTED: set[bool] = set()


def limit_share(gpu_share: float) -> None:
    """Limit this process to its share of the GPU's memory, so that other trials on the GPU keep
    theirs.

    Set again for each trial, since the process may have run a trial with another share before.
    """
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(memory_fraction(gpu_share))


def memory_fraction(gpu_share: float) -> float:
    """The fraction of a GPU's memory that a trial with this gpu_share may use, 0..1; 1 for one or
    more whole GPUs.
    """
    return gpu_share if 0 < gpu_share < 1 else 1.0


def note_exhausted() -> None:
    """Record that memory ran out in this process."""
    _EXHAUSTED.add(True)


def is_exhausted() -> bool:
    """Whether memory ever ran out in this process, which may have left libraries in a broken
    state.
    """
    return bool(_EXHAUSTED)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python raised this because memory ran out; on a CPU torch raises a plain
    RuntimeError.
    """
    return isinstance(
        error, torch.OutOfMemoryError | MemoryError
    ) or "DefaultCPUAllocator: can't allocate" in str(error)


def can_halve(job: Job) -> bool:
    """Whether the batch is not yet split and its halves are valid for the model: batch norm may
    need two values per channel.
    """
    recipe = job.spec.recipe
    if job.accumulation_steps > 1 or recipe.batch_size < HALVES:
        return False
    try:
        check_input(job.spec.cell.model, recipe, recipe.batch_size // HALVES)
    except ValueError:
        return False
    return True


def memory_facts(job: Job) -> dict[str, object]:
    """What a result records about its batches: items per step, and the number of parts."""
    return {"batch": job.spec.recipe.batch_size, "accumulation": job.accumulation_steps}


def oom_text(job: Job, error: BaseException) -> str:
    """The message when memory runs out: batch, cube or patch, peak, and the first line of the
    error.
    """
    recipe, peak = job.spec.recipe, peak_gib(pick_device())
    batch = f"batch {recipe.batch_size}" + (
        f" in {job.accumulation_steps} parts" if job.accumulation_steps > 1 else ""
    )
    first = (str(error) or type(error).__name__).splitlines()[0]
    return f"out of memory at {batch}, {input_text(recipe)}, peak {peak} GiB: {first}"
