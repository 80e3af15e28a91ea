"""nnU-Net's plain network: the blocks of MONAI's DynUNet, with a head at each resolution of the
decoder. Isensee et al. 2021.

MONAI's own forward pass enlarges every head's output to the full size and stacks them, which takes
more memory and is another loss.
"""

from collections.abc import Sequence

from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from trials.models.initialise import Convolution, convolutions, kaiming
from trials.models.strides import Step, strides

# No stage has more than ten times the channels of the first: 320 of 32.
WIDEST, MOST_HALVINGS = 10, 5
LEAKY_SLOPE = 0.01


def dynunet(in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()) -> nn.Module:
    """Build a U-Net of 1, 2, 4, 8, 10 and 10 times `width` channels, fewer stages for small edges
    (strides.py): strided convolutions, instance norm, LeakyReLU, Kaiming-initialised.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; in training mode to a tuple
    of logits, the full resolution first and each of the others at half the resolution before it.
    Tensors have the names of MONAI's DynUNet, so its weights load.
    """
    model = PlainUNet(in_channels, num_classes, width, strides(edges, MOST_HALVINGS))
    kaiming(model, slope=LEAKY_SLOPE)
    return model


def stage_channels(width: int, num_stages: int) -> list[int]:
    """The channels of each stage: doubled from one to the next, up to ten times the width."""
    return [width * min(2**stage, WIDEST) for stage in range(num_stages)]


def heads(model: nn.Module) -> list[Convolution]:
    """The convolutions that give the logits, that of the full resolution first."""
    assert isinstance(model, PlainUNet)
    return convolutions(nn.ModuleList([model.output_block, model.deep_supervision_heads]))


class PlainUNet(nn.Module):
    """The network; steps holds the stride of each stage below the first, per axis."""

    def __init__(self, in_channels: int, num_classes: int, width: int, steps: Sequence[Step]):
        super().__init__()
        parts = DynUNet(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=num_classes,
            kernel_size=[3] * (len(steps) + 1),
            strides=[1, *steps],
            upsample_kernel_size=list(steps),
            filters=stage_channels(width, len(steps) + 1),
            deep_supervision=True,
            deep_supr_num=len(steps) - 1,
        )
        self.input_block, self.bottleneck = parts.input_block, parts.bottleneck
        self.downsamples, self.upsamples = parts.downsamples, parts.upsamples
        self.output_block = parts.output_block
        self.deep_supervision_heads = parts.deep_supervision_heads

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        skips, features = [], self.input_block(image)
        for down in (*self.downsamples, self.bottleneck):
            skips.append(features)
            features = down(features)
        decoded = []
        for up in self.upsamples:
            features = up(features, skips.pop())
            decoded.append(features)
        full = self.output_block(features)
        if not self.training:
            return full
        # Of the levels below the finest, from fine to coarse.
        coarser = zip(self.deep_supervision_heads, decoded[-2::-1], strict=True)
        return full, *(head(level) for head, level in coarser)
