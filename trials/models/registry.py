"""The models that a grid may name. Loads no torch: an architecture is imported when it is built."""

from collections.abc import Sequence
from dataclasses import dataclass

from trials.records.registry import Entry, pick
from trials.records.spec import Recipe, input_shape, input_text


@dataclass(frozen=True, slots=True)
class ModelEntry(Entry):
    """A model: target is a function (in_channels, num_classes, width) -> nn.Module that keeps H, W
    (and D). An argument `edges` of the function gets those of the training input, so that the
    number of stages can follow them.

    In training mode the module may return a list or tuple of logits, the full resolution first;
    its loss is then a weighted sum over all of them (trials/training/tasks.py).

    dims is 3 for volumes or 2 for slices. Valid edges are multiples of `multiple`, at least
    `smallest`, or `smallest_alone` if a training batch may hold a single item: batch norm needs two
    values per channel at the deepest level. channels is the number of input channels that the model
    takes, 0 for any. width is the default number of first channels, 0 where
    the architecture fixes it. weights is what the model starts from by default: "random",
    "pretrain" (our masked-block restoration, or a file) or "imagenet" (the hub, or a file). stages
    is "module:function", (model) -> encoder stages in order, for models that can be frozen. like is
    "module:function", (tensors, in_channels, num_classes, width) -> nn.Module of the variant that a
    weights file was saved from, for models whose public weights have several variants. heads is
    "module:function", (model) -> the convolutions that give its logits, for models with several
    outputs; without it that is the last convolution. layout is
    the memory layout ("channels_last" or "contiguous") in which the network trains on a CPU and,
    compiled, on a GPU; eager_gpu_layout that on a GPU without compiling. kernel_search is how many
    of cuDNN's kernels are tried for a convolution; 1 takes cuDNN's default. All were selected by
    measurement (benchmarks/results/gpu.txt).
    """

    dims: int = 3
    multiple: int = 16
    smallest: int = 32
    smallest_alone: int = 32
    channels: int = 0
    width: int = 16
    weights: str = "random"
    stages: str = ""
    like: str = ""
    heads: str = ""
    layout: str = "channels_last"
    eager_gpu_layout: str = "channels_last"
    kernel_search: int = 1


MODELS: dict[str, ModelEntry] = {
    "unet3d": ModelEntry(
        "trials.models.unet3d:unet3d",
        about="3D U-Net: max-pool encoder, transposed convolutions, Kaiming init",
        width=32,
        # A step on an H200 at batch 4 of 128^3: 73 ms compiled, 109 ms contiguous, 155 ms channels
        # last.
        eager_gpu_layout="contiguous",
    ),
    "vnet": ModelEntry(
        "trials.models.vnet:vnet",
        about="V-Net: residual blocks, PReLU, strided convolutions",
        smallest=16,
        # 139 ms with a search, 172 ms without; a search among all kernels takes 70 s.
        kernel_search=2,
    ),
    "segresnet": ModelEntry(
        "trials.models.segresnet:segresnet",
        ("frozen_stages",),
        "SegResNet, Xavier init, fine-tuned with its first encoder stages frozen",
        multiple=8,
        smallest=8,
        smallest_alone=8,
        weights="pretrain",
        stages="trials.models.segresnet:stages",
        like="trials.models.segresnet:segresnet_like",
    ),
    "dynunet": ModelEntry(
        "trials.models.nnunet:dynunet",
        about="nnU-Net's plain network, of MONAI's DynUNet, with deep supervision",
        multiple=8,
        smallest=16,
        smallest_alone=16,
        width=32,
        heads="trials.models.nnunet:plain_heads",
        # A step on an H200 at batch 2 of 128^3: 38 ms compiled, 71 ms contiguous, 94 ms channels
        # last.
        eager_gpu_layout="contiguous",
    ),
    "resenc_m": ModelEntry(
        "trials.models.nnunet:resenc_m",
        about="nnU-Net's residual encoder U-Net, preset M, with deep supervision",
        multiple=8,
        smallest=16,
        smallest_alone=16,
        width=32,
        heads="trials.models.nnunet:residual_heads",
        # Not measured on a GPU: its layers are those of dynunet.
        eager_gpu_layout="contiguous",
    ),
    "segresnet_ds": ModelEntry(
        "trials.models.segresnet:segresnet_ds",
        about="MONAI's SegResNetDS, as in Auto3DSeg, with deep supervision",
        multiple=8,
        smallest=16,
        smallest_alone=16,
        width=32,
        heads="trials.models.segresnet:heads_of_ds",
        # 84 ms contiguous, 104 ms channels last, as above.
        eager_gpu_layout="contiguous",
    ),
    "mednext_s": ModelEntry(
        "trials.models.mednext:mednext_s",
        about="MONAI's MedNeXt-S, kernels of 3, with deep supervision",
        multiple=8,
        smallest=16,
        smallest_alone=16,
        width=32,
        heads="trials.models.mednext:heads",
        # Depthwise convolutions have slow kernels channels last: 2.9 s a step, as above.
        layout="contiguous",
        eager_gpu_layout="contiguous",
    ),
    "unet2d_resnet50": ModelEntry(
        "trials.models.unet2d:resnet50",
        about="2D U-Net on slices, ImageNet ResNet50 encoder",
        dims=2,
        multiple=1,
        width=0,
        smallest_alone=33,
        weights="imagenet",
    ),
    "unet2d_resnet18": ModelEntry(
        "trials.models.unet2d:resnet18",
        about="the same with a ResNet18 encoder, small enough for a laptop",
        dims=2,
        multiple=1,
        width=0,
        smallest_alone=33,
        weights="imagenet",
    ),
}


def check_channels(name: str, channels: Sequence[str]) -> None:
    """Raise ValueError if a model takes another number of input channels than these."""
    taken = pick(MODELS, "model", name).channels
    if taken not in (0, len(channels)):
        raise ValueError(
            f"{name} takes images of {taken} channel{'s' * (taken > 1)}; the data set has "
            f"{len(channels)} ({', '.join(channels)}); use another model or data set"
        )


def check_input(name: str, recipe: Recipe, batch_size: int) -> None:
    """Raise ValueError if a model cannot train on a recipe's cube or patch; batch_size is the
    smallest batch that can occur.
    """
    if recipe.patch is not None and pick(MODELS, "model", name).dims == 2:
        raise ValueError(f"{name} is trained on slices of a Cube; got {input_text(recipe)}")
    for edge in dict.fromkeys(input_shape(recipe)):
        check_edge(name, edge, batch_size)


def check_edge(name: str, edge: int, batch_size: int) -> None:
    """check_input for one edge of a cube or patch; for a 2D model it is that of its slices.

    The message names the edge, the rule and the nearest valid edges.
    """
    part = pick(MODELS, "model", name)
    smallest = part.smallest_alone if batch_size < 2 else part.smallest
    if edge >= smallest and edge % part.multiple == 0:
        return
    below = edge // part.multiple * part.multiple
    nearest = sorted({max(smallest, below), max(smallest, below + part.multiple)})
    alone = " for a batch of one" if smallest > part.smallest else ""
    raise ValueError(
        f"{name} takes cubes and patches whose edges are multiples of {part.multiple} and at least "
        f"{smallest}{alone}; got {edge}; "
        f"nearest valid: {' or '.join(map(str, nearest))}"
    )
