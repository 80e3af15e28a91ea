"""Low precision is compared with float32 before it is trusted: what is caught, what passes, and
that no trace is left.
"""

from dataclasses import replace

import pytest
import torch
from small_jobs import CELL, RECIPE, comparable, make_job
from torch import nn

from benchmarks.bfloat16 import RoundedConvolutions
from trials.data.prepared.cache import open_cache
from trials.inference.network import Network, pick_precision
from trials.models.registry import MODELS, ModelEntry
from trials.records.result import COMPLETE, FAILED
from trials.records.spec import Cell
from trials.training.attempt import attempt
from trials.training.build import make_network, make_segmentation
from trials.training.precision import LIMIT, LOGITS, compare, gradient_errors
from trials.training.warm_up import first_batch, warm_up
from trials.voxel_losses import Combined

CPU = torch.device("cpu")
ONE_STEP = replace(
    RECIPE, epochs=1, steps_per_epoch=1, precision="bf16", width=2, model_options=(("kernel", 3.0),)
)
SMALL = {
    "unet3d": {"width": 4},
    "vnet": {"width": 4, "model_options": (("kernel", 3.0),)},
    "segresnet": {"width": 8},
    "dynunet": {"width": 4},
    "resenc_m": {"width": 4},
    "segresnet_ds": {"width": 4},
    "mednext_s": {"width": 4},
    "unet2d_resnet18": {
        "width": None,
        "batch_size": 24,
        "weights": "random",
        "model_options": (("depth", 4.0),),
    },
    "unet2d_resnet50": {
        "width": None,
        "batch_size": 24,
        "weights": "random",
        "model_options": (("depth", 4.0),),
    },
}


class Scaled(torch.autograd.Function):
    """The identity, with a gradient that is `factor` times too large in low precision alone."""

    @staticmethod
    def forward(ctx, features, factor):
        ctx.factor = factor if features.dtype == torch.bfloat16 else 1.0
        return features.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


class Planted(nn.Module):
    """Two convolutions with a Scaled between them."""

    def __init__(self, num_classes: int, factor: float):
        super().__init__()
        self.enter, self.leave, self.factor = (
            nn.Conv3d(1, 4, 3, padding=1),
            nn.Conv3d(4, num_classes, 1),
            factor,
        )

    def forward(self, images):
        return self.leave(Scaled.apply(self.enter(images), self.factor))


def planted(in_channels: int, num_classes: int, width: int, factor: float = 10.0) -> nn.Module:
    return Planted(num_classes, factor)


@pytest.fixture
def right_kernels():
    """Convolutions whose bfloat16 is right on every processor."""
    with RoundedConvolutions():
        yield


def network_of(module: nn.Module) -> Network:
    return Network(module=module, dims=3, slice_axis="axial", device=CPU, autocast=torch.bfloat16)


