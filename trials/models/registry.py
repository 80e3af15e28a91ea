"""The models a grid may name. Standard library only: an architecture is imported when it is built."""

from dataclasses import dataclass

from trials.parts import Part


@dataclass(frozen=True, slots=True)
class ModelPart(Part):
    """A model: target is a function (in_channels, num_classes, width) -> nn.Module that keeps H, W (and D).

    dims is 3 for volumes or 2 for slices. Legal edges are multiples of `multiple`, at least `smallest`.
    width is the default number of first channels. weights is what the model starts from by default:
    "random", "pretrain" (our masked-block restoration, or a file) or "imagenet" (the hub, or a file).
    stages is "module:function", (model) -> encoder stages in order, for models that can be frozen.
    """

    dims: int = 3
    multiple: int = 16
    smallest: int = 32
    width: int = 16
    weights: str = "random"
    stages: str = ""


MODELS: dict[str, ModelPart] = {
    "unet3d": ModelPart(
        "trials.models.unet3d:unet3d", about="3D U-Net: max-pool encoder, transposed convolutions, Kaiming init", width=32
    ),
    "vnet": ModelPart("trials.models.vnet:vnet", about="V-Net: residual blocks, PReLU, strided convolutions"),
    "segresnet": ModelPart(
        "trials.models.segresnet:segresnet",
        ("frozen_stages",),
        "SegResNet, Xavier init, fine-tuned with its first encoder stages frozen",
        multiple=8,
        smallest=16,
        weights="pretrain",
        stages="trials.models.segresnet:stages",
    ),
    "unet2d_resnet50": ModelPart(
        "trials.models.unet2d:resnet50", about="2D U-Net on slices, ImageNet ResNet50 encoder", dims=2, multiple=32, weights="imagenet"
    ),
    "unet2d_resnet18": ModelPart(
        "trials.models.unet2d:resnet18", about="the same with a ResNet18 encoder, small enough for a laptop", dims=2, multiple=32, weights="imagenet"
    ),
}
