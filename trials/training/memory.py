"""A trial's share of a GPU's memory, an estimate of what a step takes there, and what to do and
report when memory runs out.
"""

import torch
from torch import Tensor

from trials.inference.network import pick_device
from trials.models.build import build, form_of, item_edges
from trials.models.registry import MODELS, check_input
from trials.process.environment import peak_gib
from trials.records.job import Job
from trials.records.spec import Recipe, input_text
from trials.training.attempt_log import HALVES
from trials.training.optimizer import moment_bytes

_EXHAUSTED: set[bool] = set()
# What a step in bfloat16 took of a GPU, over the float32 bytes that its backward pass needs: of
# segresnet at batch 4 of 128^3, 10.1 GiB eager and 5.0 compiled, over 7.93.
EAGER_SHARE, COMPILED_SHARE = 10.1 / 7.93, 5.0 / 7.93


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


def step_gib(model: str, recipe: Recipe, channels: int, classes: int, is_compiled: bool) -> float:
    """An estimate of the GiB of a GPU that a training step takes.

    Computes nothing: the tensors that the backward pass needs are counted on the meta device. NaN
    for a model that needs numbers to run.
    """
    edges = item_edges(MODELS[model].dims, recipe)
    try:
        with torch.device("meta"):
            module = build(model, classes, **form_of(model, recipe, channels)).train()
            images = torch.empty(recipe.batch_size, channels, *edges)
            kept, outputs = backward_bytes(module, images)
    except Exception:  # a model of the user's
        return float("nan")
    weights = 4 * sum(parameter.numel() for parameter in module.parameters())
    activations = kept * (COMPILED_SHARE if is_compiled else EAGER_SHARE)
    # The loss needs the logits in float32, their gradient and the classes' probabilities.
    return (activations + 3 * outputs + 2 * weights + moment_bytes(module, recipe)) / 2**30


def backward_bytes(module: torch.nn.Module, images: Tensor) -> tuple[int, int]:
    """The bytes that a forward pass keeps for the backward pass beside the module's own tensors,
    each storage once; and those of its outputs.
    """
    own = {one.untyped_storage()._cdata for one in (*module.parameters(), *module.buffers())}
    # The tensors are kept: a storage that is freed may lend its address to the next.
    found: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        found.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = module(images)
    several = outputs if isinstance(outputs, list | tuple) else [outputs]
    kept = [one.untyped_storage().nbytes() for key, one in found.items() if key not in own]
    return sum(kept), sum(one.nbytes for one in several)


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
