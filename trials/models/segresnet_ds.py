"""MONAI's SegResNetDS: a SegResNet of more blocks with a head at each resolution of the decoder,
as Auto3DSeg trains it. Myronenko 2018; Myronenko et al. 2023.
"""

from collections.abc import Sequence

from monai.networks.nets.segresnet_ds import SegResNetDS
from torch import nn

from trials.models.initialise import Convolution
from trials.models.strides import even_halvings

BLOCKS = (1, 2, 2, 4, 4)


def segresnet_ds(
    in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()
) -> nn.Module:
    """Build a SegResNetDS of 1, 2, 4, 8 and 16 times `width` channels and 1, 2, 2, 4 and 4 blocks,
    fewer levels for small edges (strides.py), with instance norm and MONAI's initial weights.

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


def heads(model: nn.Module) -> list[Convolution]:
    """The convolutions that give the logits, that of the full resolution first."""
    assert isinstance(model, SegResNetDS)
    return [level["head"] for level in reversed(model.up_layers)]  # type: ignore[index]
