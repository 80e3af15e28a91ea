"""What holds on a GPU alone: precision, shares of memory, halving, resident data, compiling,
workers used again.
"""

import gc
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from small_jobs import CELL, NESTED, RECIPE, SMALL, interrupt, make_job
from torch import nn
from torch._dynamo.utils import counters

from trials.data.batches.loading import slice_items, volume_items
from trials.data.batches.resident import resident
from trials.data.prepared.cache import open_cache
from trials.inference.network import cube_logits
from trials.models.registry import MODELS, ModelEntry
from trials.records.codec import from_json, to_json
from trials.records.job import result_path
from trials.records.result import COMPLETE, TrialResult
from trials.records.targets import Targets
from trials.training.attempt import attempt
from trials.training.build import make_network, make_segmentation
from trials.training.loop import add_gradients
from trials.training.memory import limit_share
from trials.training.run import run_trial
from trials.training.tasks import counts_of
from trials.training.warm_up import first_batch, warm_up

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda")
FLOAT32 = replace(RECIPE, precision="float32", compile="never", log_frequency_bias=False)
SHARE = 0.1
# What a worker does with a job.
WORKER = """
import sys
from trials.training.attempt import attempt
from trials.records.job import Job
from trials.records.codec import from_json

attempt(from_json(Job, sys.stdin.read()))
"""


@pytest.fixture(autouse=True)
def whole_gpu():
    """No test leaves another one less than the GPU's whole memory."""
    yield
    limit_share(1.0)


def num_bytes(share: float) -> int:
    return int(share * torch.cuda.get_device_properties(GPU).total_memory)


class Hungry(nn.Conv3d):
    """One convolution that takes 0.6 of the trial's share of memory for each volume while it
    computes.
    """

    def forward(self, images):
        taken = torch.empty(
            len(images) * num_bytes(0.6 * SHARE), dtype=torch.uint8, device=images.device
        )
        logits = super().forward(images)
        del taken
        return logits


def test_a_healthy_network_trains_in_bfloat16_and_the_check_holds(small_cache, tmp_path):
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU does not compute bfloat16")

    result = attempt(make_job(small_cache, tmp_path))

    assert result.state == COMPLETE, result.error
    assert (result.facts["device_type"], result.facts["precision"]) == ("cuda", "bfloat16")
    assert result.facts["arithmetic_right"], result.facts["arithmetic"]


def test_memory_beyond_a_share_is_refused_and_the_next_trial_of_the_process_has_its_own_share():
    torch.cuda.empty_cache()
    limit_share(SHARE)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(num_bytes(1.5 * SHARE), dtype=torch.uint8, device=GPU)

    limit_share(3 * SHARE)

    assert torch.empty(num_bytes(1.5 * SHARE), dtype=torch.uint8, device=GPU).numel() == num_bytes(
        1.5 * SHARE
    )


def test_a_batch_beyond_a_trials_share_goes_through_in_two_halves_and_its_memory_is_given_back(
    small_cache, tmp_path, monkeypatch
):
    monkeypatch.setitem(
        MODELS, "hungry", ModelEntry(lambda channels, classes, width: Hungry(channels, classes, 1))
    )
    recipe = replace(RECIPE, batch_size=2, epochs=1, gpu_share=SHARE)

    result = attempt(make_job(small_cache, tmp_path, replace(CELL, model="hungry"), recipe))

    assert result.state == COMPLETE, result.error
    assert (result.facts["batch"], result.facts["accumulation"]) == (2, 2)
    gc.collect()
    assert torch.cuda.memory_allocated(GPU) < 2**24


@pytest.mark.parametrize("kind", ["volumes", "axial", "coronal"])
def test_batches_of_a_set_that_lies_on_the_gpu_are_those_of_its_files(small_cache, kind):
    cache = open_cache(small_cache)
    cases = sorted(cache.cases)[:3]
    items = volume_items(cache, cases) if kind == "volumes" else slice_items(cache, cases, kind)
    chosen = np.random.default_rng(0).permutation(len(items.index))[:5]

    ours, theirs = resident(items, GPU).batch(chosen), items.batch(chosen)

    for one, other in zip(ours, theirs, strict=True):
        assert one.device.type == "cuda"
        assert torch.equal(one.cpu(), other)


@pytest.mark.slow
def test_one_training_graph_and_one_of_evaluation_serve_a_batch_its_halves_and_the_last_cases(
    small_cache, tmp_path
):
    recipe = replace(FLOAT32, compile="always", batch_size=4, train_cases_scored=3)
    job, cache = make_job(small_cache, tmp_path, recipe=recipe), open_cache(small_cache)
    network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    names = list(network.module.state_dict())
    torch._dynamo.reset()
    counters.clear()

    network, facts = warm_up(network, task, job.spec)
    images, labels = first_batch(network, task, job.spec)
    network.train()
    for parts in (1, 2):
        add_gradients(replace(network, parts=parts), task, images, labels)
    task.validate(network)

    assert facts == {"compiled": True}
    assert counters["stats"]["unique_graphs"] == 2
    assert list(network.module.state_dict()) == names


@pytest.mark.slow
def test_trials_of_two_models_in_one_process_end_as_in_a_process_each(small_cache, tmp_path):
    models, kernels, reused = ("vnet", "unet3d"), {}, {}

    for model in models:
        reused[model] = attempt(job_of(small_cache, tmp_path / "reused", model))
        kernels[model] = (torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit)

    for model in models:
        job = job_of(small_cache, tmp_path / "fresh", model)
        subprocess.run(
            [sys.executable, "-c", WORKER], input=to_json(job), text=True, cwd=ROOT, check=True
        )
        fresh = from_json(TrialResult, result_path(job.out, job.trial).read_text())
        assert reused[model].state == fresh.state == COMPLETE
        assert losses(reused[model]) == pytest.approx(losses(fresh), rel=0.02)
        search = MODELS[model].kernel_search
        assert kernels[model] == (search > 1, search)


def test_a_resumed_trial_has_the_same_schedule_and_losses_that_differ_by_rounding(
    small_cache, tmp_path
):
    straight = attempt(make_job(small_cache, tmp_path / "straight", recipe=FLOAT32))
    broken = make_job(small_cache, tmp_path / "broken", recipe=FLOAT32)
    with pytest.raises(KeyboardInterrupt):
        run_trial(broken, lambda score, reached: interrupt())

    resumed = attempt(broken)

    assert [epoch.lr for epoch in resumed.curve] == [epoch.lr for epoch in straight.curve]
    assert losses(resumed) == pytest.approx(losses(straight), rel=0.02)


def test_voxels_counted_on_the_gpu_are_those_counted_on_the_cpu(small_cache, tmp_path):
    job, cache = make_job(small_cache, tmp_path, recipe=FLOAT32), open_cache(small_cache)
    network = make_network(job, cache)

    for case, logits in zip(
        job.val, cube_logits(network, [cache.image(case) for case in job.val], 2), strict=True
    ):
        labels = torch.from_numpy(np.array(cache.labels(case)))
        assert logits.device.type == "cuda"
        for targets in (Targets(4), Targets(4, NESTED)):
            assert torch.equal(
                counts_of(logits[: targets.channels], labels.to(GPU), targets).cpu(),
                counts_of(logits[: targets.channels].cpu(), labels, targets),
            )


def job_of(cache, out, model):
    return make_job(
        cache, out, replace(CELL, model=model), replace(FLOAT32, epochs=2, **SMALL[model])
    )


def losses(result: TrialResult) -> list[float]:
    return [epoch.train_loss for epoch in result.curve]
