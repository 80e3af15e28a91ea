"""Loading weights: what fits is copied exactly, what does not is refused by name; and fine-tuning
on top of it.
"""

import os
import subprocess
import sys

import pytest
import torch
from monai.networks.nets import SegResNet
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import encoders
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from torch import nn

from bench.execution.start_weights import SOURCES
from trials.models.build import build, build_with
from trials.models.freezing import freeze, set_train, stages_of
from trials.models.registry import MODELS
from trials.models.weights import load_weights


def model_of(
    seed: int, name: str = "segresnet", num_classes: int = 4, width: int | None = 8
) -> nn.Module:
    torch.manual_seed(seed)
    return build(name, num_classes, width=width)


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["unet3d", "vnet", "segresnet"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_a_checkpoint_of_the_same_model_fits_whole(tmp_path, name, wrapper):
    source, target = model_of(1, name), model_of(2, name)
    content = source.state_dict()
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, tmp_path / "weights.pt")

    loaded = load_weights(target, tmp_path / "weights.pt")

    assert same(source, target)
    assert (loaded.num_fitting, loaded.head, loaded.missing) == (loaded.num_tensors, (), ())


def test_safetensors_and_wrapped_names_fit_too(tmp_path):
    source, target = model_of(1), model_of(2)
    save_file(
        {f"module.net.{key}": tensor for key, tensor in source.state_dict().items()},
        tmp_path / "weights.safetensors",
    )

    load_weights(target, tmp_path / "weights.safetensors")

    assert same(source, target)


@pytest.mark.parametrize("name", ["segresnet", "vnet", "unet3d"])
@pytest.mark.parametrize("num_classes", [1, 105])
def test_weights_with_other_classes_leave_the_head_alone(tmp_path, name, num_classes):
    source, target, untouched = model_of(1, name, num_classes), model_of(2, name), model_of(2, name)
    torch.save(source.state_dict(), tmp_path / "weights.pth")

    loaded = load_weights(target, tmp_path / "weights.pth")

    assert loaded.missing == ()
    assert loaded.head
    for key, tensor in target.state_dict().items():
        assert torch.equal(tensor, (untouched if key in loaded.head else source).state_dict()[key])


