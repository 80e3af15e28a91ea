"""2D U-Net of segmentation_models_pytorch on axial slices, with a ResNet encoder."""

import segmentation_models_pytorch as smp
from torch import nn


def resnet50(in_channels: int, num_classes: int, width: int) -> nn.Module:
    """Build a 2D U-Net with a ResNet50 encoder. Maps [B, in_channels, H, W] to logits [B, num_classes, H, W]."""
    return _unet("resnet50", in_channels, num_classes)


def resnet18(in_channels: int, num_classes: int, width: int) -> nn.Module:
    """Build the same network with a ResNet18 encoder."""
    return _unet("resnet18", in_channels, num_classes)


def _unet(encoder: str, in_channels: int, num_classes: int) -> nn.Module:
    # encoder_weights=None: weights come from a file (weights.py), so that building a model never reaches for a network.
    return smp.Unet(encoder, encoder_weights=None, in_channels=in_channels, classes=num_classes)
