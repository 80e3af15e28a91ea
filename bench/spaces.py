"""What is searched, and from which default the search starts: pure data. Standard library only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trials.losses import LOSSES
from trials.models.registry import MODELS
from trials.parts import pick
from trials.spec import Cell, Hyper


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """An interval that is searched evenly, or evenly in the logarithm; integer draws whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


SPACES: Mapping[str, Range] = {
    "lr": Range(low=1e-5, high=1e-2, log=True),
    "gamma": Range(low=0.0, high=5.0),
    "frozen_stages": Range(low=1, high=3, integer=True),
}
DEFAULTS: Mapping[str, float] = {"lr": 1e-4, "gamma": 2.0, "frozen_stages": 2.0}


def cell_space(
    cell: Cell, counts: Sequence[int], weights: str, overrides: Mapping[str, Mapping[str, Range]]
) -> dict[str, Range]:
    """The ranges of a cell: lr always, what its loss tunes, and frozen_stages where the model starts from weights.

    counts are the training split's class counts in the unit of the recipe; one_minus_beta runs between one over the
    largest and one over the smallest of them, the range in which the weights differ (Cui et al. 2019, section 4).
    """
    ranges = dict(SPACES) | {"one_minus_beta": Range(low=1 / max(counts), high=1 / min(n for n in counts if n), log=True)}
    names = tuned_names(cell, weights)
    return {name: ranges[name] for name in names} | _for_model(cell.model, overrides, names)


def default_hyper(
    cell: Cell, counts: Sequence[int], weights: str, overrides: Mapping[str, Hyper]
) -> dict[str, float | tuple[float, ...]]:
    """The setting that a cell's first trial has; one_minus_beta is the geometric mean of its range's ends."""
    present = [n for n in counts if n]
    middle = math.sqrt(1 / max(present) / min(present))
    names = tuned_names(cell, weights)
    defaults = dict(DEFAULTS) | {"one_minus_beta": middle}
    return {name: defaults[name] for name in names} | _for_model(cell.model, overrides, names)


def tuned_names(cell: Cell, weights: str) -> tuple[str, ...]:
    """The hyperparameters that exist in a cell; stages can only be frozen where there are weights worth keeping."""
    of_model = tuple(name for name in pick(MODELS, "model", cell.model).tuned if name != "frozen_stages" or weights != "random")
    return ("lr", *pick(LOSSES, "loss", cell.loss).tuned, *of_model)


def _for_model(model: str, overrides: Mapping[str, Mapping], names: Sequence[str]) -> dict:
    merged = dict(overrides.get("*", {})) | dict(overrides.get(model, {}))
    return {name: value for name, value in merged.items() if name in names or name == "alpha"}
