"""The training loop. It trains a Task: segmentation, or restoration of masked blocks. A loss, score
or output that is not finite ends it with an error.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trials.data.batches.augment import augment
from trials.data.batches.draws import draw_batch
from trials.data.batches.resident import ahead
from trials.data.batches.strong_augment import augment_strongly
from trials.inference.network import Network
from trials.process.environment import Stopwatch
from trials.records.job import Rung
from trials.records.result import EpochScore
from trials.records.spec import Augmentation, Recipe
from trials.training.checkpoint import Checkpoints
from trials.training.optimizer import make_optimizer
from trials.training.progress import (
    Pass,
    Progress,
    Validation,
    checkpoint_state,
    epoch_score,
    resume,
)


class Diverged(FloatingPointError):
    """A loss, score or output is no longer finite. best_weights are those of best_epoch, empty if
    no epoch was scored before.
    """

    def __init__(self, text: str, best_epoch: int, best_weights: Mapping[str, Tensor]):
        super().__init__(text)
        self.best_epoch, self.best_weights = best_epoch, best_weights


def divergence_error(losses: Sequence[Tensor], steps: int, lr: float) -> FloatingPointError:
    """The error for an epoch's losses so far; it names the first that is not finite.

    steps is the number of steps in the epoch; lr the (largest) learning rate.
    """
    values = torch.stack(list(losses)).tolist()
    step = next(
        (step for step, loss in enumerate(values) if not math.isfinite(loss)), len(values) - 1
    )
    return FloatingPointError(
        f"step {step + 1} of {steps}: the training loss became {values[step]} at learning rate "
        f"{lr:g}"
    )


def check_validation(score: float, loss: float | None) -> None:
    """Raise FloatingPointError if a validation's score or loss is not finite."""
    for name, value in (("score", score), ("loss", loss)):
        if value is not None and not math.isfinite(value):
            raise FloatingPointError(f"the validation {name} became {value}")


