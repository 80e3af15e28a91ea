"""What every model promises, and what each architecture is: counted, compared with MONAI and smp,
and learnt from.
"""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import segmentation_models_pytorch as smp
import torch
from monai.networks.nets import DynUNet, SegResNet, VNet
from torch import nn
from torch.nn import functional as F

from trials.models.build import (
    bias_from_frequencies,
    build,
    heads_of,
    multiply_adds,
    num_parameters,
    num_trainable,
)
from trials.models.initialise import convolutions
from trials.models.nnunet import ResidualBlock, strides
from trials.models.registry import MODELS, check_channels, check_edge
from trials.models.weights import load_tensors
from trials.training.tasks import supervised_loss

WIDTHS = {"segresnet": 8}  # the narrowest it can be
THREE_D = [name for name, part in MODELS.items() if part.dims == 3]
SEVERAL_OUTPUTS = [name for name, part in MODELS.items() if part.heads]


def small(name: str, num_classes: int = 4, in_channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    part = MODELS[name]
    width = WIDTHS.get(name, 4) if part.width else None
    edges = [part.smallest] * part.dims
    return build(name, num_classes, in_channels=in_channels, width=width, edges=edges)


def smallest_batch(name: str, batch_size: int = 2, channels: int = 1) -> torch.Tensor:
    part = MODELS[name]
    edge = part.smallest if batch_size > 1 else part.smallest_alone
    return torch.randn(
        batch_size, channels, *[edge] * part.dims, generator=torch.Generator().manual_seed(0)
    )


def outputs_of(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    found = model(images)
    return [found] if isinstance(found, torch.Tensor) else list(found)


def deviation_over(layer: nn.Module, fan: float) -> float:
    return layer.weight.std().item() / math.sqrt(2 / fan)


@pytest.mark.parametrize(("batch_size", "channels"), [(1, 3), (2, 1)])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_keeps_the_shape_at_its_smallest_edge(name, batch_size, channels):
    images = smallest_batch(name, batch_size, channels)

    outputs = outputs_of(small(name, 3, channels).train(), images)

    assert (len(outputs) > 1) == (name in SEVERAL_OUTPUTS)
    for number, logits in enumerate(outputs):
        halved = [edge // 2**number for edge in images.shape[2:]]
        assert logits.shape == (batch_size, 3, *halved)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_a_batch_of_one_in_evaluation_and_ignores_its_neighbours(name):
    model = small(name).eval()
    images = smallest_batch(name)

    with torch.no_grad():
        together, alone = model(images), model(images[:1])

    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_one_batch_with_finite_gradients(name):
    model = small(name).train()
    images = smallest_batch(name)
    labels = (images[:, 0] > 0).long() + 2 * (images[:, 0] > 1).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)

    losses = []
    for _ in range(6):
        loss = supervised_loss(F.cross_entropy, outputs_of(model, images), labels)
        optimizer.zero_grad()
        loss.backward()
        # The lowest resolution has no part in the loss, so its head has no gradient.
        untrained = list(heads_of(name, model)[-1].parameters()) if MODELS[name].heads else []
        gradients = [p.grad for p in model.parameters() if all(p is not q for q in untrained)]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        optimizer.step()
        losses.append(loss.item())

    assert min(losses[-2:]) < 0.8 * losses[0]


@pytest.mark.parametrize("name", THREE_D)
def test_every_3d_model_follows_its_width(name):
    models = [build(name, 4, width=width, edges=[32] * 3) for width in (8, 16)]

    assert [convolutions(model)[0].out_channels for model in models] == [8, 16]


def test_the_unet_pools_by_maximum_and_goes_up_by_transposed_convolutions():
    kinds = [type(module) for module in small("unet3d").modules()]

    assert kinds.count(nn.MaxPool3d) == 4
    assert kinds.count(nn.ConvTranspose3d) == 4
    assert [layer.out_channels for layer in convolutions(small("unet3d"))[:10:2]] == [
        4,
        8,
        16,
        32,
        64,
    ]


def test_the_vnet_is_the_vnet_of_monai():
    ours = build("vnet", 4, width=16).eval()
    reference = VNet(in_channels=1, out_channels=4, act="prelu").eval()

    assert num_parameters(ours) == num_parameters(reference) == 45_609_536
    for kind in (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.PReLU):
        pairs = zip(
            *[[m for m in model.modules() if isinstance(m, kind)] for model in (ours, reference)],
            strict=True,
        )
        for mine, other in pairs:
            mine.load_state_dict(other.state_dict())
    images = smallest_batch("vnet", 1)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference(images))


def test_the_vnet_is_activated_by_prelu_alone():
    kinds = [type(module) for module in small("vnet").modules()]

    assert kinds.count(nn.PReLU) == 32
    assert not {nn.ReLU, nn.ELU, nn.LeakyReLU} & set(kinds)


def test_the_segresnet_is_monais_with_transposed_convolutions():
    reference = SegResNet(init_filters=16, in_channels=1, out_channels=4, upsample_mode="deconv")

    assert num_parameters(build("segresnet", 4, width=16)) == num_parameters(reference)


@pytest.mark.parametrize(
    ("name", "encoder"), [("unet2d_resnet50", "resnet50"), ("unet2d_resnet18", "resnet18")]
)
def test_the_2d_unet_is_that_of_smp(name, encoder):
    reference = smp.Unet(encoder, encoder_weights=None, in_channels=1, classes=4)

    assert num_parameters(build(name, 4)) == num_parameters(reference)


# Counted in MONAI 1.6.1, and in dynamic-network-architectures 0.4.4 with nnU-Net's plans for four
# classes; there every convolution before a norm has a bias too.
@pytest.mark.parametrize(
    ("name", "parameters", "weights"),
    [
        ("dynunet", 31_192_564, 31_184_864),
        ("resenc_m", 102_338_324, 102_309_856),
        ("segresnet_ds", 87_165_168, 87_149_280),
        ("mednext_s", 5_554_836, 5_527_040),
    ],
)
def test_the_strong_models_have_the_size_of_the_published_ones(name, parameters, weights):
    with torch.device("meta"):
        model = build(name, 4, edges=[128] * 3)

    assert num_parameters(model) == parameters
    assert sum(tensor.numel() for tensor in model.parameters() if tensor.dim() > 1) == weights


def test_the_dynunet_is_monais_with_its_heads_at_their_own_resolution():
    ours = small("dynunet").train()
    form = {"strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16]}
    reference = DynUNet(3, 1, 4, [3] * 3, **form, deep_supervision=True, deep_supr_num=1).train()
    load_tensors(ours, reference.state_dict(), "MONAI's own")
    images = smallest_batch("dynunet")

    with torch.no_grad():
        full, half = ours(images)
        stacked = reference(images)

    torch.testing.assert_close(full, stacked[:, 0])
    torch.testing.assert_close(F.interpolate(half, scale_factor=2), stacked[:, 1])


def test_a_residual_block_starts_as_its_shortcut():
    torch.manual_seed(0)
    block = next(m for m in small("resenc_m").modules() if isinstance(m, ResidualBlock))
    features = torch.randn(1, 4, 4, 4, 4)

    torch.testing.assert_close(block(features), F.leaky_relu(features, 0.01))


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((128, 128, 128), [(2, 2, 2)] * 5),
        ((96, 96, 96), [(2, 2, 2)] * 4),
        ((48, 128, 16), [(2, 2, 2)] * 2 + [(2, 2, 1)] + [(1, 2, 1)] * 2),
        ((24, 24, 24), [(2, 2, 2)] * 2),
        ((), [(2, 2, 2)] * 5),
    ],
)
def test_an_axis_is_halved_while_four_voxels_remain(edges, expected):
    assert strides(edges, 5) == expected


