"""MONAI's MedNeXt, size S with kernels of 3: depthwise convolutions and expanding ones, as in
ConvNeXt. Roy et al. 2023, table 1.
"""

from collections.abc import Sequence

from monai.networks.nets.mednext import MedNeXt
from torch import nn

from trials.models.initialise import Convolution, convolutions
from trials.models.nnunet import even_halvings

BLOCKS_PER_STAGE, EXPANSION, MOST_HALVINGS = 2, 2, 4


def mednext_s(
    in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()
) -> nn.Module:
    """Build a MedNeXt of 1, 2, 4, 8 and 16 times `width` channels, fewer stages for small edges
    (nnunet.strides), with MONAI's initial weights.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; in training mode to a tuple
    of logits, the full resolution first and each of the others at half the resolution before it.
    """
    stages = (BLOCKS_PER_STAGE,) * even_halvings(edges, MOST_HALVINGS)
    return MedNeXt(
        init_filters=width,
        in_channels=in_channels,
        out_channels=num_classes,
        encoder_expansion_ratio=EXPANSION,
        bottleneck_expansion_ratio=EXPANSION,
        decoder_expansion_ratio=EXPANSION,
        kernel_size=3,
        deep_supervision=True,
        use_residual_connection=True,
        blocks_down=stages,
        blocks_bottleneck=BLOCKS_PER_STAGE,
        blocks_up=stages,
    )


def heads(model: nn.Module) -> list[Convolution]:
    """The convolutions that give the logits, that of the full resolution first."""
    assert isinstance(model, MedNeXt)
    return convolutions(nn.ModuleList([model.out_0, *reversed(model.out_blocks)]))
