"""How trials share cores and GPUs; the arithmetic alone, since no GPU is needed to check it."""

from dataclasses import replace

import pytest

from bench.grids import DEMO, FULL
from bench.tuning.driver import (
    Cluster,
    all_joined,
    check_room,
    full_size,
    most_gpus,
    num_machines,
    resources,
    smallest_share,
)


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "slots"),
    [
        (2, 0, 1.0, 2),  # a laptop: a trial a core
        (16, 1, 1.0, 1),  # one GPU, a trial each
        (16, 2, 0.5, 4),  # two GPUs, two trials on each
        (16, 2, 0.6, 2),  # a trial lies on one GPU
        (16, 2, 0.0, 16),  # GPUs are there and no trial asks for one
        (3, 4, 0.5, 3),  # never more trials than cores
        (1, 0.25, 1.0, 1),  # at least one, which then waits for its place
    ],
)
def test_slots_are_cores_or_shares_of_cards(cpus, gpus, share, slots):
    assert Cluster(cpus=cpus, gpus=gpus).slots(share) == slots


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "cores"),
    [(2, 0, 1.0, 1), (16, 1, 1.0, 16), (16, 1, 0.125, 2), (1, 1, 0.5, 1)],
)
def test_a_trial_has_its_share_of_the_cores(cpus, gpus, share, cores):
    assert Cluster(cpus=cpus, gpus=gpus).cores_per_trial(share) == cores


def test_a_trial_asks_for_its_recipes_share_of_a_card_and_for_none_where_there_is_none():
    config = {"gpu_share": FULL.recipes["2d"].gpu_share}

    assert resources(config, on_cpu=False).bundles == [{"CPU": 1.0, "GPU": 0.5}]
    assert resources(config, on_cpu=True).bundles == [{"CPU": 1.0}]


def test_the_smallest_share_decides_how_many_trials_may_be_pending():
    assert smallest_share(FULL) == 0.5
    assert smallest_share(DEMO) == 0.125


def test_a_cluster_counts_with_the_workers_that_it_may_still_start():
    worker = {"max_workers": 4, "resources": {"CPU": 4, "GPU": 1}}
    config = {
        "max_workers": 6,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 0}},
            "small": worker,
            "large": {**worker, "max_workers": 9},
        },
    }

    assert full_size(config) == Cluster(cpus=24, gpus=6.0)
    assert full_size({**config, "max_workers": 3}) == Cluster(cpus=12, gpus=3.0)


def test_machines_count_before_they_have_joined(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    own = {"provider": {"type": "local", "worker_ips": ["a", "b"]}}
    whole = Cluster(cpus=24, gpus=3.0, is_shared=True)

    assert num_machines(own) == 3
    assert num_machines({"provider": {"type": "aws"}}) == num_machines({}) == 0
    assert all_joined(3, Cluster(cpus=8, gpus=1.0), num_nodes=1) == whole
    assert all_joined(3, whole, num_nodes=3) == all_joined(2, whole, num_nodes=3) == whole
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "4")
    assert num_machines({}) == num_machines(own) == 4


def test_f59_a_trial_that_no_machine_can_hold_is_refused_and_does_not_wait_for_ever():
    node = {"Resources": {"GPU": 1.0}}
    grid = replace(FULL, recipes={"3d": replace(FULL.recipes["3d"], gpu_share=4)})
    larger = {"available_node_types": {"head": {}, "worker": {"resources": {"GPU": 4}}}}

    for nodes, has in (([node, node], 1), ([{"Resources": {}}], 0)):
        told = (
            rf"recipes\['3d'\].gpu_share: asked 4 GPUs a trial, the largest machine has "
            rf"{has}; lower it, or add"
        )
        with pytest.raises(ValueError, match=told):
            check_room(grid, most_gpus(nodes, {}))
    check_room(grid, most_gpus([node, node], larger))


def test_f59_a_card_or_a_share_of_one_is_a_processor_where_there_is_no_card():
    assert {recipe.gpu_share for recipe in FULL.recipes.values()} == {1, 0.5}

    check_room(FULL, most_gpus([{"Resources": {}}], {}))
    check_room(FULL, most_gpus([{"Resources": {"GPU": 1.0}}], {}))