def test_a_flat_patch_keeps_its_shape_where_an_axis_is_halved_less_often():
    for name in ("dynunet", "resenc_m"):
        full, *_, last = build(name, 3, width=4, edges=(8, 32, 16))(torch.zeros(1, 1, 8, 32, 16))

        assert full.shape == (1, 3, 8, 32, 16)
        assert last.shape == (1, 3, 4, 8, 4)


@pytest.mark.parametrize("name", SEVERAL_OUTPUTS)
def test_the_strong_models_are_one_graph_when_compiled(name):
    model = small(name).train()
    torch._dynamo.reset()

    # fullgraph refuses what breaks it.
    compiled = torch.compile(model, fullgraph=True, backend="eager")

    assert len(compiled(smallest_batch(name))) == len(heads_of(name, model))


@pytest.mark.parametrize("name", ["unet3d", "vnet"])
def test_kaiming_gives_every_convolution_its_deviation(name):
    slope = 0.25 if "vnet" in name else 0
    for layer in convolutions(build(name, 4, width=16)):
        kernel = math.prod(layer.kernel_size)
        fan_in = layer.in_channels * (kernel if isinstance(layer, nn.Conv3d) else 1)
        if layer.weight.numel() > 10_000:
            assert deviation_over(layer, fan_in * (1 + slope**2)) == pytest.approx(1, abs=0.03)


