"""Whole cases scored by a network, by one thread or several; with mirroring."""

from dataclasses import replace

import pytest
import torch
from small_jobs import RECIPE, make_job

from trials.data.prepared.cache import open_cache
from trials.inference.evaluate import Evaluation, evaluate
from trials.inference.network import Network, mirrored
from trials.training.build import make_network


def test_several_threads_give_the_scores_of_one_in_the_same_order(small_cache, tmp_path):
    recipe = replace(RECIPE, log_frequency_bias=False)
    job, cache = make_job(small_cache, tmp_path, recipe=recipe), open_cache(small_cache)
    network = make_network(job, cache)
    splits = {"val": job.val[:1], "test": job.test}

    one, three = (
        list(evaluate(network, Evaluation(cache=cache, batch_size=2, threads=threads), splits))
        for threads in (1, 3)
    )

    assert [case.scores[0].case for case in three] == [*splits["val"], *splits["test"]]
    assert one == three


@pytest.mark.parametrize(("dims", "conv"), [(3, torch.nn.Conv3d), (2, torch.nn.Conv2d)])
def test_mirroring_is_the_mean_over_every_mirror_image_turned_back(dims, conv):
    module = conv(1, 2, 3, padding=1)
    network = Network(
        module=module, dims=dims, slice_axis="axial", device=torch.device("cpu"), autocast=None
    )
    image = torch.randn(1, 1, *[5, 4, 6][:dims], generator=torch.Generator().manual_seed(0))

    found = mirrored(network).forward(image)

    ways = torch.cartesian_prod(*[torch.arange(2)] * dims).bool().tolist()
    axes = [[2 + axis for axis, flipped in enumerate(way) if flipped] for way in ways]
    each = [module(image.flip(flipped)).flip(flipped) for flipped in axes]
    assert len(each) == 2**dims
    assert torch.allclose(found, torch.stack(each).mean(0), atol=1e-6)
    assert torch.allclose(found, mirrored(network).forward(image.flip(2)).flip(2), atol=1e-6)
