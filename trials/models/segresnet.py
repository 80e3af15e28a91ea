"""SegResNet: MONAI's network with Xavier weights. Myronenko 2018, without the
autoencoder branch."""

from collections.abc import Mapping
from typing import Any

from monai.networks.nets.segresnet import SegResNet
from torch import Tensor, nn

from trials.models.initialise import xavier

FIRST = "convInit.conv.weight"


def segresnet(in_channels: int, num_classes: int, width: int) -> nn.Module:
    """Build a SegResNet with 1, 2, 4 and 8 times `width` channels; width is a multiple of 8, the
    number of norm groups.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; edges are multiples of 8.
    The decoder uses transposed convolutions: trilinear upsampling, MONAI's default, has no
    deterministic gradient on CUDA.
    """
    return _build(in_channels, num_classes, width, upsample_mode="deconv")


def segresnet_like(
    tensors: Mapping[str, Tensor], in_channels: int, num_classes: int, width: int | None
) -> nn.Module:
    """Build the SegResNet that a file's tensors were saved from: its width, blocks and upsampling;
    the head is our own.

    Most public weights use trilinear upsampling, which has no tensors. width None takes the file's
    width; a different one raises ValueError. Tensors of another architecture give the default
    network, whose loading then fails with their names.
    """
    first = next((name for name in tensors if name.endswith(FIRST)), None)
    if first is None:
        return segresnet(in_channels, num_classes, width or 8)
    file_width = tensors[first].shape[0]
    if width not in (None, file_width):
        raise ValueError(
            f"the weights are for a SegResNet of width {file_width}, the recipe sets {width}; "
            "remove width from the recipe"
        )
    names = {name.removeprefix(first.removesuffix(FIRST)) for name in tensors}
    return _build(
        in_channels,
        num_classes,
        file_width,
        upsample_mode="deconv" if "up_samples.0.1.deconv.weight" in names else "nontrainable",
        blocks_down=_blocks(names, "down_layers"),
        blocks_up=_blocks(names, "up_layers"),
    )


def stages(model: nn.Module) -> list[nn.Module]:
    """List the encoder in order: the first convolution, then each level."""
    assert isinstance(model, SegResNet)
    return [model.convInit, *model.down_layers]


def _build(in_channels: int, num_classes: int, width: int, **variant: Any) -> nn.Module:
    if width % 8:
        raise ValueError(
            f"segresnet: width must be a multiple of 8, the number of norm groups; got {width}"
        )
    model = SegResNet(
        init_filters=width, in_channels=in_channels, out_channels=num_classes, **variant
    )
    xavier(model)
    return model


def _blocks(names: set[str], layers: str) -> tuple[int, ...]:
    """Count the residual blocks of each level from the names of their first convolutions."""
    levels = [
        name.split(".")[1]
        for name in names
        if name.startswith(f"{layers}.") and name.endswith(".conv1.conv.weight")
    ]
    return tuple(levels.count(level) for level in sorted(set(levels), key=int))
