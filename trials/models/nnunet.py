"""nnU-Net's two networks, and how often they halve their input.

The plain one (Isensee et al. 2021) has the blocks of MONAI's DynUNet, whose own forward pass
enlarges every head's output to the full size and stacks them, which takes more memory and is
another loss. The residual encoder U-Net, preset M (Isensee et al. 2024), has residual blocks going
down, those of ResNet-D (He et al. 2019: a shortcut is averaged before it changes its channels), and
one convolution a level going up. Convolutions before its norms have no bias, which the norm would
remove; all else has the shapes of the original. Both have a head at each resolution of the decoder.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from trials.models.initialise import Convolution, convolutions, kaiming

# nnU-Net pools an axis only while that leaves at least 4 voxels. Isensee et al. 2021, supplement.
LEAST_EDGE = 4
Step = tuple[int, int, int]
# No stage has more than ten times the channels of the first: 320 of 32.
WIDEST, MOST_HALVINGS = 10, 5
LEAKY_SLOPE = 0.01
BLOCKS = (1, 3, 4, 6, 6, 6)


def strides(edges: Sequence[int], most: int) -> list[Step]:
    """The stride of each halving, at most `most` of them: 2 along every axis whose half is whole
    and at least 4 voxels, else 1.

    128 is halved 5 times, 96 four times and 16 twice; one axis may be halved less often than
    another. No edges give `most` halvings of three axes.
    """
    depth, height, width = edges or [LEAST_EDGE * 2**most] * 3
    found: list[Step] = []
    while len(found) < most:
        step = (_step(depth), _step(height), _step(width))
        if max(step) == 1:
            break
        found.append(step)
        depth, height, width = depth // step[0], height // step[1], width // step[2]
    return found


def even_halvings(edges: Sequence[int], most: int) -> int:
    """How often all axes can be halved together, for networks that treat them alike."""
    return sum(min(step) == 2 for step in strides(edges, most))


def _step(edge: int) -> int:
    return 2 if edge % 2 == 0 and edge // 2 >= LEAST_EDGE else 1


def dynunet(in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()) -> nn.Module:
    """Build a U-Net of 1, 2, 4, 8, 10 and 10 times `width` channels, fewer stages for small edges
    (nnunet.strides): strided convolutions, instance norm, LeakyReLU, Kaiming-initialised.

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


def plain_heads(model: nn.Module) -> list[Convolution]:
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


def resenc_m(
    in_channels: int, num_classes: int, width: int, edges: Sequence[int] = ()
) -> nn.Module:
    """Build a U-Net of 1, 2, 4, 8, 10 and 10 times `width` channels and 1, 3, 4, 6, 6 and 6
    residual blocks, fewer stages for small edges (nnunet.strides), Kaiming-initialised.

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


def residual_heads(model: nn.Module) -> list[Convolution]:
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
