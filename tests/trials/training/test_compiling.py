"""When a network is compiled, how often, and what a trial does where it cannot be."""

import os
from dataclasses import replace

import pytest
import torch
from small_jobs import CELL, RECIPE, make_job
from torch import nn
from torch._dynamo.utils import counters
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from trials.data.prepared.cache import open_cache
from trials.inference.network import Network, cube_logits
from trials.models.build import build, item_multiply_adds
from trials.models.registry import MODELS, ModelEntry
from trials.records.result import COMPLETE
from trials.records.spec import Cube, Recipe
from trials.training.attempt import attempt
from trials.training.build import make_network, make_segmentation
from trials.training.warm_up import is_worth_compiling, share_compile_cache, should_compile, warm_up

ALWAYS = replace(RECIPE, epochs=1, batch_size=4, compile="always", width=2)
FULL_3D = Recipe(epochs=100, batch_size=4)


def two_layers(in_channels: int, num_classes: int, width: int) -> nn.Module:
    """What compiles in seconds."""
    return nn.Sequential(
        nn.Conv3d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv3d(width, num_classes, 1)
    )


@pytest.fixture
def cell(monkeypatch, tmp_path):
    """A cell of a network that compiles in seconds, on a node that compiled nothing before."""
    monkeypatch.setitem(
        MODELS, "two_layers", ModelEntry(two_layers, multiple=1, smallest=1, smallest_alone=1)
    )
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("trials.training.warm_up._COMPILED", set())
    counters.clear()
    return replace(CELL, model="two_layers")


def on(device: str, dims: int = 3) -> Network:
    """A network of the registry as it would lie on a device; nothing is computed."""
    module = build("unet3d", 4, width=4)
    return Network(
        module=module, dims=dims, slice_axis="axial", device=torch.device(device), autocast=None
    )


def test_auto_never_compiles_on_a_cpu_and_compiles_what_earns_it_back_on_a_gpu():
    few, many = 8 * 16 * 2, 100 * 84 * 4 * 10_000

    assert not should_compile(FULL_3D, on("cpu"), many)
    assert should_compile(FULL_3D, on("cuda"), many)
    assert not should_compile(FULL_3D, on("cuda"), few)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_always_and_never_are_what_they_say(device):
    assert should_compile(replace(FULL_3D, compile="always"), on(device), 1)
    assert not should_compile(replace(FULL_3D, compile="never"), on(device), 10**12)


def test_the_steps_of_the_full_grid_earn_compiling_back_and_those_of_a_short_trial_do_not():
    volumes, small = (
        Recipe(epochs=1, batch_size=4),
        Recipe(epochs=1, batch_size=2, preparation=Cube(edge=32)),
    )
    full = item_multiply_adds(build("unet3d", 4), 3, volumes) * 100 * 84 * 4
    demo = item_multiply_adds(build("unet3d", 4, width=4), 3, small) * 8 * 16 * 2

    assert is_worth_compiling(full)
    assert not is_worth_compiling(demo)


def test_one_graph_trains_whole_and_halved_batches_and_one_predicts_any_number_of_cases(
    small_cache, tmp_path, cell
):
    cache, recipe = open_cache(small_cache), replace(ALWAYS, precision="bf16")
    for steps in (1, 2):
        job = make_job(small_cache, tmp_path, cell=cell, recipe=recipe, accumulation_steps=steps)
        task, made = make_segmentation(job, cache)[0], make_network(job, cache)
        names = made.module.state_dict().keys()
        network, facts = warm_up(made, task, job.spec)
        images = torch.zeros(4 // steps, 1, 32, 32, 32)
        labels = torch.zeros(4 // steps, 32, 32, 32, dtype=torch.uint8)
        network.train()
        task.loss(network, images, labels).backward()
        list(cube_logits(network, [cache.image(case) for case in job.train[:5]], 2))

        assert facts["compiled"]
        assert network.is_compiled
        assert network.module.state_dict().keys() == names

    assert counters["stats"]["unique_graphs"] == 2
    # What was compiled lies in one folder of the node, and a whole trial uses it.
    result = attempt(make_job(small_cache, tmp_path / "out", cell=cell, recipe=recipe))
    assert result.state == COMPLETE, result.error
    assert result.facts["compiled"] is True
    (folder,) = (tmp_path / "scratch").glob("segbench-*/compiled/inductor")
    assert any(folder.rglob("*.so"))


def test_where_compiling_fails_a_trial_goes_on_eagerly_and_says_so(
    small_cache, tmp_path, cell, monkeypatch
):
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (str(tmp_path / "no-compiler"),))
    told = []

    result = attempt(
        make_job(small_cache, tmp_path / "out", cell=cell, recipe=ALWAYS), on_note=told.append
    )

    assert result.state == COMPLETE, result.error
    assert result.facts["compiled"] is False
    assert "continued in eager mode" in result.facts["compile_note"]
    assert told == [result.facts["compile_note"]]


@pytest.mark.parametrize(
    ("named", "kept"), [(None, "segbench-"), (default_cache_dir(), "segbench-"), ("/own", "/own")]
)
def test_what_is_compiled_lies_in_scratch_unless_a_user_names_a_folder(
    monkeypatch, tmp_path, named, kept
):
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path))
    monkeypatch.setenv("TRITON_CACHE_DIR", "")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", named or "")
    if named is None:
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")

    share_compile_cache()

    assert os.environ["TORCHINDUCTOR_CACHE_DIR"].removeprefix(f"{tmp_path}/").startswith(kept)
