"""The estimate's arithmetic by hand, and a plan that is really timed on a small grid."""

import os
from contextlib import chdir, redirect_stdout, suppress
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_trial_queue import GRID

from bench.cli import main
from bench.grid.resolve import before_data, resolve
from bench.grids import DEMO, Tuning, product
from bench.plan.budget import cut_to, recorded_purchase
from bench.plan.estimate import (
    Measurements,
    ScheduledTrial,
    cheaper_grids,
    estimate_costs,
    estimate_wall_seconds,
    models_to_time,
    trial_seconds,
    wall_seconds,
)
from bench.plan.other_gpu import known_steps, step_seconds, steps_of
from bench.plan.plan import check_memory
from bench.tuning.driver import Cluster
from trials.models.registry import MODELS
from trials.records.result import duration
from trials.records.run_record import write_run_record
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cube, Recipe

TIMED = SimpleNamespace(
    setup=1.0,
    step=2.0,
    validation=3.0,
    checkpoint=0.0,
    val_case=0.5,
    test_case=0.25,
    steps={"none": 10, "subsample": 5},
    peak_gib=2.0,
    gpu_gib=3.0,
    checkpoint_mib=30.0,
    weights_mib=10.0,
    val_case_mib=0.0,
    test_case_mib=1.0,
)
TWO = replace(
    GRID,
    cells=product(("unet3d",), ("combined",), ("none", "subsample")),
    recipes={"3d": Recipe(epochs=4, batch_size=2, gpu_share=0.5)},
    seeds=(0, 1),
    tuning=Tuning(trials=2, epochs=1),
)


RESOLVED = resolve(TWO, before_data(TWO))
MEASURED = Measurements(
    timings=dict.fromkeys(models_to_time(RESOLVED), TIMED), num_val=2, num_test=4, start=5.0
)


@pytest.mark.parametrize(
    ("pieces", "slots", "seconds"),
    [
        ([], 1, 0),
        ([ScheduledTrial(seconds=3)] * 4, 1, 12),
        ([ScheduledTrial(seconds=3)] * 4, 2, 6),
        ([ScheduledTrial(seconds=3)] * 4, 9, 3),
        # A chain waits, however many slots there are; what is free meanwhile takes the other piece.
        (
            [
                ScheduledTrial(seconds=3),
                ScheduledTrial(seconds=3, after=(0,)),
                ScheduledTrial(seconds=3),
            ],
            2,
            6,
        ),
        # Two halves of a GPU are a GPU.
        ([ScheduledTrial(seconds=3, share=0.5)] * 4, 1, 6),
        ([ScheduledTrial(seconds=3, share=1 / 3)] * 3, 1, 3),
        # What is larger than all there is still runs, alone.
        ([ScheduledTrial(seconds=3, share=2), ScheduledTrial(seconds=3)], 1, 6),
    ],
)
def test_trials_side_by_side_take_as_long_as_by_hand(pieces, slots, seconds):
    assert wall_seconds(pieces, slots) == pytest.approx(seconds)


def test_a_trial_costs_what_its_parts_cost():
    none, subsample = RESOLVED.cells

    # set up 1, four epochs of ten steps of 2 and a validation of 3, two validation and four test
    # cases.
    assert trial_seconds(none, FINAL, MEASURED) == 1 + 4 * (10 * 2 + 3) + 2 * 0.5 + 4 * 0.25
    assert trial_seconds(none, TUNE, MEASURED) == 1 + 1 * (10 * 2 + 3) + 2 * 0.5
    assert trial_seconds(subsample, TUNE, MEASURED) == 1 + 1 * (5 * 2 + 3) + 2 * 0.5


def test_a_cell_costs_its_tuning_and_its_seeds_by_their_share_of_a_card():
    cost = estimate_costs(RESOLVED, MEASURED, on_cpu=False)[0]

    assert cost.trials == 2 + 2
    assert cost.hours == pytest.approx((2 * 25 + 2 * 95) * 0.5 / 3600)
    assert cost.disk_mib == 2 * (10 + 4 * 1)
    assert estimate_costs(RESOLVED, MEASURED, on_cpu=True)[0].hours == pytest.approx(
        (2 * 25 + 2 * 95) / 3600
    )


