"""Runs each model, loss and sampling of a grid file once on made-up numbers, before any training,
and refuses one that gives back something else than a trial needs.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.grid.resolve import ResolvedCell, ResolvedGrid
from trials.data.datasets.registry import Dataset
from trials.data.sampling import SAMPLINGS
from trials.identity.code_identity import BUILT_IN, REGISTRIES
from trials.losses import build_target_loss
from trials.models.registry import MODELS
from trials.records.registry import pick
from trials.records.spec import Recipe, input_shape
from trials.records.targets import Targets

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]

T = TypeVar("T")
# The edge of the logits on which losses are tried, and the most characters of a part's own error.
EDGE, LONGEST = 16, 200
# Weights that are used as probabilities must sum to one as closely as numpy asks.
ROUNDING = 1e-6


def check_parts(
    resolved: ResolvedGrid, dataset: Dataset, training_voxels: Sequence[object]
) -> None:
    """Raise ValueError naming the first model, loss or sampling of a grid file that does not fit
    the data set, with what was expected and what came.

    training_voxels holds each training case's voxels by class.
    """
    targets, seen = Targets(len(dataset.classes), resolved.regions), set()
    for one in resolved.cells:
        for kind in REGISTRIES:
            name = getattr(one.cell, kind)
            is_own = REGISTRIES[kind][name] != BUILT_IN[kind].get(name)
            if not is_own or (kind, name, one.recipe) in seen:
                continue
            seen.add((kind, name, one.recipe))
            if kind == "model":
                check_model(name, one.recipe, len(dataset.channels), targets.channels)
            elif kind == "loss":
                check_loss(one, targets, dataset.has_ignore)
            else:
                check_sampling(name, one.recipe, np.array(training_voxels, np.int64))


def check_model(name: str, recipe: Recipe, channels: int, classes: int) -> None:
    """Raise ValueError unless a model maps images of the recipe's size to logits of that size, one
    a class or region, in training and in evaluation.
    """
    edges = input_shape(recipe)[-pick(MODELS, "model", name).dims :]
    batch = min(2, recipe.batch_size)
    images, logits = [batch, channels, *edges], [batch, classes, *edges]
    rule = (
        f"model {name!r} must give logits of shape {logits} (items, classes, size) for images of "
        f"shape {images}"
    )
    for mode, outputs in _called(rule, lambda: _outputs(name, recipe, classes, images)).items():
        several = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        shapes = [list(getattr(one, "shape", ())) for one in several]
        if not shapes or shapes[0] != logits or any(one[:2] != logits[:2] for one in shapes):
            found = " and ".join(str(one or "no tensor") for one in shapes) or "nothing"
            raise ValueError(f"{rule}; in {mode} it gave {found}")


def check_loss(one: ResolvedCell, targets: Targets, has_ignore: bool) -> None:
    """Raise ValueError unless a cell's loss gives one finite number with a gradient. Where batches
    without any class are common, of slices and patches, it must be finite for them too.
    """
    import torch

    name, num_labels = one.cell.loss, targets.num_labels
    dims = pick(MODELS, "model", one.cell.model).dims
    generator = torch.Generator().manual_seed(0)
    size = (EDGE,) * dims
    logits = torch.randn((2, targets.channels, *size), generator=generator).requires_grad_()
    labels = torch.randint(0, num_labels, (2, *size), generator=generator).to(torch.uint8)
    rule = f"loss {name!r} must give one finite number with a gradient"
    given = f"for logits {list(logits.shape)} and labels {list(labels.shape)}"
    loss = _called(f"{rule} {given}", lambda: _built(one, targets, has_ignore))
    value = _value(f"{rule} {given}", loss, logits, labels)
    gradient = _called(f"{rule} {given}", lambda: _gradient(value, logits))
    if gradient is None or not gradient.isfinite().all() or not gradient.any():
        found = "none" if gradient is None else "0" if not gradient.any() else "not finite"
        raise ValueError(
            f"{rule} {given}; its gradient is {found}; compute it from the logits, without "
            "argmax, detach or rounding"
        )
    if dims == 2 or one.recipe.patch is not None:
        rule += f" for labels {list(labels.shape)} that are all background"
        _value(rule, loss, logits, torch.zeros_like(labels))


def check_sampling(name: str, recipe: Recipe, item_voxels: np.ndarray) -> None:
    """Raise ValueError unless a sampling gives each item a weight of at least 0, and the weights
    sum to 1; item_voxels is int64 [N, K].
    """
    number = len(item_voxels)
    rule = f"sampling {name!r} must give {number} weights of at least 0, one an item, that sum to 1"
    sampling = pick(SAMPLINGS, "sampling", name).load()
    weights = _called(rule, lambda: np.asarray(sampling(item_voxels, recipe), np.float64))
    if weights.shape != (number,):
        raise ValueError(f"{rule}; it gave an array of shape {list(weights.shape)}")
    if not (weights >= 0).all() or abs(weights.sum() - 1) > ROUNDING:
        raise ValueError(
            f"{rule}; they lie in {weights.min():g} to {weights.max():g} and sum to "
            f"{weights.sum():g}; return weights / weights.sum()"
        )


def _outputs(name: str, recipe: Recipe, classes: int, images: list[int]) -> dict[str, Any]:
    """What a model gives in training and in evaluation: its shapes alone where it can run on the
    meta device, which computes nothing.
    """
    import torch

    from trials.models.build import build, form_of

    def run(device: str) -> dict[str, Any]:
        with torch.device(device), torch.no_grad():
            module = build(name, classes, **form_of(name, recipe, images[1]))
            return {
                mode: module.train(mode == "training")(torch.zeros(images))
                for mode in ("training", "evaluation")
            }

    try:
        return run("meta")
    except Exception:  # a model may need the numbers themselves
        return run("cpu")


def _built(one: ResolvedCell, targets: Targets, has_ignore: bool) -> "Loss":
    loss = build_target_loss(one.cell.loss, one.counts, one.default, targets)
    if not has_ignore:
        return loss
    from trials.voxel_losses import OnAnnotated

    return OnAnnotated(loss, targets.num_labels)


def _value(rule: str, loss: "Loss", logits: "Tensor", labels: "Tensor") -> "Tensor":
    """The loss of a batch. Raises ValueError unless it is one finite number."""
    import torch

    value = _called(rule, lambda: loss(logits, labels))
    if not isinstance(value, torch.Tensor):
        raise ValueError(f"{rule}; it gave a {type(value).__name__}; return a tensor")
    if value.shape != ():
        raise ValueError(f"{rule}; it gave a tensor of shape {list(value.shape)}; return its mean")
    if not value.isfinite():
        raise ValueError(
            f"{rule}; it gave {value.item():g}; keep denominators and logarithms above 0"
        )
    return value


def _gradient(value: "Tensor", logits: "Tensor") -> "Tensor | None":
    import torch

    return torch.autograd.grad(value, logits, allow_unused=True)[0] if value.requires_grad else None


def _called(rule: str, call: Callable[[], T]) -> T:
    """What a part returns. Raises ValueError with the part's own error."""
    try:
        return call()
    except Exception as error:  # a part of the user's raises what it likes
        text = " ".join(str(error).split())[:LONGEST]
        raise ValueError(f"{rule}; it raised {type(error).__name__}: {text}") from error