class Task(Protocol):
    """What the training loop needs from a task."""

    @property
    def epochs(self) -> int:
        """Number of epochs."""

    @property
    def steps(self) -> int:
        """Batches per epoch."""

    @property
    def rungs(self) -> Sequence[Rung]:
        """The scores required after given numbers of epochs to continue."""

    @property
    def lr(self) -> float:
        """The (largest) learning rate."""

    def batches(self, generator: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of images [B, C, ...] as they are stored and labels [B, ...] uint8."""

    def loss(self, network: Network, images: Tensor, labels: Tensor) -> Tensor:
        """The scalar to minimise, from float32 images on the network's device."""

    def validate(self, network: Network) -> Validation:
        """Score the network as it is."""


def fit(
    network: Network,
    task: Task,
    recipe: Recipe,
    seed: int,
    kept: Checkpoints,
    on_epoch: Callable[[EpochScore, float], None],
) -> Progress:
    """Train until the last epoch, or until patience or a rung stops it, and load the weights of the
    best epoch into the network.

    Continues from the newest valid checkpoint, if any; on a CPU with the same number of threads the
    result is bit-identical to an uninterrupted run. Of epochs with equal scores the earliest is the
    best. Raises Diverged if the loss is not finite, see train_epoch, and TimeoutError after
    recipe.limit_minutes.
    """
    optimizer, scheduler = make_optimizer(network.module, task.lr, task.epochs * task.steps, recipe)
    progress = resume(kept, network.module, optimizer, scheduler)
    while not is_over(progress, task, recipe):
        epoch, started = len(progress.curve), time.perf_counter()
        torch.manual_seed(seed * 1_000_003 + epoch)
        is_due = (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == task.epochs
        try:
            passed = train_epoch(
                network, task, recipe, np.random.default_rng([seed, epoch]), optimizer, scheduler
            )
            reached = task.validate(network) if is_due else Validation()
            if is_due:
                check_validation(reached.score, reached.val_loss)
        except FloatingPointError as error:
            text = f"epoch {epoch + 1} of {task.epochs}: {error}"
            raise Diverged(text, progress.best_epoch, progress.best_weights) from error
        progress.passes.append(passed)
        progress.curve.append(
            epoch_score(epoch, float(scheduler.get_last_lr()[0]), passed.loss, reached, started)
        )
        if reached.score > progress.best_score:
            progress.best_epoch, progress.best_score = epoch, reached.score
            progress.best_weights = copy_weights(network.module)
        save = partial(
            kept.save, epoch, checkpoint_state(progress, network.module, optimizer, scheduler)
        )
        report_epoch(on_epoch, progress.curve[-1], reached.score, save)
        if kept.is_due():
            save()
        check_limit(progress, recipe.limit_minutes)
    assert progress.best_weights, "no epoch of the training had a score"
    network.module.load_state_dict(progress.best_weights)
    return progress


def is_over(progress: Progress, task: Task, recipe: Recipe) -> bool:
    """Whether a training ends here: after the last epoch, out of patience, or pruned by a rung."""
    return (
        len(progress.curve) >= task.epochs
        or progress.is_out_of_patience(recipe)
        or progress.is_pruned(task.rungs)
    )


def report_epoch(
    on_epoch: Callable[[EpochScore, float], None],
    score: EpochScore,
    reached: float,
    save: Callable[[], None],
) -> None:
    """Call on_epoch; if it raises to stop the training, save a checkpoint first."""
    try:
        on_epoch(score, reached)
    except BaseException:
        save()
        raise


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's tensors, on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()
    }


def check_limit(progress: Progress, limit_minutes: float | None) -> None:
    """Raise TimeoutError if the epochs have taken longer than the recipe allows."""
    minutes = sum(score.seconds for score in progress.curve) / 60
    if limit_minutes is not None and minutes > limit_minutes:
        raise TimeoutError(
            f"{len(progress.curve)} epochs took {minutes:.1f} minutes; recipe.limit_minutes is "
            f"{limit_minutes:g}"
        )


def train_epoch(
    network: Network,
    task: Task,
    recipe: Recipe,
    generator: np.random.Generator,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> Pass:
    """Train for one epoch of task.steps batches.

    Raises FloatingPointError naming the first step whose loss is not finite: on a CPU before that
    step changes a weight; on a GPU at the end of the epoch, since reading each step's loss would
    block the CPU.
    """
    network.train()
    trained = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
    losses: list[Tensor] = []
    total = torch.zeros((), device=network.device)
    started, watch = time.perf_counter(), Stopwatch(network.device)
    changed = augmentation(recipe, generator)
    batches = ahead(task.batches(generator), network.device, network.scalings)
    for step, (images, labels) in enumerate(batches):
        images, labels = changed(images, labels, step)
        with watch:
            optimizer.zero_grad(set_to_none=True)
            losses.append(add_gradients(network, task, images, labels))
            if network.device.type == "cpu" and not losses[-1].isfinite():
                raise divergence_error(losses, task.steps, task.lr)
            if recipe.clip_gradient is not None:
                nn.utils.clip_grad_norm_(trained, recipe.clip_gradient)
            optimizer.step()
            scheduler.step()
            total += losses[-1]
    if not total.isfinite():
        raise divergence_error(losses, task.steps, task.lr)
    return Pass(
        loss=float(total) / task.steps,
        model_seconds=watch.seconds(),
        seconds=time.perf_counter() - started,
    )


def augmentation(
    recipe: Recipe, generator: np.random.Generator
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """What changes a batch at random, given the number of its step in the epoch whose generator
    this is.
    """
    how = recipe.augment
    if isinstance(how, Augmentation):
        seed = int(generator.integers(2**32))
        return lambda images, labels, step: augment_strongly(
            images, labels, draw_batch(how, seed, step, images.shape)
        )
    if how:
        return lambda images, labels, _: augment(images, labels, generator, recipe.rotate_zoom_prob)
    return lambda images, labels, _: (images, labels)


def add_gradients(network: Network, task: Task, images: Tensor, labels: Tensor) -> Tensor:
    """Add the gradient of a batch's mean loss to the parameters and return the loss, detached.

    The batch is split into network.accumulation_steps parts, each weighted by its share of the
    items. This equals the whole batch's gradient for a loss that is a mean over items in a network
    without batch norm; batch norm and batch Dice pool over one part only.
    """
    total = torch.zeros((), device=network.device)
    for piece, reference in zip(
        images.chunk(network.accumulation_steps),
        labels.chunk(network.accumulation_steps),
        strict=True,
    ):
        loss = task.loss(network, piece, reference) * (len(piece) / len(images))
        loss.backward()
        total += loss.detach()
    return total