def test_a_bundle_folder_gives_the_variant_it_was_trained_as(tmp_path):
    torch.manual_seed(0)
    bundle = SegResNet(
        init_filters=16, in_channels=4, out_channels=3, blocks_down=(1, 1, 2), blocks_up=(1, 1)
    )
    (tmp_path / "models").mkdir()
    torch.save({"model": bundle.state_dict()}, tmp_path / "models" / "model.pt")

    model, loaded = build_with("segresnet", tmp_path, 4)

    assert loaded.missing == ()
    assert loaded.head == ("conv_final.2.conv.weight", "conv_final.2.conv.bias")
    assert torch.equal(
        model.convInit.conv.weight, bundle.convInit.conv.weight.sum(dim=1, keepdim=True)
    )
    assert torch.equal(
        model.down_layers[2][2].conv2.conv.weight, bundle.down_layers[2][2].conv2.conv.weight
    )
    images = torch.randn(1, 1, 8, 8, 8)
    for ours, theirs in zip(
        model.encode(images)[1], bundle.encode(images.expand(1, 4, 8, 8, 8))[1], strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_our_own_checkpoint_keeps_its_transposed_convolutions(tmp_path):
    source = model_of(1)
    torch.save(source.state_dict(), tmp_path / "weights.pt")

    model, _ = build_with("segresnet", tmp_path / "weights.pt", 4)

    assert same(source, model)


def test_a_width_other_than_the_files_is_refused(tmp_path):
    torch.save(model_of(1).state_dict(), tmp_path / "weights.pt")

    with pytest.raises(ValueError, match=r"weights\.pt: .* width 8, the recipe sets 16"):
        build_with("segresnet", tmp_path / "weights.pt", 4, width=16)


def test_a_file_of_another_model_is_refused_with_three_examples(tmp_path):
    torch.save(model_of(1, "unet3d").state_dict(), tmp_path / "wrong.pt")

    with pytest.raises(
        ValueError,
        match=r"wrong\.pt: only 0 of 89 tensors fit this model and 95% must; "
        r"(.* in the file; ){3}give",
    ):
        build_with("segresnet", tmp_path / "wrong.pt", 4)


def test_a_file_of_another_width_is_refused_with_both_shapes(tmp_path):
    torch.save(model_of(1, "unet3d", width=4).state_dict(), tmp_path / "narrow.pt")

    with pytest.raises(
        ValueError, match=r"down\.0\.0\.weight is 8x1x3x3x3 in the model and 4x1x3x3x3 in the file"
    ):
        load_weights(model_of(2, "unet3d"), tmp_path / "narrow.pt")


def test_a_refused_file_changes_nothing(tmp_path):
    target = model_of(2, "vnet")
    half = dict(list(model_of(1, "vnet").state_dict().items())[:100])
    torch.save(half, tmp_path / "half.pt")

    with pytest.raises(ValueError, match="only 100 of"):
        load_weights(target, tmp_path / "half.pt")

    assert same(target, model_of(2, "vnet"))


def test_files_that_are_no_weights_are_refused_by_name(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    torch.save(model_of(1), tmp_path / "module.pt")
    (tmp_path / "bundle").mkdir()

    for name, message in {
        "absent.pt": "no such weights file",
        "bundle": "model.pt: no such weights file",
        "text.pt": "not a file of plain tensors",
        "text.safetensors": "not a file of plain tensors",
        "module.pt": "not a file of plain tensors",
        "empty.pt": "holds no named tensors",
    }.items():
        with pytest.raises(ValueError, match=message) as refusal:
            load_weights(model_of(2), tmp_path / name)
        assert name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_an_imagenet_encoder_sums_its_colours(tmp_path):
    torch.manual_seed(1)
    encoder = build("unet2d_resnet18", 4, in_channels=3).encoder
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    target, untouched = (
        model_of(2, "unet2d_resnet18", width=None),
        model_of(2, "unet2d_resnet18", width=None),
    )

    loaded = load_weights(target, tmp_path / "model.safetensors")

    assert loaded.num_fitting == loaded.num_tensors == len(encoder.state_dict())
    assert torch.equal(target.encoder.conv1.weight, encoder.conv1.weight.sum(dim=1, keepdim=True))
    assert torch.equal(target.encoder.layer4[1].bn2.running_var, encoder.layer4[1].bn2.running_var)
    assert same(target.decoder, untouched.decoder)


@pytest.mark.parametrize("channels", [2, 4])
def test_an_imagenet_encoder_takes_its_colours_in_turn_as_smp_does(tmp_path, channels):
    torch.manual_seed(1)
    encoder = build("unet2d_resnet18", 4, in_channels=3).encoder
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    target = build("unet2d_resnet18", 4, in_channels=channels)

    load_weights(target, tmp_path / "model.safetensors")

    patch_first_conv(encoder, channels)
    assert target.encoder.conv1.weight.shape[1] == channels
    assert torch.equal(target.encoder.conv1.weight, encoder.conv1.weight)


def test_the_encoder_of_another_depth_is_refused(tmp_path):
    save_file(
        model_of(1, "unet2d_resnet18", width=None).encoder.state_dict(),
        tmp_path / "model.safetensors",
    )

    with pytest.raises(ValueError, match="tensors fit this model and 95% must"):
        load_weights(build("unet2d_resnet50", 4), tmp_path / "model.safetensors")


def test_a_whole_2d_checkpoint_fits_with_its_decoder(tmp_path):
    source, target = (
        model_of(1, "unet2d_resnet18", width=None),
        model_of(2, "unet2d_resnet18", width=None),
    )
    torch.save(source.state_dict(), tmp_path / "weights.pt")

    load_weights(target, tmp_path / "weights.pt")

    assert same(source, target)


def test_without_a_network_the_file_to_provide_is_named_within_seconds(tmp_path):
    script = (
        "from bench.execution.start_weights import prefetch_imagenet as fetch; "
        "fetch('unet2d_resnet50')"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}

    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )

    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: unet2d_resnet50 starts from ImageNet weights")
    for part in (
        "model.safetensors",
        "smp-hub/resnet50.imagenet",
        "--weights unet2d_resnet50=PATH",
        "weights='random'",
    ):
        assert part in last


def test_every_imagenet_model_has_the_source_that_smp_names():
    assert set(SOURCES) == {name for name, part in MODELS.items() if part.weights == "imagenet"}
    for name, source in SOURCES.items():
        settings = encoders[name.removeprefix("unet2d_")]["pretrained_settings"]["imagenet"]
        assert source == (settings["repo_id"], settings["revision"])


def test_frozen_stages_stay_bit_identical_under_weight_decay_while_the_rest_moves():
    model = model_of(1)
    stages = stages_of("segresnet", model)
    frozen = freeze(stages, 2)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    take_steps(model, frozen, torch.randn(2, 1, 8, 8, 8))

    moved = {
        key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])
    }
    still = {key for key in before if key.startswith(("convInit.", "down_layers.0."))}
    assert len(stages) == 5
    assert moved == set(before) - still


def test_the_running_statistics_of_frozen_batch_norms_do_not_move():
    model = model_of(1, "vnet")
    frozen = freeze([model.enter, *model.down], 2)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    take_steps(model, frozen, torch.randn(2, 1, 16, 16, 16))

    moved = {
        key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])
    }
    assert not {key for key in moved if key.startswith(("enter.", "down.0."))}
    assert "down.1.enter.1.running_mean" in moved
    assert "up.0.enter.1.running_var" in moved


def take_steps(model: nn.Module, frozen: list[nn.Module], images: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(2):
        set_train(model, frozen)
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


def test_freezing_nothing_trains_everything():
    model = model_of(1)

    assert freeze(stages_of("segresnet", model), 0) == []
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("count", [-1, 6])
def test_freezing_more_stages_than_there_are_is_refused(count):
    with pytest.raises(
        ValueError, match=f"frozen_stages must be one of 0, 1, 2, 3, 4, 5; got {count}"
    ):
        freeze(stages_of("segresnet", model_of(1)), count)


@pytest.mark.parametrize("name", [name for name, part in MODELS.items() if not part.stages])
def test_a_model_without_stages_cannot_be_frozen(name):
    with pytest.raises(
        ValueError, match=f"{name} has no stages to freeze; models that have: segresnet"
    ):
        stages_of(name, nn.Identity())


def test_weights_that_are_no_longer_those_of_their_digest_are_refused(tmp_path):
    from trials.models.weights import check_digest
    from trials.training.checkpoint import save_weights

    known = save_weights(tmp_path / "best.pt", {"weight": torch.zeros(3)})
    check_digest(tmp_path / "best.pt", known)
    save_weights(tmp_path / "best.pt", {"weight": torch.ones(3)})

    with pytest.raises(
        ValueError, match=r"best\.pt: damaged, or changed since the run started; restore the file"
    ):
        check_digest(tmp_path / "best.pt", known)
