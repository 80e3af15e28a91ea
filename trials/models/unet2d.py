"""2D U-Net of segmentation_models_pytorch on axial slices, with a ResNet encoder."""

import segmentation_models_pytorch as smp
from torch import nn

DEPTHS = (3, 4, 5)
DECODER = (256, 128, 64, 32, 16)


def resnet50(in_channels: int, num_classes: int, width: int, depth: float = 5) -> nn.Module:
    """Build a 2D U-Net with a ResNet50 encoder. Maps [B, in_channels, H, W] to logits [B,
    num_classes, H, W].

    depth says how often edges are halved: 5 uses the whole ResNet; 4 and 3 omit its last stages,
    for small slices that five halvings would reduce to a pixel. Raises ValueError for another
    depth.
    """
    return _unet("resnet50", in_channels, num_classes, depth)


def resnet18(in_channels: int, num_classes: int, width: int, depth: float = 5) -> nn.Module:
    """Build the same network with a ResNet18 encoder."""
    return _unet("resnet18", in_channels, num_classes, depth)


def _unet(encoder: str, in_channels: int, num_classes: int, depth: float) -> nn.Module:
    if depth not in DEPTHS:
        raise ValueError(
            f"depth of a 2D U-Net must be one of {', '.join(map(str, DEPTHS))}; got {depth:g}"
        )
    # encoder_weights=None: weights come from a file (weights.py), so building a model never
    # downloads.
    model = smp.Unet(
        encoder,
        encoder_weights=None,
        encoder_depth=int(depth),
        decoder_channels=DECODER[5 - int(depth) :],
        in_channels=in_channels,
        classes=num_classes,
    )
    for stage in range(int(depth), 5):
        # Unused stages would be counted among the parameters.
        setattr(model.encoder, f"layer{stage}", nn.Identity())
    return model
