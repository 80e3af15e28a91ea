"""What doctor says of the precision that a grid's models train in here."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.cli import main
from bench.doctor.arithmetic import model_finding
from bench.grids import DEMO
from benchmarks.bfloat16 import RoundedConvolutions
from trials.models.registry import MODELS, ModelEntry
from trials.records.spec import Cube, Recipe

SMALL = Recipe(epochs=1, batch_size=2, preparation=Cube(edge=8))


class Wrong(torch.autograd.Function):
    """The identity, whose gradient is not finite in low precision."""

    @staticmethod
    def forward(ctx, features):
        ctx.is_low = features.dtype == torch.bfloat16
        return features.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf") if ctx.is_low else gradient


class Planted(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.enter, self.leave = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, num_classes, 1)

    def forward(self, images):
        return self.leave(Wrong.apply(self.enter(images)))


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setitem(
        MODELS, "planted", ModelEntry(lambda in_channels, num_classes, width: Planted(num_classes))
    )


def test_the_demos_models_train_in_float32_on_any_processor(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main(["doctor", "--grid", "demo", "--json"])

    found = json.loads(capsys.readouterr().out)["findings"]

    told = {finding["message"] for finding in found if finding["subject"] == "precision"}
    assert told == {f"{model} trains in float32" for model in {cell.model for cell in DEMO.cells}}


def test_a_model_whose_low_precision_is_right_passes_with_its_largest_error():
    with RoundedConvolutions():
        finding = model_finding("segresnet", replace(SMALL, precision="bf16", width=8))

    assert finding.level == "fine"
    assert "segresnet trains in bfloat16, compared with float32: largest error" in finding.message


def test_a_model_whose_low_precision_is_wrong_is_an_error_where_the_recipe_names_it(planted):
    finding = model_finding("planted", replace(SMALL, precision="bf16"))

    assert finding.level == "error"
    assert "planted: bfloat16 is wrong here" in finding.message
    assert "float32" in finding.fix


def test_a_grid_that_is_not_there_is_one_finding(capsys):
    assert main(["doctor", "--grid", "nonesuch"]) == 2

    assert "unknown grid 'nonesuch'" in capsys.readouterr().out
