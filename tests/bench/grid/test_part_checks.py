"""A model, a loss or a sampling that does not fit is named before any training, with what was
expected and what came.
"""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from test_trial_queue import FACTS, GRID
from torch import nn
from torch.nn.functional import cross_entropy

from bench.grid.part_checks import check_parts
from bench.grid.resolve import resolve
from bench.grids import LOSSES, MODELS, SAMPLINGS, Entry, ModelEntry, product
from trials.data.datasets.registry import Dataset

DATA = Dataset(name="toy", root=Path(), classes=("background", "kidney", "tumor", "cyst"), cases=())
VOXELS = [[90, 6, 3, 1], [95, 5, 0, 0], [80, 10, 10, 0]]


@pytest.fixture
def check(monkeypatch):
    """Checks a grid of one cell, one part of which is the function given."""

    def run(kind, function, model="unet3d"):
        names = {"model": model, "loss": "combined", "sampling": "none", kind: "mine"}
        registry, entry = {
            "model": (MODELS, partial(ModelEntry, width=4, multiple=1, smallest=8)),
            "loss": (LOSSES, Entry),
            "sampling": (SAMPLINGS, Entry),
        }[kind]
        monkeypatch.setitem(registry, "mine", entry(function))
        cells = product((names["model"],), (names["loss"],), (names["sampling"],))
        check_parts(resolve(replace(GRID, cells=cells), FACTS), DATA, VOXELS)

    return run


def convolution(out=0, stride=1):
    return lambda channels, classes, width: nn.Conv3d(
        channels, out or classes, 3, stride, padding=1
    )


class Halved(nn.Module):
    """Two outputs in training, as for deep supervision, and a value that needs the numbers."""

    def __init__(self, channels, classes, width):
        super().__init__()
        self.last = nn.Conv3d(channels, classes, 1)

    def forward(self, images):
        logits = self.last(images)
        assert float(images.sum()) == 0
        return [logits, logits[..., ::2, ::2, ::2]] if self.training else logits


def entropy(counts):
    return lambda logits, labels: cross_entropy(logits, labels.long())


def weights(values):
    return lambda item_voxels, recipe: np.array(values)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("model", convolution()),
        ("model", Halved),
        ("loss", entropy),
        ("sampling", weights([0.5, 0.5, 0.0])),
        ("sampling", lambda item_voxels, recipe: item_voxels[:, 2] / item_voxels[:, 2].sum()),
    ],
)
def test_a_part_that_fits_is_taken(check, kind, function):
    check(kind, function)


SHAPES = "logits of shape [2, 4, 32, 32, 32] (items, classes, size) for images of shape [2, 1, 32, "
FOR = "for logits [2, 4, 16, 16, 16] and labels [2, 16, 16, 16]"


@pytest.mark.parametrize(
    ("kind", "function", "told"),
    [
        ("model", convolution(stride=2), "in training it gave [2, 4, 16, 16, 16]"),
        ("model", convolution(out=3), SHAPES + "32, 32]; in training it gave [2, 3, 32, 32, 32]"),
        (
            "model",
            lambda channels, classes, width: nn.Conv3d(3, classes, 1),
            "it raised RuntimeError: Given groups=1, weight of size [4, 3, 1, 1, 1], expected",
        ),
        ("model", lambda channels, classes, width: nn.Identity(), "gave [2, 1, 32, 32, 32]"),
        (
            "loss",
            lambda counts: partial(cross_entropy, reduction="none"),
            f"{FOR}; it raised RuntimeError: expected scalar type Long but found Byte",
        ),
        (
            "loss",
            lambda counts: (
                lambda logits, labels: cross_entropy(logits, labels.long(), reduction="none")
            ),
            f"{FOR}; it gave a tensor of shape [2, 16, 16, 16]; return its mean",
        ),
        ("loss", lambda counts: lambda logits, labels: 1.0, "it gave a float; return a tensor"),
        (
            "loss",
            lambda counts: lambda logits, labels: logits.log().mean(),
            "it gave nan; keep denominators and logarithms above 0",
        ),
        (
            "loss",
            lambda counts: lambda logits, labels: (logits.argmax(1) != labels).float().mean(),
            f"with a gradient {FOR}; its gradient is none; compute it from the logits, without arg",
        ),
        (
            "loss",
            lambda counts: lambda logits, labels: logits.round().mean(),
            "its gradient is 0",
        ),
        ("sampling", weights([0.5, 0.5]), "give 3 weights of at least 0, one an item, that sum to"),
        ("sampling", weights([0.5, 0.5]), "it gave an array of shape [2]"),
        ("sampling", weights([1.0, 1.0, 0.0]), "they lie in 0 to 1 and sum to 2; return weights"),
        ("sampling", weights([-1.0, 1.0, 1.0]), "they lie in -1 to 1"),
        ("sampling", lambda voxels, recipe: voxels[:, 9], "it raised IndexError: index 9 is out"),
    ],
)
def test_a_part_that_does_not_fit_is_named_with_what_was_expected(check, kind, function, told):
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        check(kind, function)

    assert str(error.value).startswith(f"{kind} 'mine' must give ")


def test_a_loss_that_fails_without_any_class_is_refused_for_slices_alone(check):
    def of_kidneys(counts):
        return lambda logits, labels: logits[:, 1].square()[labels == 1].mean()

    check("loss", of_kidneys)
    with pytest.raises(ValueError, match=r"that are all background; it gave nan; keep denominator"):
        check("loss", of_kidneys, model="unet2d_resnet18")


def test_the_parts_of_segbench_itself_are_not_run(check, monkeypatch):
    monkeypatch.setattr(torch, "randn", None)

    check("sampling", weights([1.0, 0.0, 0.0]))