def test_a_transposed_convolution_of_64_to_32_channels_has_a_fan_in_of_64():
    layer = next(
        m
        for m in build("unet3d", 4, width=32).modules()
        if isinstance(m, nn.ConvTranspose3d) and m.in_channels == 64
    )

    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.03)


def test_xavier_gives_every_convolution_of_the_segresnet_its_deviation():
    for layer in convolutions(build("segresnet", 4, width=16)):
        kernel = math.prod(layer.kernel_size)
        fan_in = layer.in_channels * (kernel if isinstance(layer, nn.Conv3d) else 1)
        if layer.weight.numel() > 10_000:
            assert deviation_over(layer, fan_in + layer.out_channels * kernel) == pytest.approx(
                1, abs=0.03
            )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_starts_from_the_class_frequencies(name):
    model = small(name)

    heads = heads_of(name, model)

    bias_from_frequencies(heads, (0.9, 0.09, 0.01, 0.0))

    assert len(heads) == len(outputs_of(model.train(), smallest_batch(name)))
    for head in heads:
        assert head.bias.softmax(0).tolist() == pytest.approx([0.9, 0.09, 0.01, 0.0001], rel=1e-3)


def test_multiply_adds_of_a_convolution_by_hand():
    layers = nn.Sequential(
        nn.Conv3d(2, 3, 3, padding=1), nn.BatchNorm3d(3), nn.ConvTranspose3d(3, 5, 2, stride=2)
    )

    # 4^3 outputs of 3 channels over 2 x 27 inputs; then 8^3 outputs of 5 channels over 3 inputs.
    assert multiply_adds(layers, (1, 2, 4, 4, 4)) == 64 * 3 * 54 + 512 * 5 * 3
    assert multiply_adds(layers, (7, 2, 4, 4, 4)) == 7 * multiply_adds(layers, (1, 2, 4, 4, 4))


@pytest.mark.parametrize("name", MODELS)
def test_counting_multiply_adds_leaves_every_model_as_it_was(name):
    model = small(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    assert multiply_adds(model, smallest_batch(name).shape) > num_parameters(model) / 10

    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert num_trainable(model) == num_parameters(model)


@pytest.mark.parametrize(
    ("name", "edge", "batch_size", "message"),
    [
        (
            "unet3d",
            24,
            2,
            "unet3d takes cubes and patches whose edges are multiples of 16 and at least 32; got "
            "24; nearest valid: 32",
        ),
        ("unet3d", 16, 2, "at least 32; got 16; nearest valid: 32"),
        ("vnet", 40, 4, "multiples of 16 and at least 16; got 40; nearest valid: 32 or 48"),
        ("vnet", 16, 1, "at least 32 for a batch of one; got 16; nearest valid: 32"),
        ("segresnet", 20, 1, "multiples of 8 and at least 8; got 20; nearest valid: 16 or 24"),
        ("unet2d_resnet18", 32, 1, "at least 33 for a batch of one; got 32; nearest valid: 33"),
    ],
)
def test_an_illegal_edge_is_refused_with_the_rule_and_the_nearest_legal_ones(
    name, edge, batch_size, message
):
    with pytest.raises(ValueError, match=message + "$"):
        check_edge(name, edge, batch_size)


@pytest.mark.parametrize(("name", "edge"), [("unet3d", 24), ("vnet", 24), ("segresnet", 20)])
def test_the_edges_that_are_refused_would_have_failed(name, edge):
    with pytest.raises((RuntimeError, ValueError)):
        small(name)(torch.zeros(2, 1, edge, edge, edge))


@pytest.mark.parametrize(("name", "edge"), [("vnet", 16), ("unet2d_resnet18", 32)])
def test_the_batch_of_one_that_is_refused_would_have_failed(name, edge):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        small(name).train()(torch.zeros(1, 1, *[edge] * MODELS[name].dims))


@pytest.mark.parametrize("edge", [128, 64, 48, 32])
@pytest.mark.parametrize("name", MODELS)
def test_the_usual_cubes_are_legal_for_every_model(name, edge):
    check_edge(name, edge, batch_size=2)


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("segresnet", 12, "must be a multiple of 8, the number of norm groups; got 12"),
        ("unet2d_resnet18", 16, "fixes its width; got width 16"),
        ("unet4d", None, "unknown model 'unet4d'; did you mean 'unet3d'"),
    ],
)
def test_what_cannot_be_built_is_refused(name, width, message):
    with pytest.raises(ValueError, match=message):
        build(name, 4, width=width)