def test_the_wall_time_follows_each_cells_order():
    # One cell's two settings one after the other, then its two seeds side by side; the other cell
    # is shorter.
    assert estimate_wall_seconds(RESOLVED, MEASURED, 8, on_cpu=True) == pytest.approx(
        5 + 25 + 25 + 95
    )


def test_less_is_a_seed_less_and_half_the_tuning():
    less = cheaper_grids(replace(RESOLVED, grid=replace(TWO, tuning=Tuning(trials=24))))

    assert less["one seed less"].grid.seeds == (0,)
    assert less["half the tuning"].grid.tuning.trials == 12
    assert cheaper_grids(replace(RESOLVED, grid=replace(TWO, seeds=(0,), tuning=None))) == {}


def test_a_budget_cuts_tuning_trials_first_then_seeds_and_never_a_cell_or_fold():
    grid = replace(TWO, tuning=Tuning(trials=4, epochs=1), seeds=(0, 1), folds=(0, 1))
    resolved = resolve(grid, before_data(TWO))
    # Both cells, both folds: a tuning trial costs 25 and 18 s, a final 95 and 65.
    trial, final, hour = 2 * (25 + 15), 2 * (95 + 55), 3600

    def bought(seconds):
        return cut_to(seconds / hour, resolved, MEASURED, on_cpu=True)

    assert [
        (one.tuning_trials, one.seeds)
        for one in map(bought, [1e6, 2 * trial + 2 * final, 1.9 * trial + 2 * final, final])
    ] == [((4, 4), (2, 2)), ((4, 2), (2, 2)), ((4, 0), (2, 2)), ((4, 0), (2, 1))]
    assert bought(final).estimated == pytest.approx(final / hour)
    assert bought(final).whole == pytest.approx((4 * trial + 2 * final) / hour)
    assert bought(final).grid(grid) == replace(grid, tuning=None, seeds=(0,))
    with pytest.raises(ValueError, match=r"setting in each of its 2 folds, 0\.0834 core-h"):
        bought(0.99 * final)
    assert bought(0.0834 * hour).seeds == (2, 1), "the hours that the refusal names are enough"


def test_the_same_flag_in_the_same_folder_is_the_same_run(tmp_path):
    bought = cut_to(1.0, RESOLVED, MEASURED, on_cpu=False)
    record = {"grid": TWO.name, "dataset": "phantoms", "cells": [], "seeds": [0, 1]}
    write_run_record(tmp_path, record | {"budget": asdict(bought)})

    assert recorded_purchase(tmp_path, TWO, 1.0) == bought
    assert recorded_purchase(tmp_path, TWO, 2.0) is None
    assert recorded_purchase(tmp_path, replace(TWO, seeds=(0,)), 1.0) is None
    assert recorded_purchase(tmp_path / "new", TWO, 1.0) is None


def test_every_model_is_timed_once_and_its_pretraining_too():
    wanted = models_to_time(resolve(DEMO, before_data(DEMO)))

    assert wanted.count((PRETRAIN, "segresnet")) == 1
    assert {model for phase, model in wanted if phase == FINAL} == {
        cell.model for cell in DEMO.cells
    }
    assert len(wanted) == 6


def test_trials_that_fit_alone_but_not_side_by_side_are_refused():
    copies = [{"peak_gib": 3.0, "memory_gib": 5.0, "device": "a laptop"}] * 2

    with pytest.raises(
        ValueError,
        match=r"2 trials of unet3d side by side need 6\.0 GiB but a laptop has 5\.0; lower its "
        r"batch",
    ):
        check_memory(RESOLVED, "unet3d", copies, Cluster(cpus=2, gpus=0.0))
    check_memory(RESOLVED, "unet3d", copies[:1], Cluster(cpus=1, gpus=0.0))


