"""Memory that runs out: once more in two halves, remembered; a second time a failure that says what
was wanted.
"""

from dataclasses import replace

import pytest
import torch
from small_jobs import CELL, RECIPE, make_job
from torch import nn

from trials.inference.network import Network
from trials.models.build import build, num_parameters
from trials.models.registry import MODELS, ModelEntry
from trials.records.result import COMPLETE, FAILED
from trials.records.spec import Cube, Recipe
from trials.training.attempt import attempt
from trials.training.attempt_log import halve_batches, start_attempt
from trials.training.loop import add_gradients
from trials.training.memory import (
    backward_bytes,
    can_halve,
    is_out_of_memory,
    memory_fraction,
    step_gib,
)
from trials.voxel_losses import Focal

SMALL = replace(RECIPE, batch_size=2, epochs=2, augment=False, train_cases_scored=1)


class Hungry(nn.Conv3d):
    """One convolution that has memory for `room` volumes at a time, and keeps the largest batch it
    was given.
    """

    room = 1
    largest = 0

    def forward(self, images):
        Hungry.largest = max(Hungry.largest, len(images))
        if len(images) > Hungry.room:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total of 4 GiB"
            )
        return super().forward(images)


@pytest.fixture
def hungry(monkeypatch):
    monkeypatch.setitem(
        MODELS, "hungry", ModelEntry(lambda channels, classes, width: Hungry(channels, classes, 1))
    )
    monkeypatch.setattr(Hungry, "room", 1)
    monkeypatch.setattr(Hungry, "largest", 0)
    return replace(CELL, model="hungry")


@pytest.mark.parametrize("items", [2, 3, 4])
def test_two_halves_give_the_gradient_of_the_whole_batch(items):
    class Task:
        def loss(self, network, images, labels):
            return Focal(2.0)(network.module(images), labels)

    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Conv3d(4, 3, 1)).double()
    images, labels = torch.randn(items, 1, 6, 6, 6).double(), torch.randint(0, 3, (items, 4, 4, 4))
    whole = Network(
        module=module, dims=3, slice_axis="axial", device=torch.device("cpu"), autocast=None
    )

    losses, gradients = [], []
    for network in (whole, replace(whole, accumulation_steps=2)):
        module.zero_grad()
        losses.append(float(add_gradients(network, Task(), images, labels)))
        gradients.append([parameter.grad.clone() for parameter in module.parameters()])

    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9)


def test_a_batch_that_does_not_fit_goes_through_in_two_halves_and_the_result_says_so(
    hungry, small_cache, tmp_path
):
    result = attempt(make_job(small_cache, tmp_path, hungry, SMALL))

    assert result.state == COMPLETE, result.error
    assert (result.facts["batch"], result.facts["accumulation"]) == (2, 2)
    assert result.peak_gib > 0
    assert not list(tmp_path.rglob("attempts.json"))


def test_a_restart_remembers_the_halves_and_ends_with_the_same_scores(
    hungry, small_cache, tmp_path, on_cpu
):
    straight = attempt(make_job(small_cache, tmp_path / "straight", hungry, SMALL))
    job = make_job(small_cache, tmp_path / "killed", hungry, SMALL)
    with pytest.raises(KeyboardInterrupt):
        attempt(job, kill_after_first_epoch)
    Hungry.largest = 0

    again = attempt(job)

    assert Hungry.largest == 1
    assert again.facts["attempts"] == 2
    assert again.scores == straight.scores
    assert [score.train_loss for score in again.curve] == [
        score.train_loss for score in straight.curve
    ]


def kill_after_first_epoch(score, reached):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[]", b"\xff", b'{"number": 2, "parts": "two"}', b'{"number": 2']
)
def test_a_damaged_note_of_earlier_attempts_counts_as_not_there(small_cache, tmp_path, damage):
    job = make_job(small_cache, tmp_path)
    start_attempt(job)
    halve_batches(job)
    assert start_attempt(job) == (replace(job, accumulation_steps=2), 2)
    (note,) = tmp_path.rglob("attempts.json")
    note.write_bytes(damage)

    assert start_attempt(job) == (job, 1)
    assert start_attempt(job) == (job, 2)


def test_f60_a_second_time_is_a_failure_with_batch_size_and_peak_and_another_trial_goes_on(
    hungry, small_cache, tmp_path
):
    Hungry.room = 0

    result = attempt(make_job(small_cache, tmp_path, hungry, SMALL))

    assert (result.state, result.reason) == (FAILED, "oom")
    assert "out of memory at batch 2 in 2 parts, cube 32^3, peak " in result.error
    assert result.error.endswith("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert result.facts == {"batch": 2, "accumulation": 2}

    Hungry.room = 2
    other = attempt(make_job(small_cache, tmp_path, hungry, replace(SMALL, epochs=1)))
    assert (other.state, other.facts["accumulation"]) == (COMPLETE, 1)


def test_only_a_batch_whose_halves_are_legal_is_halved(small_cache, tmp_path):
    edge16 = replace(SMALL, preparation=Cube(edge=16))
    vnet = replace(CELL, model="vnet")

    assert can_halve(make_job(small_cache, tmp_path, vnet, SMALL))
    assert not can_halve(make_job(small_cache, tmp_path, vnet, replace(SMALL, batch_size=1)))
    assert not can_halve(make_job(small_cache, tmp_path, vnet, edge16))
    assert not can_halve(make_job(small_cache, tmp_path, vnet, SMALL, accumulation_steps=2))


@pytest.mark.parametrize(
    ("gpu_share", "fraction"), [(0.5, 0.5), (0.25, 0.25), (1.0, 1.0), (2.0, 1.0), (0.0, 1.0)]
)
def test_a_share_of_a_gpu_is_the_same_share_of_its_memory_and_more_is_all_of_it(
    gpu_share, fraction
):
    assert memory_fraction(gpu_share) == fraction


def test_what_a_processor_raises_without_memory_counts_as_out_of_memory():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(10**15)

    assert is_out_of_memory(refused.value)
    assert not is_out_of_memory(RuntimeError("the loss is broken"))


def test_what_a_backward_pass_needs_is_counted_by_hand():
    with torch.device("meta"):
        # A convolution keeps its input, a ReLU its output; each storage counts once.
        module = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 1))
        images = torch.empty(2, 1, 8, 8, 8)

    assert backward_bytes(module, images) == (4 * 2 * 8**3 * (1 + 4), 4 * 2 * 8**3 * 2)


def test_the_estimate_of_a_step_is_near_what_it_took_of_a_gpu():
    # SegResNet at batch 4 of 128^3 took 10.1 GiB of an H200, and 5.0 compiled.
    recipe = Recipe(epochs=1, batch_size=4)
    eager, compiled = (step_gib("segresnet", recipe, 1, 4, one) for one in (False, True))

    assert eager == pytest.approx(10.1, abs=0.6)
    assert compiled == pytest.approx(5.0, abs=0.6)
    sgd = step_gib("segresnet", replace(recipe, optimizer="sgd"), 1, 4, False)
    assert (eager - sgd) * 2**28 == pytest.approx(num_parameters(build("segresnet", 4)))
