"""The optimizers and schedules of a recipe, against hand computations and torch."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import PolynomialLR

from trials.records.spec import Recipe
from trials.training.optimizer import make_optimizer, moment_bytes, poly, warm_up_and_cosine

NNUNET = Recipe(epochs=1, batch_size=2, optimizer="sgd", schedule="poly", clip_gradient=12.0)


def test_sgd_is_nnunets():
    optimizer, _ = make_optimizer(nn.Linear(2, 2), 0.01, 10, NNUNET)

    (group,) = optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.99, True, 3e-5)


def test_poly_is_that_of_torch_and_ends_at_zero():
    weight = nn.Parameter(torch.ones(1))
    theirs = PolynomialLR(torch.optim.SGD([weight], lr=1.0), total_iters=50, power=0.9)
    share = poly(50)

    for step in range(51):
        assert share(step) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        theirs.optimizer.step()
        theirs.step()
    assert share(50) == 0


def test_the_warm_up_takes_a_twentieth_and_the_cosine_the_rest():
    share = warm_up_and_cosine(100)

    assert [share(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert share(5 + 95 // 5) == pytest.approx((1 + math.cos(math.pi / 5)) / 2)
    assert share(100) == pytest.approx(0, abs=1e-15)
    assert warm_up_and_cosine(1)(0) == 1


def test_two_steps_of_nesterov_momentum_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer, scheduler = make_optimizer(layer, 0.1, 4, NNUNET)
    weight, velocity = 1.0, 0.0

    for step in range(2):
        optimizer.zero_grad()
        F.mse_loss(layer(torch.ones(1)), torch.zeros(1)).backward()
        optimizer.step()
        scheduler.step()
        slope = 2 * weight + 3e-5 * weight
        velocity = 0.99 * velocity + slope
        weight -= 0.1 * (1 - step / 4) ** 0.9 * (slope + 0.99 * velocity)

    assert layer.weight.item() == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize(("name", "numbers"), [("adam", 2), ("adamw", 2), ("sgd", 1)])
def test_an_optimizer_keeps_as_many_numbers_as_are_counted(name, numbers):
    module, recipe = torch.nn.Linear(5, 3), replace(NNUNET, optimizer=name)
    optimizer, _ = make_optimizer(module, 0.1, 1, recipe)
    module(torch.ones(1, 5)).sum().backward()
    optimizer.step()

    kept = [
        value
        for state in optimizer.state.values()
        for key, value in state.items()
        if key != "step" and value is not None
    ]
    assert sum(one.nbytes for one in kept) == moment_bytes(module, recipe) == 4 * 18 * numbers
