"""A model as our trainer runs it: warm-up, a first epoch, a second one that is timed step by step,
validation, arithmetic.
"""

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.machine import Marks, timed
from benchmarks.gpu.sizes import job_of
from trials.data.prepared.cache import Cache
from trials.inference.network import Network
from trials.process.environment import peak_gib, reset_peak
from trials.records.spec import Recipe, TrialSpec
from trials.training.build import make_network, make_segmentation
from trials.training.loop import train_epoch
from trials.training.optimizer import make_optimizer
from trials.training.precision import Arithmetic, check_arithmetic
from trials.training.tasks import Loss, Segmentation
from trials.training.warm_up import first_batch, warm_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What two epochs of our trainer cost. first_seconds has the warm-up in it; beside is the
    second epoch's share 0..1.

    low is the precision before it was checked.
    """

    network: Network
    task: Segmentation
    spec: TrialSpec
    first_seconds: float
    step_ms: float
    beside: float
    peak_gib: float
    low: torch.dtype | None
    note: str

    def beyond_steps(self) -> float:
        """Seconds of the first epoch and its warm-up that were not its steps."""
        return self.first_seconds - self.task.steps * self.step_ms / 1000


@dataclass(frozen=True, slots=True)
class Marked:
    """A loss that marks the moment of each call, once a step."""

    loss: Loss
    marks: Marks

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss."""
        self.marks.mark()
        return self.loss(logits, labels)


def train_ours(cache: Cache, model: str, recipe: Recipe) -> Trained:
    """Train a model for two epochs as a trial would."""
    job = job_of(cache, model, recipe)
    reset_peak()
    made, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    started = time.perf_counter()
    network, facts = warm_up(made, task, job.spec)
    optimizer, scheduler = make_optimizer(network.module, task.lr, task.epochs * task.steps, recipe)
    marks = Marks(network.device)
    marking = replace(task, loss_function=Marked(task.loss_function, marks))
    train_epoch(network, marking, recipe, np.random.default_rng(0), optimizer, scheduler)
    first_seconds = time.perf_counter() - started
    marks.moments.clear()
    passed = train_epoch(network, marking, recipe, np.random.default_rng(1), optimizer, scheduler)
    return Trained(
        network=network,
        task=task,
        spec=job.spec,
        first_seconds=first_seconds,
        step_ms=statistics.median(marks.milliseconds()),
        beside=1 - passed.model_seconds / passed.seconds,
        peak_gib=peak_gib(network.device),
        low=made.autocast,
        note=str(facts.get("compile_note") or ("compiled" if network.is_compiled else "eager")),
    )


def arithmetic(trained: Trained) -> Arithmetic:
    """What the check found in the warm-up; without a low precision, on a CPU, float32 is compared
    with itself.
    """
    network, task, spec = replace(trained.network, autocast=trained.low), trained.task, trained.spec
    return check_arithmetic(network, task.loss, *first_batch(network, task, spec), spec)


def validation_seconds(trained: Trained, rounds: int) -> tuple[float, float]:
    """Medians of a validation, and of nothing but the forward passes it needs, in the same
    precision, layout and graphs.
    """
    network, task = trained.network, trained.task
    batches = forward_batches(trained)

    def validate() -> None:
        task.validate(network)

    @torch.inference_mode()
    def forward() -> None:
        network.module.eval()
        for images in batches:
            with network.low_precision():
                network.module(images)

    validate()
    forward()
    return statistics.median(timed(validate) for _ in range(rounds)), statistics.median(
        timed(forward) for _ in range(rounds)
    )


def forward_batches(trained: Trained) -> list[Tensor]:
    """The batches of a validation on the network's device: volumes together, or the slices of one
    volume after the other.
    """
    network, task = trained.network, trained.task
    images = [torch.from_numpy(np.array(task.cache.image(case))) for case in task.val]
    if network.dims == 3:
        parts = list(torch.stack(images).split(task.recipe.batch_size))
    else:
        parts = [
            part
            for image in images
            for part in image.movedim(1, 0).split(2 * task.recipe.batch_size)
        ]
    # In the strides of new tensors, for which the network was compiled.
    return [
        part.to(network.device, torch.float32).clone(memory_format=torch.contiguous_format)
        for part in parts
    ]