def batch(edge: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two smooth images and labels that follow them."""
    images = nn.functional.avg_pool3d(
        torch.randn(2, 1, edge, edge, edge, generator=torch.Generator().manual_seed(0)), 3, 1, 1
    )
    images /= images.std()
    return images, sum((images[:, 0] > level).to(torch.uint8) for level in (0.5, 1.5, 2.2))


def loss_of(network: Network, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return Combined()(network.forward(images), labels)


def test_an_error_is_the_differences_norm_over_the_tensors_own_or_a_thousandth_of_the_wholes():
    exact = {"large": torch.tensor([3.0, 4.0]), "small": torch.tensor([0.0])}
    low = {"large": torch.tensor([3.0, 4.5]), "small": torch.tensor([0.001])}

    errors = gradient_errors(low, exact)

    assert errors["large"] == pytest.approx(0.1)
    assert errors["small"] == pytest.approx(0.2)


def test_the_error_of_a_tensor_that_is_not_finite_is_infinite():
    assert gradient_errors({"a": torch.tensor([float("nan")])}, {"a": torch.ones(1)}) == {
        "a": float("inf")
    }


def test_auto_is_float32_on_every_processor_and_bfloat16_is_taken_by_name_alone():
    assert pick_precision("auto", CPU) is None
    assert pick_precision("float32", CPU) is None
    assert pick_precision("bf16", CPU) == torch.bfloat16


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_registry_passes_on_a_batch_of_patients_with_kernels_that_are_right(
    name, small_cache, tmp_path, right_kernels
):
    cell = Cell(model=name, loss="combined", sampling="none")
    job = make_job(
        small_cache, tmp_path, cell=cell, recipe=replace(RECIPE, precision="bf16", **SMALL[name])
    )
    cache = open_cache(small_cache)
    network, task = make_network(job, cache), make_segmentation(job, cache)[0]
    found = compare(network, task.loss, *first_batch(network, task, job.spec))

    assert found.is_right, found.text()
    assert 0 < found.error < LIMIT


@pytest.mark.parametrize("factor", [10.0, -1.0, float("inf"), float("nan")])
def test_an_operation_with_a_wrong_gradient_in_low_precision_is_caught_by_name(
    factor, right_kernels
):
    found = compare(network_of(Planted(4, factor)), loss_of, *batch(8))

    assert not found.is_right
    assert found.tensor.startswith("enter.")
    assert found.error > LIMIT


def test_logits_that_are_wrong_in_evaluation_alone_are_caught(right_kernels):
    class Shifted(Planted):
        def forward(self, images):
            logits = super().forward(images)
            return logits if self.training or logits.dtype == torch.float32 else logits + 10

    found = compare(network_of(Shifted(4, 1.0)), loss_of, *batch(8))

    assert not found.is_right
    assert found.tensor == LOGITS


def test_two_calls_that_differ_are_caught_on_a_cpu_though_each_is_near_float32(right_kernels):
    class Drifting(Planted):
        calls = 0

        def forward(self, images):
            Drifting.calls += 1
            return super().forward(images) * (1 + 0.01 * Drifting.calls)

    found = compare(network_of(Drifting(4, 1.0)), loss_of, *batch(8))

    assert found.error < LIMIT
    assert not found.repeats
    assert not found.is_right


def test_the_fault_of_small_grids_is_caught_where_this_processor_has_it():
    torch.manual_seed(0)
    convolution, images = nn.Conv3d(32, 64, 3, padding=1), torch.randn(2, 32, 2, 2, 2)
    if has_sound_gradients(convolution, images):
        pytest.skip("this processor's bfloat16 gradient of a 3x3x3 convolution on 2x2x2 is right")
    module = nn.Sequential(nn.Conv3d(1, 32, 1), convolution, nn.Conv3d(64, 4, 1))

    assert not compare(network_of(module), loss_of, *batch(2)).is_right


def has_sound_gradients(convolution: nn.Conv3d, images: torch.Tensor) -> bool:
    """Whether twelve equal backward passes in bfloat16 give equal, finite bits."""
    found = []
    for _ in range(12):
        convolution.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            out = convolution(images)
        out.float().square().sum().backward()
        found.append(convolution.weight.grad)
    return all(torch.equal(gradient, found[0]) for gradient in found)


def test_the_check_leaves_weights_statistics_draws_and_gradients_as_they_were(
    small_cache, tmp_path, right_kernels
):
    job = make_job(
        small_cache,
        tmp_path,
        cell=Cell(model="vnet", loss="combined", sampling="none"),
        recipe=ONE_STEP,
    )
    cache = open_cache(small_cache)
    network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    draws = torch.get_rng_state()

    warmed, facts = warm_up(network, task, job.spec)

    assert warmed.autocast == torch.bfloat16
    assert facts["arithmetic_right"]
    assert all(
        torch.equal(before[name], tensor) for name, tensor in network.module.state_dict().items()
    )
    assert torch.equal(draws, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in network.module.parameters())


def test_a_trial_with_dropout_and_batch_norm_is_the_same_bit_for_bit_with_the_check_and_without(
    small_cache, tmp_path, on_cpu, right_kernels, monkeypatch
):
    monkeypatch.setattr("trials.training.precision._CHECKED", {})
    cell = Cell(model="vnet", loss="combined", sampling="none")
    with_check, without = (
        attempt(make_job(small_cache, tmp_path / name, cell=cell, recipe=ONE_STEP))
        for name in ("first", "second")
    )

    assert with_check.state == without.state == COMPLETE, with_check.error
    assert with_check.facts["precision"] == "bfloat16"
    assert comparable(with_check) == comparable(without)
    assert with_check.facts["weights_sha256"] == without.facts["weights_sha256"]


@pytest.fixture
def planted_model(monkeypatch):
    monkeypatch.setitem(
        MODELS, "planted", ModelEntry(planted, multiple=1, smallest=1, smallest_alone=1)
    )
    monkeypatch.setattr("trials.training.precision._CHECKED", {})
    return replace(CELL, model="planted")


def test_a_trial_that_names_a_low_precision_which_is_wrong_fails_with_reason_precision(
    small_cache, tmp_path, planted_model
):
    result = attempt(
        make_job(
            small_cache, tmp_path, cell=planted_model, recipe=replace(ONE_STEP, model_options=())
        )
    )

    assert (result.state, result.reason) == (FAILED, "precision"), result.error
    assert "recipe.precision 'bf16' gives wrong results" in result.error
    assert "planted" in result.error
    assert "enter." in result.error
    assert not result.curve


def test_under_auto_a_network_whose_low_precision_is_wrong_trains_in_float32_and_says_so(
    small_cache, tmp_path, planted_model
):
    job = make_job(
        small_cache,
        tmp_path,
        cell=planted_model,
        recipe=replace(ONE_STEP, precision="auto", model_options=()),
    )
    cache = open_cache(small_cache)
    # What "auto" picks on a GPU that computes bfloat16.
    network = replace(make_network(job, cache), autocast=torch.bfloat16)

    warmed, facts = warm_up(network, make_segmentation(job, cache)[0], job.spec)

    assert warmed.autocast is None
    assert facts["arithmetic_right"] is False
    assert "planted trained in float32" in facts["precision_note"]
    assert "enter." in facts["precision_note"]


def test_a_network_with_batch_norm_has_no_error_against_itself():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv3d(1, 4, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 4, 1))
    network = replace(network_of(module), autocast=None)

    assert compare(network, loss_of, 5 + batch(4)[0], batch(4)[1]).error == 0