@pytest.mark.parametrize(("channels", "entering"), [(1, 1), (3, 4), (4, 4), (5, 8), (11, 8)])
def test_a_vnet_of_width_8_maps_its_channels_to_the_next_divisor_of_it(channels, entering):
    model = build("vnet", 4, in_channels=channels, width=8)

    mapped = [
        tuple(weight.shape) for name, weight in model.named_parameters() if "project." in name
    ]

    assert mapped == ([(entering, channels, 1, 1, 1), (entering,)] if channels != entering else [])
    assert model.enter[0].in_channels == entering
    assert model.eval()(torch.zeros(1, channels, 16, 16, 16)).shape == (1, 4, 16, 16, 16)


def test_a_model_of_one_channel_refuses_three_by_name(monkeypatch):
    check_channels("unet3d", ("T1", "T2", "PET"))
    monkeypatch.setitem(MODELS, "unet3d", replace(MODELS["unet3d"], channels=1))

    check_channels("unet3d", ("T1",))
    with pytest.raises(ValueError, match=r"unet3d takes images of 1 channel; .* 3 \(T1, T2, PET\)"):
        check_channels("unet3d", ("T1", "T2", "PET"))


def test_a_model_loads_the_library_of_no_other():
    script = (
        "import sys; from trials.models.build import build; build('unet3d', 4, width=4); "
        "sys.exit('monai' in sys.modules or 'segmentation_models_pytorch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_vnet_drops_channels_where_monais_does_and_nowhere_if_told_so():
    def rates(model: nn.Module) -> list[float]:
        return sorted(
            module.p for module in model.modules() if isinstance(module, nn.Dropout3d) and module.p
        )

    assert (
        rates(small("vnet")) == rates(VNet(in_channels=1, out_channels=4, act="prelu")) == [0.5] * 8
    )
    assert rates(build("vnet", 4, width=4, options=[("kernel", 3), ("dropout", 0)])) == []


@pytest.mark.parametrize("depth", [3, 4])
def test_a_shallower_2d_unet_leaves_out_the_stages_it_does_not_pass(depth):
    whole, shallow = (
        build("unet2d_resnet18", 4),
        build("unet2d_resnet18", 4, options=[("depth", depth)]),
    )
    channels = (256, 128, 64, 32, 16)[-depth:]
    reference = smp.Unet(
        "resnet18", depth, None, decoder_channels=channels, in_channels=1, classes=4
    )
    unused = [
        parameter
        for stage in range(depth, 5)
        for parameter in getattr(reference.encoder, f"layer{stage}").parameters()
    ]

    shallow(torch.zeros(2, 1, 32, 32)).sum().backward()

    assert num_parameters(shallow) == num_parameters(reference) - sum(
        parameter.numel() for parameter in unused
    )
    assert all(parameter.grad is not None for parameter in shallow.parameters())
    assert (
        load_tensors(shallow, whole.encoder.state_dict(), "a file of the whole encoder").missing
        == ()
    )


def test_an_option_that_a_model_does_not_have_is_refused():
    with pytest.raises(
        ValueError, match="unknown model_options of vnet 'kernal'; did you mean 'kernel'"
    ):
        build("vnet", 4, width=4, options=[("kernal", 3)])
    with pytest.raises(ValueError, match="kernel must be odd"):
        build("vnet", 4, width=4, options=[("kernel", 4)])
    with pytest.raises(ValueError, match="depth of a 2D U-Net must be one of 3, 4, 5; got 6"):
        build("unet2d_resnet18", 4, options=[("depth", 6)])
