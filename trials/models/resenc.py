"""nnU-Net's residual encoder U-Net, preset M: residual blocks going down, one convolution a level
going up. Isensee et al. 2024.

The blocks are those of ResNet-D (He et al. 2019): a shortcut is averaged before it changes its
channels. Convolutions before a norm have no bias, which the norm would remove; all else has the
shapes of the original.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from trials.models.dynunet import LEAKY_SLOPE, MOST_HALVINGS, stage_channels
from trials.models.initialise import Convolution, convolutions, kaiming
from trials.models.strides import Step, strides

BLOCKS = (1, 3, 4, 6, 6, 6)


def resenc_m(
    in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()
) -> nn.Module:
    """Build a U-Net of 1, 2, 4, 8, 10 and 10 times `width` channels and 1, 3, 4, 6, 6 and 6
    residual blocks, fewer stages for small edges (strides.py), Kaiming-initialised.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; in training mode to a tuple
    of logits, the full resolution first and each of the others at half the resolution before it. A
    residual block starts as its shortcut: the scale of its last norm is 0.
    """
    model = ResidualUNet(in_channels, num_classes, width, strides(edges, MOST_HALVINGS))
    kaiming(model, slope=LEAKY_SLOPE)
    for block in model.modules():
        if isinstance(block, ResidualBlock):
            nn.init.zeros_(block.last_norm.weight)
    return model


def heads(model: nn.Module) -> list[Convolution]:
    """The convolutions that give the logits, that of the full resolution first."""
    assert isinstance(model, ResidualUNet)
    return convolutions(model.heads)


class ResidualUNet(nn.Module):
    """The network; steps holds the stride of each stage below the first, per axis."""

    def __init__(self, in_channels: int, num_classes: int, width: int, steps: Sequence[Step]):
        super().__init__()
        channels = stage_channels(width, len(steps) + 1)
        self.stem = convolve(in_channels, width)
        self.stages = nn.ModuleList(
            stage(*pair, step, blocks)
            for pair, step, blocks in zip(
                pairwise([width, *channels]), [(1, 1, 1), *steps], BLOCKS, strict=False
            )
        )
        ups = [(deep, shallow) for shallow, deep in pairwise(channels)]
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(*pair, step, step) for pair, step in zip(ups, steps, strict=True)
        )
        self.merge = nn.ModuleList(convolve(2 * shallow, shallow) for _, shallow in ups)
        self.heads = nn.ModuleList(nn.Conv3d(shallow, num_classes, 1) for _, shallow in ups)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        features, skips = self.stem(image), []
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        skips.pop()
        outputs = []
        for level in reversed(range(len(self.up))):
            joined = torch.cat([self.up[level](features), skips.pop()], dim=1)
            features = self.merge[level](joined)
            if self.training or level == 0:
                outputs.append(self.heads[level](features))
        return tuple(reversed(outputs)) if self.training else outputs[0]


class ResidualBlock(nn.Module):
    """Two convolutions, the first with the stride, and a shortcut that is averaged by the stride
    and changes its channels where needed.
    """

    def __init__(self, in_channels: int, out_channels: int, step: Step):
        super().__init__()
        self.first = convolve(in_channels, out_channels, step)
        self.second = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False)
        self.last_norm = nn.InstanceNorm3d(out_channels, affine=True)
        self.activation = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
        shortcut: list[nn.Module] = []
        if max(step) > 1:
            shortcut += [nn.AvgPool3d(step, step)]
        if in_channels != out_channels:
            shortcut += [nn.Conv3d(in_channels, out_channels, 1, bias=False)]
            shortcut += [nn.InstanceNorm3d(out_channels, affine=True)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: Tensor) -> Tensor:
        residual = self.last_norm(self.second(self.first(features)))
        return self.activation(residual + self.shortcut(features))


def stage(in_channels: int, out_channels: int, step: Step, blocks: int) -> nn.Sequential:
    """A stage of the encoder: its first block changes size and channels."""
    first = ResidualBlock(in_channels, out_channels, step)
    others = (ResidualBlock(out_channels, out_channels, (1, 1, 1)) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


def convolve(in_channels: int, out_channels: int, step: Step = (1, 1, 1)) -> nn.Sequential:
    """A 3^3 convolution, instance norm and LeakyReLU."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 3, stride=step, padding=1, bias=False),
        nn.InstanceNorm3d(out_channels, affine=True),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
    )
