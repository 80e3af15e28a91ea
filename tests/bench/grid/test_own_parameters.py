"""A grid may search what is its own: arguments of its loss, numbers of its recipe; and is refused
what cannot be searched.
"""

from dataclasses import replace

import pytest
import torch
from test_trial_queue import FACTS, GRID, run

from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import resolve
from bench.grid.validate import check_grid
from bench.grids import Tuning, product
from bench.spaces import Range
from trials.losses import LOSSES
from trials.records.registry import Entry
from trials.records.spec import FINAL, TUNE


def tversky(counts, missed=0.7, alpha=None):
    return None


@pytest.fixture
def own(monkeypatch):
    """A grid that tunes `missed` of a loss of its own, and what its recipe calls weight_decay and
    dropout.
    """
    monkeypatch.setitem(LOSSES, "tversky", Entry(tversky, tuned=("missed",)))
    return replace(
        GRID,
        cells=product(("vnet",), ("tversky", "combined"), ("none",)),
        tuning=Tuning(trials=4, epochs=1),
        hyper={"*": {"weight_decay": 0.01}},
        spaces={
            "*": {
                "missed": Range(low=0.5, high=0.9),
                "weight_decay": Range(low=1e-6, high=0.1, log=True),
            },
            "vnet": {"dropout": Range(low=0.0, high=0.5)},
        },
    )


def facts_of(grid):
    return replace(FACTS, digests={grid.recipes["vnet"].preparation: "d"})


def test_own_parameters_are_searched_where_they_exist_from_their_defaults(own):
    check_grid(own)
    order = run(TrialQueue(resolve(own, facts_of(own)), {}))

    for loss, names in {
        "tversky": {"lr", "missed", "weight_decay", "dropout"},
        "combined": {"lr", "weight_decay", "dropout"},
    }.items():
        tried = [spec.hyper for spec in order if spec.cell.loss == loss and spec.phase == TUNE]
        assert all(set(hyper) == names for hyper in tried)
        assert tried[0]["weight_decay"] == 0.01
        assert tried[0]["dropout"] == 0.0
        assert all(len({hyper[name] for hyper in tried}) == 4 for name in names)
    proposed = [
        spec.hyper["missed"] for spec in order if spec.phase == TUNE and spec.cell.loss == "tversky"
    ]
    assert proposed[0] == 0.7
    assert all(0.5 <= missed <= 0.9 for missed in proposed)


def test_numbers_of_the_recipe_reach_the_recipe_of_every_trial(own):
    for spec in run(TrialQueue(resolve(own, facts_of(own)), {})):
        assert spec.recipe.weight_decay == spec.hyper["weight_decay"]
        assert dict(spec.recipe.model_options)["dropout"] == spec.hyper["dropout"]
        assert dict(spec.recipe.model_options)["kernel"] == 3.0


def test_the_final_trial_takes_the_best_of_them(own):
    order = run(TrialQueue(resolve(own, facts_of(own)), {}))
    best = min(
        (s for s in order if s.cell == own.cells[0] and s.phase == TUNE),
        key=lambda spec: abs(spec.hyper["lr"] - 0.01),
    )

    assert all(s.hyper == best.hyper for s in order if s.cell == own.cells[0] and s.phase == FINAL)


def test_a_range_alone_has_an_argument_searched(own, monkeypatch):
    monkeypatch.setitem(LOSSES, "tversky", Entry(tversky))
    order = run(TrialQueue(resolve(own, facts_of(own)), {}))

    assert (
        len({s.hyper["missed"] for s in order if s.cell.loss == "tversky" and s.phase == TUNE}) == 4
    )


def test_the_weight_decay_of_a_setting_is_the_optimizers():
    from trials.training.optimizer import make_optimizer

    for recipe, decay in (
        (GRID.recipes["3d"], 0.01),
        (replace(GRID.recipes["3d"], weight_decay=0.3), 0.3),
    ):
        optimizer, _ = make_optimizer(torch.nn.Linear(2, 2), 0.1, 1, recipe)
        assert optimizer.param_groups[0]["weight_decay"] == decay


def test_a_tuned_parameter_without_a_range_is_refused_with_the_way_out(own):
    with pytest.raises(
        ValueError,
        match=r"cell vnet, tversky, none: missed is tuned but has no range; .* Grid.spaces: {'\*'",
    ):
        check_grid(replace(own, spaces={}))
    check_grid(replace(own, spaces={}, tuning=None))


@pytest.mark.parametrize(
    ("hyper", "spaces", "message"),
    [
        (
            {},
            {"alpha": Range(low=0, high=1)},
            "alpha is tuned, so its default must be one number; got None",
        ),
        (
            {},
            {"weight_decay": Range(low=0, high=1)},
            "weight_decay is tuned, so its default must be one number; got None",
        ),
        (
            {},
            {"wieght_decay": Range(low=0, high=1)},
            "unknown hyperparameter in spaces 'wieght_decay'; did you mean 'weight_decay'",
        ),
        ({}, {"epochs": Range(low=1, high=9)}, "unknown hyperparameter in spaces 'epochs'"),
        ({}, {"missed": (0.5, 0.9)}, "missed.* must be a Range"),
        ({}, {"missed": Range(low=0.9, high=0.5)}, "low must be below high; got 0.9 and 0.5"),
        (
            {},
            {"missed": Range(low=0, high=0.5, log=True)},
            "low must be greater than 0 in a logarithmic range; got low=0",
        ),
        ({}, {"missed": Range(low=0.5, high=2, integer=True)}, "must be whole numbers; got 0.5"),
        ({}, {"gamma": Range(low=-1, high=5)}, "must be 0 or greater and finite; got -1"),
        (
            {"lr": -1.0},
            {},
            r"hyper\['\*'\]\['lr'\] must be greater than 0 and finite; got -1.0",
        ),
        ({"lr": 0}, {}, "must be greater than 0 and finite; got 0"),
        ({"gamma": -0.5}, {}, "must be 0 or greater and finite; got -0.5"),
        ({"one_minus_beta": 1.5}, {}, "must be greater than 0 and at most 1 and finite; got 1.5"),
        ({"lr": "fast"}, {}, "got 'fast'"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_key_and_value(own, hyper, spaces, message):
    with pytest.raises(ValueError, match=message):
        check_grid(
            replace(
                own, hyper={"*": hyper}, spaces={"*": {"missed": Range(low=0.5, high=0.9)} | spaces}
            )
        )


@pytest.mark.parametrize("field", ["trials", "epochs", "parallel"])
def test_a_count_below_one_is_refused(field):
    with pytest.raises(ValueError, match=rf"Tuning.{field} must be at least 1; got 0"):
        replace(GRID.tuning, **{field: 0})


def test_an_end_of_a_range_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"Range\.high must be a finite number; got inf"):
        Range(low=0, high=float("inf"))
