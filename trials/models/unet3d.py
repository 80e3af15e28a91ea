"""3D U-Net: a max-pool encoder, transposed convolutions, skip connections, instance norm. Çiçek et
al. 2016.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from trials.models.initialise import kaiming


def unet3d(in_channels: int, num_classes: int, width: int) -> nn.Module:
    """Build a U-Net of five levels with 1, 2, 4, 8 and 16 times `width` channels,
    Kaiming-initialised.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; edges are multiples of 16,
    at least 32, since instance norm needs more than one voxel at the deepest level.
    """
    model = UNet3d(in_channels, num_classes, [width * 2**level for level in range(5)])
    kaiming(model)
    return model


class UNet3d(nn.Module):
    """The network itself; channels lists each level's width, from the top down."""

    def __init__(self, in_channels: int, num_classes: int, channels: list[int]):
        super().__init__()
        self.down = nn.ModuleList(
            two_convolutions(*pair) for pair in pairwise([in_channels, *channels])
        )
        self.pool = nn.ModuleList(nn.MaxPool3d(2) for _ in channels[1:])
        upwards = channels[::-1]
        pairs = list(pairwise(upwards))
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(deep, shallow, 2, stride=2) for deep, shallow in pairs
        )
        self.merge = nn.ModuleList(two_convolutions(2 * shallow, shallow) for _, shallow in pairs)
        self.head = nn.Conv3d(channels[0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.down[0](image)
        skips = []
        for pool, down in zip(self.pool, self.down[1:], strict=True):
            skips.append(features)
            features = down(pool(features))
        for up, merge in zip(self.up, self.merge, strict=True):
            features = merge(torch.cat([skips.pop(), up(features)], dim=1))
        return self.head(features)


def two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two blocks of 3^3 convolution, instance norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        # No bias: the following norm would remove it.
        layers += [nn.Conv3d(channels, out_channels, 3, padding=1, bias=False)]
        layers += [nn.InstanceNorm3d(out_channels, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
