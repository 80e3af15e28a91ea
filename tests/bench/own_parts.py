"""Grid files that bring a model, a loss or a sampling of their own, and the edits of each that
change what a trial runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.grid.user_file import load_grid_text
from trials.identity.code_identity import REGISTRIES, code_of_cell
from trials.records.spec import Cell

HEAD = '''\
"""A grid of three parts of its own."""

from dataclasses import replace
from functools import partial

import numpy as np
from torch import nn

from bench.grids import DEMO, LOSSES, MODELS, SAMPLINGS, Entry, ModelEntry, product

SCALE = 2.0
POWER = {"rare": 0.5}


def block(channels):
    return nn.Conv3d(channels, channels, 3, padding=1)


class Net(nn.Module):
    """Three convolutions."""

    slope = 0.1

    def __init__(self, in_channels, num_classes, width):
        super().__init__()
        self.first = nn.Conv3d(in_channels, width, 3, padding=1)
        self.inner = block(width)
        self.last = nn.Conv3d(width, num_classes, 1)

    def forward(self, images):
        # Plain.
        return self.last(nn.functional.leaky_relu(self.inner(self.first(images)), self.slope))


def overlap(probs, true):
    return SCALE * (probs * true).sum()


def tversky(counts, missed=0.7):
    """Missed voxels cost more."""

    def loss(logits, labels):
        probs = logits.softmax(1)
        true = [(labels == k).float() for k in range(logits.shape[1])]
        shares = [
            overlap(probs[:, k], t)
            / ((1 - missed) * probs[:, k].sum() + missed * t.sum() + 1e-6)
            for k, t in enumerate(true)
        ]
        return 2 - sum(shares) / len(true)

    return loss


def rare(item_voxels, recipe, share=1.0):
    weights = 1 + share * np.sqrt(item_voxels[:, -1]) ** POWER["rare"]  # as many as there are
    return weights / weights.sum()


MODELS["net"] = ModelEntry(Net, width=4, multiple=8, about="three convolutions")
LOSSES["tversky"] = Entry(tversky, about="Tversky index")
SAMPLINGS["rare"] = Entry(partial(rare, share=0.5), about="the last class more often")
RECIPE = replace(
    DEMO.recipes["3d"],
    epochs=2,
    steps_per_epoch=1,
    train_cases_scored=0,
    validate_every=1,
    augment=False,
)
'''
FOOT = """
MINE = replace(DEMO, name="mine", cells={cells}, tuning=None, seeds=(0,), recipes={{"3d": RECIPE}})
"""
# One cell of our own parts alone, and one with the part.
CELLS = {
    "model": 'product(("unet3d", "net"), ("focal",), ("none",))',
    "loss": 'product(("unet3d",), ("focal", "tversky"), ("none",))',
    "sampling": 'product(("unet3d",), ("focal",), ("none", "rare"))',
}
NAMES = {"model": "net", "loss": "tversky", "sampling": "rare"}
# A text of the file, what a user makes of it, and how the refusal tells it.
EDITS = {
    "model": [
        ("slope = 0.1", "slope = 0.2", '"slope = 0.1" -> "slope = 0.2"'),
        (
            "channels, 3, padding=1)\n\n\nclass",
            "channels, 1)\n\n\nclass",
            '-> "return nn.Conv3d(channels, channels, 1)"',
        ),
        ("(Net, width=4", "(Net, width=8", '"width=4" -> "width=8"'),
    ],
    "loss": [
        ("missed=0.7", "missed=0.6", '"missed=0.7" -> "missed=0.6"'),
        ("SCALE = 2.0", "SCALE = 3.0", '"SCALE = 2.0" -> "SCALE = 3.0"'),
        (
            "return SCALE * (probs",
            "return SCALE + (probs",
            '"return SCALE * (probs * true).sum()" -> ',
        ),
        ("Entry(tversky, about", 'Entry(tversky, ("missed",), about', "missed"),
    ],
    "sampling": [
        ("rare, share=0.5", "rare, share=0.25", '"share=0.5" -> "share=0.25"'),
        ('"rare": 0.5}', '"rare": 0.4}', "POWER"),
        ("np.sqrt(", "np.log1p(", '"np.sqrt" -> "np.log1p"'),
    ],
}
# What no trial runs.
IDLE = [
    ("# Plain.", "# Plain, and as it was."),
    ("  # as many as there are", ""),
    ("Three convolutions", "Three convolutions and a bend"),
    ('"""Missed voxels cost more."""', '"""False ones cost less."""'),
    ("def overlap(probs, true):", "def overlap(\n    probs,\n    true,\n):"),
    ('about="Tversky index"', 'about="Tversky, 1977"'),
    ("\nSCALE", "\nOTHER = 3\n\n\nSCALE"),
    ("seeds=(0,)", "seeds=(0, 1)"),
    ('"focal"', '"combined", "focal"'),
    ("RECIPE = replace(", "import math  # unused\n\nRECIPE = replace("),
]


def grid_text(kind: str, *edit: str) -> str:
    """The file whose cells use the part of a kind, with a text in it exchanged for another."""
    text = HEAD + FOOT.format(cells=CELLS[kind])
    if edit:
        assert text.count(edit[0]) == 1, edit[0]
        text = text.replace(*edit)
    return text


def own_cell(kind: str) -> Cell:
    """The cell that uses the part."""
    return Cell(**{"model": "unet3d", "loss": "focal", "sampling": "none", kind: NAMES[kind]})


def code_with(text: str, kind: str, name: str = "grid.py") -> dict[str, str]:
    """What a trial of that cell runs, once the file was loaded."""
    with registries():
        load_grid_text(text, name)
        return code_of_cell(own_cell(kind))


@contextmanager
def registries() -> Iterator[None]:
    """Take out again what a grid file adds."""
    before = [(registry, dict(registry)) for registry in REGISTRIES.values()]
    try:
        yield
    finally:
        for registry, parts in before:
            registry.clear()  # type: ignore[attr-defined]
            registry.update(parts)  # type: ignore[attr-defined]
