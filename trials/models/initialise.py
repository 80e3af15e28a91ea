"""Explicit weight initialisation: Kaiming and Xavier with the true fans of transposed
convolutions.
"""

import math

from torch import nn

Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d


def kaiming(model: nn.Module, slope: float = 0.0) -> None:
    """Draw every convolution from a normal of deviation sqrt(2 / ((1 + slope^2) fan_in)) and set
    its bias to zero.

    slope is the activation's for negative inputs: 0 for ReLU, 0.25 for a fresh PReLU. He et al.
    2015, equations 10 and 15.
    """
    for layer in convolutions(model):
        fan_in, _ = fans(layer)
        nn.init.normal_(layer.weight, std=math.sqrt(2 / ((1 + slope**2) * fan_in)))
        _zero_bias(layer)


def xavier(model: nn.Module) -> None:
    """Draw every convolution from a normal of deviation sqrt(2 / (fan_in + fan_out)) and set its
    bias to zero.

    Glorot and Bengio 2010, equation 12.
    """
    for layer in convolutions(model):
        nn.init.normal_(layer.weight, std=math.sqrt(2 / sum(fans(layer))))
        _zero_bias(layer)


def convolutions(model: nn.Module) -> list[Convolution]:
    """List a model's convolutions, including transposed ones, in registration order."""
    return [layer for layer in model.modules() if isinstance(layer, Convolution)]


def fans(layer: Convolution) -> tuple[float, float]:
    """Count the inputs that one output value sums over, and the outputs that one input value
    reaches.

    A transposed convolution of kernel 2 and stride 2 sums over its input channels only. torch's own
    fan_in counts its output channels times the kernel, which halves the deviation for 64 -> 32
    channels in 3D.
    """
    kernel, stride = math.prod(layer.kernel_size), math.prod(layer.stride)
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
        return inputs * kernel / stride, outputs * kernel
    return inputs * kernel, outputs * kernel


def _zero_bias(layer: Convolution) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