def test_a_recorded_step_counts_as_it_was_measured_and_scales_with_its_items():
    steps = steps_of("nvidia h200")
    recipe = Recipe(epochs=1, batch_size=4, preparation=Cube(edge=128))

    eager, compiled = (step_seconds("unet3d", recipe, steps, items) for items in (1, 100_000))

    assert (eager[1], compiled[1]) == (False, True)
    assert (eager[0], compiled[0]) == (pytest.approx(0.1086), pytest.approx(0.0726))
    half = replace(recipe, preparation=Cube(edge=64))
    assert step_seconds("unet3d", half, steps, 1)[0] == pytest.approx(0.1086 / 8)
    twice = replace(recipe, batch_size=8, compile="never")
    assert step_seconds("unet3d", twice, steps, 100_000)[0] == pytest.approx(2 * 0.1086)
    # A model without a step on file takes the lowest rate of the others, of 3D models alone.
    two = [step for step in steps if step.model == "unet3d" or step.edge != 128 or step.batch == 64]
    slowest = step_seconds("vnet", half, two, 1)[0]
    assert slowest == max(step_seconds("vnet", half, [one], 1)[0] for one in two[:2])


def test_every_step_on_file_is_of_a_model_that_is_registered():
    assert {step.model for step in known_steps()} <= set(MODELS)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(40, "40 s"), (600, "10 min"), (19800, "5.5 h"), (260000, "3.0 days"), (119.6, "120 s")],
)
def test_a_duration_is_said_in_the_unit_that_fits(seconds, words):
    assert duration(seconds) == words


@dataclass(frozen=True)
class Planned:
    """What a plan printed and left, and on which addresses it and its Ray listened, in
    hexadecimal."""

    text: str
    doors: set[str]
    left: set[str]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    import ray

    folder = tmp_path_factory.mktemp("plan")
    (folder / "grid.py").write_text(
        "from dataclasses import replace\n"
        "from bench.grids import DEMO, Tuning, product\n"
        "TINY = replace(DEMO, name='tiny', generate={'num_cases': 11, 'seed': 1}, seeds=(0, 1),\n"
        "    cells=product(('unet2d_resnet18',), ('combined', 'focal'), ('none',)),\n"
        "    tuning=Tuning(trials=4, epochs=1), recipes={'2d': replace(DEMO.recipes['2d'],\n"
        "    epochs=3, steps_per_epoch=3, weights='default')})\n"
    )
    cores = os.sched_getaffinity(0)
    with chdir(folder), redirect_stdout(StringIO()) as printed:
        try:
            # One core, so one worker to start.
            os.sched_setaffinity(0, {min(cores)})
            assert main(["plan", "--grid", "grid.py", "--gpu-hours", "900"]) == 0
            doors = listening(os.getpid())
        finally:
            ray.shutdown()
            os.sched_setaffinity(0, cores)
    return Planned(printed.getvalue(), doors, {path.name for path in (folder / "runs").iterdir()})


def test_a_plan_is_timed_without_the_weights_of_imagenet_and_printed_by_cell(planned):
    text = planned.text
    words = [line.split() for line in text.splitlines()]
    cells = [line[3] for line in words if line[:1] == ["unet2d_resnet18"] and line[1] != "trains"]
    total = next(line for line in words if line[:1] == ["all"])
    assert cells == ["6", "6"]
    assert total[1] == "12"
    assert 0 < float(total[2]) < 1
    assert "timed on " in text
    assert "unet2d_resnet18 trains in float32" in text
    assert " on 1, " in text
    assert "one seed less would save" in text
    assert "half the tuning would save" in text
    assert "900 core-hours buy 4 of 4 tuning trials of each cell and 2 of 2 seeds: at most" in text
    assert "tiny" not in planned.left


def test_f89_on_one_machine_nothing_listens_on_another_address_than_the_loopback(planned):
    assert planned.doors
    # 127.0.0.1 as the kernel prints it, which ends its form in IPv6 too.
    assert {door[-8:] for door in planned.doors} == {"0100007F"}


def listening(process):
    """The addresses on which a process and what it started listen, as in /proc/net/tcp (proc(5):
    state 0A).
    """
    parents, sockets = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            sockets[folder.name] = {os.readlink(path) for path in (folder / "fd").iterdir()}
    family, before = {str(process)}, set()
    while family != before:
        before, family = (
            family,
            family | {child for child, parent in parents.items() if parent in family},
        )
    own = set().union(*(sockets.get(member, set()) for member in family))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return {
        row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own
    }
