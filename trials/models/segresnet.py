"""SegResNet, MONAI's networks: the plain one with Xavier weights, without the autoencoder branch of
Myronenko 2018; and SegResNetDS, of more blocks, with a head at each resolution of the decoder, as
Auto3DSeg trains it (Myronenko et al. 2023).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.segresnet_ds import SegResNetDS
from torch import Tensor, nn

from trials.models.initialise import Convolution, xavier
from trials.models.nnunet import even_halvings

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


BLOCKS = (1, 2, 2, 4, 4)


def segresnet_ds(
    in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()
) -> nn.Module:
    """Build a SegResNetDS of 1, 2, 4, 8 and 16 times `width` channels and 1, 2, 2, 4 and 4 blocks,
    fewer levels for small edges (nnunet.strides), with instance norm and MONAI's initial weights.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; in training mode to a list
    of logits, the full resolution first and each of the others at half the resolution before it.
    """
    levels = even_halvings(edges, len(BLOCKS) - 1) + 1
    return SegResNetDS(
        init_filters=width,
        in_channels=in_channels,
        out_channels=num_classes,
        norm="instance",
        blocks_down=BLOCKS[:levels],
        dsdepth=levels - 1,
    )


def heads_of_ds(model: nn.Module) -> list[Convolution]:
    """The convolutions that give the logits, that of the full resolution first."""
    assert isinstance(model, SegResNetDS)
    return [level["head"] for level in reversed(model.up_layers)]  # type: ignore[index]
