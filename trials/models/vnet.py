"""V-Net: residual blocks, PReLU, strided convolutions down and transposed ones up. Milletari et al.
2016, figure 2.

Batch norm and channel dropout are placed as in MONAI's VNet, so at width 16 the two are the same
network.
"""

import torch
from torch import Tensor, nn

from trials.models.initialise import kaiming

DROPOUT = 0.5
PRELU_SLOPE = 0.25  # torch's initial value, needed for Kaiming's deviation


def vnet(
    in_channels: int, num_classes: int, width: int, kernel: float = 5, dropout: float = DROPOUT
) -> nn.Module:
    """Build a V-Net with 1, 2, 4, 8 and 16 times `width` channels and kernels of 5,
    Kaiming-initialised for PReLU.

    Maps [B, in_channels, D, H, W] to logits [B, num_classes, D, H, W]; edges are multiples of 16.
    Where in_channels does not divide width, a 1x1x1 convolution first maps them to the next number
    that does. In evaluation batch norm uses its running statistics,
    so a case's prediction does not depend on the rest of its batch. Kernels of 3 cost a quarter.
    dropout 0, as in the paper, suits a narrow network in a run of a few hundred steps: dropped
    channels before a batch norm make its running statistics wrong.
    """
    if kernel % 2 != 1:
        raise ValueError(f"vnet: kernel must be odd, so that edges are kept; got {kernel:g}")
    model = VNet(in_channels, num_classes, width, int(kernel), dropout)
    kaiming(model, slope=PRELU_SLOPE)
    return model


def fitting_channels(in_channels: int, width: int) -> int:
    """The least number of channels from in_channels on that divides width; width if none does."""
    return next((n for n in range(in_channels, width) if width % n == 0), width)


class VNet(nn.Module):
    """The network: 1, 1, 2, 3 and 2 convolutions per level in the encoder, 2, 2, 1 and 1 in the
    decoder.

    dropout applies to the channels of every skip connection and to the inputs of the two deepest
    levels, in encoder and decoder.
    """

    def __init__(self, in_channels: int, num_classes: int, width: int, kernel: int, dropout: float):
        super().__init__()
        entering = fitting_channels(in_channels, width)
        self.project = (
            nn.Identity() if entering == in_channels else nn.Conv3d(in_channels, entering, 1)
        )
        self.repeats = width // entering
        self.enter = convolve(entering, width, kernel)
        self.enter_activation = nn.PReLU(width)
        self.down = nn.ModuleList(
            [
                Down(width, 1, kernel, 0.0),
                Down(2 * width, 2, kernel, 0.0),
                Down(4 * width, 3, kernel, dropout),
                Down(8 * width, 2, kernel, dropout),
            ]
        )
        self.up = nn.ModuleList(
            [
                Up(16 * width, 16 * width, 2, kernel, (dropout, dropout)),
                Up(16 * width, 8 * width, 2, kernel, (dropout, dropout)),
                Up(8 * width, 4 * width, 1, kernel, (0.0, dropout)),
                Up(4 * width, 2 * width, 1, kernel, (0.0, dropout)),
            ]
        )
        self.leave = nn.Sequential(
            convolve(2 * width, num_classes, kernel),
            nn.PReLU(num_classes),
            nn.Conv3d(num_classes, num_classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        image = self.project(image)
        features = self.enter_activation(self.enter(image) + image.repeat(1, self.repeats, 1, 1, 1))
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        for up in self.up:
            features = up(features, skips.pop())
        return self.leave(features)


class Down(nn.Module):
    """Halve the edges and double the channels by a strided convolution, then a residual block."""

    def __init__(self, in_channels: int, num_convolutions: int, kernel: int, dropout: float):
        super().__init__()
        channels = 2 * in_channels
        halve = nn.Conv3d(in_channels, channels, 2, stride=2, bias=False)
        self.enter = nn.Sequential(halve, nn.BatchNorm3d(channels), nn.PReLU(channels))
        self.dropout = nn.Dropout3d(dropout)
        self.residual = Residual(channels, num_convolutions, kernel)

    def forward(self, features: Tensor) -> Tensor:
        entered = self.enter(features)
        return self.residual(entered, self.dropout(entered))


class Up(nn.Module):
    """Double the edges by a transposed convolution, append the skip connection, then a residual
    block.

    dropout holds the rates for the deeper features and for the skip connection.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_convolutions: int,
        kernel: int,
        dropout: tuple[float, float],
    ):
        super().__init__()
        half = out_channels // 2
        self.dropout, self.skip_dropout = (nn.Dropout3d(rate) for rate in dropout)
        self.enter = nn.Sequential(
            nn.ConvTranspose3d(in_channels, half, 2, stride=2), nn.BatchNorm3d(half), nn.PReLU(half)
        )
        self.residual = Residual(out_channels, num_convolutions, kernel)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        entered = torch.cat([self.enter(self.dropout(features)), self.skip_dropout(skip)], dim=1)
        return self.residual(entered, entered)


class Residual(nn.Module):
    """num_convolutions blocks of convolution, norm and PReLU; the shortcut is added before a final
    PReLU.
    """

    def __init__(self, channels: int, num_convolutions: int, kernel: int):
        super().__init__()
        self.activation = nn.PReLU(channels)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(convolve(channels, channels, kernel), nn.PReLU(channels))
                for _ in range(num_convolutions)
            )
        )

    def forward(self, shortcut: Tensor, features: Tensor) -> Tensor:
        return self.activation(self.blocks(features) + shortcut)


def convolve(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the edges, then batch norm, which makes a bias redundant."""
    convolution = nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(out_channels))
