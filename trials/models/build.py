"""From a model's name to a network ready for training, and what it costs."""

import importlib
import math
from collections.abc import Hashable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from trials.models.initialise import Convolution, convolutions
from trials.models.registry import MODELS
from trials.models.weights import LoadedWeights, load_tensors, read_tensors
from trials.records.registry import pick, unknown
from trials.records.spec import Recipe, input_shape

Options = Sequence[tuple[str, float]]
# The keyword arguments of build().
Form = dict[str, Any]
# The argument of a model's function that is not an option: the edges of its training input.
EDGES = "edges"
# Counting takes a second, as long as a short trial's evaluation, and is the same for all trials of
# a cell.
_COUNTED: dict[Hashable, int] = {}


def build(
    name: str,
    num_classes: int,
    *,
    in_channels: int = 1,
    width: int | None = None,
    options: Options = (),
    edges: Sequence[int] = (),
) -> nn.Module:
    """Build a registered model with random weights; width None takes the model's default.

    options are further arguments of its function. edges are those of its training input, for models
    whose stages follow them; without edges these models have all their stages. Raises ValueError
    for an unknown name, an option that the model does not have, and for a width given to a model
    whose encoder fixes it.
    """
    part = pick(MODELS, "model", name)
    if width is not None and not part.width:
        raise ValueError(
            f"the encoder of {name} fixes its width; got width {width}; remove width from the "
            "recipe"
        )
    function = part.load()
    further = list(signature(function).parameters)[3:]
    possible = [argument for argument in further if argument != EDGES]
    for option, _ in options:
        if option not in possible:
            raise ValueError(unknown(f"model_options of {name}", option, possible))
    sized = {EDGES: tuple(edges)} if EDGES in further else {}
    return function(in_channels, num_classes, width or part.width, **dict(options), **sized)


def form_of(name: str, recipe: Recipe, channels: int) -> Form:
    """How a recipe's trials build a model for images of so many channels."""
    return {
        "in_channels": channels,
        "width": recipe.width,
        "options": recipe.model_options,
        "edges": item_edges(pick(MODELS, "model", name).dims, recipe),
    }


def build_with(
    name: str,
    path: Path,
    num_classes: int,
    *,
    in_channels: int = 1,
    width: int | None = None,
    options: Options = (),
    edges: Sequence[int] = (),
) -> tuple[nn.Module, LoadedWeights]:
    """Build a model in the variant that a weights file was saved from, load the file, and report
    what was loaded.

    path is what weights.read_tensors takes. width None takes the file's width if the model supports
    it. Raises ValueError naming the file if it does not fit.
    """
    tensors = read_tensors(path)
    form: Form = {"in_channels": in_channels, "width": width, "options": options, "edges": edges}
    try:
        model = build_like(name, tensors, num_classes, form)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return model, load_tensors(model, tensors, str(path))


def build_like(
    name: str, tensors: Mapping[str, torch.Tensor], num_classes: int, form: Form
) -> nn.Module:
    """Build a model with random weights, in the variant that the tensors were saved from where its
    entry knows several; form holds the keyword arguments of build(). Raises ValueError for tensors
    of none of them.
    """
    part = pick(MODELS, "model", name)
    if not part.like:
        return build(name, num_classes, **form)
    module, _, function = part.like.partition(":")
    variant: nn.Module = getattr(importlib.import_module(module), function)(
        tensors, form["in_channels"], num_classes, form["width"]
    )
    return variant


def heads_of(name: str, model: nn.Module) -> list[Convolution]:
    """List the convolutions that give a registered model's logits: those that its entry names, else
    the last one.
    """
    part = pick(MODELS, "model", name)
    if not part.heads:
        return convolutions(model)[-1:]
    module, _, function = part.heads.partition(":")
    return getattr(importlib.import_module(module), function)(model)


def bias_from_frequencies(heads: Sequence[Convolution], class_fractions: Sequence[float]) -> None:
    """Set the bias of each head to the log of each class's share of the voxels, so that training
    starts from it.

    Without it a short run spends its steps on learning that nearly all voxels are background. An
    absent class gets a hundredth of the rarest class's share. RetinaNet's prior for a softmax: Lin
    et al. 2017, section 3.3.
    """
    present = [fraction for fraction in class_fractions if fraction > 0]
    floor = min(present) / 100
    _set_bias(
        heads, [math.log(max(fraction, floor) / sum(present)) for fraction in class_fractions]
    )


def bias_from_shares(heads: Sequence[Convolution], shares: Sequence[float]) -> None:
    """The same for regions: the bias of each channel becomes the logit of its region's share of the
    voxels. An absent region, or rest, gets a hundredth of the rarest region's share.
    """
    floor = min((share for share in shares if share > 0), default=0.01) / 100
    _set_bias(heads, [math.log(max(share, floor) / max(1 - share, floor)) for share in shares])


def _set_bias(heads: Sequence[Convolution], logits: Sequence[float]) -> None:
    for head in heads:
        assert head.bias is not None
        with torch.no_grad():
            head.bias.copy_(torch.tensor(logits))


def num_parameters(model: nn.Module) -> int:
    """Count the parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def num_trainable(model: nn.Module) -> int:
    """Count the parameters that training may change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def item_edges(dims: int, recipe: Recipe) -> tuple[int, ...]:
    """The edges of one training item of a recipe, for a model of dims dimensions."""
    return input_shape(recipe)[-dims:]


def item_multiply_adds(model: nn.Module, dims: int, recipe: Recipe, channels: int = 1) -> int:
    """Count the multiply-adds of one item of a recipe, forward: a volume (dims 3) or a slice (dims
    2) of so many channels.
    """
    return multiply_adds(model, (1, channels, *item_edges(dims, recipe)))


def multiply_adds(model: nn.Module, shape: Sequence[int]) -> int:
    """Count the multiply-adds of one forward pass over an input of this shape [B, C, ...].

    Convolutions and matrix products are counted, norms and activations are not. Runs on the meta
    device: nothing is computed and the model is unchanged. A model of the same layers and tensors
    is counted once per process.
    """
    tensors = model.state_dict()
    key = (
        type(model),
        tuple(shape),
        tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items()),
        repr(model),
    )
    if key not in _COUNTED:
        _COUNTED[key] = _count_multiply_adds(model, tensors, shape)
    return _COUNTED[key]


def _count_multiply_adds(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], shape: Sequence[int]
) -> int:
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        functional_call(model, shapes, torch.empty(*shape, device="meta"))
    return counter.get_total_flops() // 2
