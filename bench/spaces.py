"""What is searched, and from which default the search starts: pure data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature

from trials.data.sampling import ClassCounts
from trials.losses import LOSSES, is_plain_focal, one_minus_beta_range
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


def cell_space(cell: Cell, counts: ClassCounts, weights: str, overrides: Mapping[str, Mapping[str, Range]]) -> dict[str, Range]:
    """The ranges of a cell: lr always, what its loss tunes, and frozen_stages where the model starts from weights.

    one_minus_beta runs between one over the largest and one over the smallest class count of the training split, where the
    weights differ (Cui et al. 2019, section 4), and never into settings that are plain focal.
    """
    low, high = one_minus_beta_range(counts)
    ranges = dict(SPACES) | {"one_minus_beta": Range(low=low, high=high, log=True)}
    names = tuned_names(cell, weights)
    found = {name: ranges[name] for name in names} | _for_model(cell.model, overrides, names)
    if "one_minus_beta" in found:
        found["one_minus_beta"] = _below_plain_focal(found["one_minus_beta"], counts)
    return found


def default_hyper(
    cell: Cell, counts: ClassCounts, weights: str, overrides: Mapping[str, Hyper]
) -> dict[str, float | tuple[float, ...]]:
    """The setting that a cell's first trial has; one_minus_beta is the geometric mean of its range's ends."""
    names = tuned_names(cell, weights)
    defaults = dict(DEFAULTS) | {"one_minus_beta": math.sqrt(math.prod(one_minus_beta_range(counts)))}
    taken = [name for name in settable_names(cell.model, cell.loss) if name in names or name not in MODELS[cell.model].tuned]
    return {name: defaults[name] for name in names} | _for_model(cell.model, overrides, taken)


def tuned_names(cell: Cell, weights: str) -> tuple[str, ...]:
    """The hyperparameters that exist in a cell; stages can only be frozen where there are weights worth keeping."""
    of_model = tuple(name for name in pick(MODELS, "model", cell.model).tuned if name != "frozen_stages" or weights != "random")
    return ("lr", *pick(LOSSES, "loss", cell.loss).tuned, *of_model)


def settable_names(model: str, loss: str) -> tuple[str, ...]:
    """What a grid may set in a cell: what is tuned, and whatever else the function of its loss takes, such as alpha."""
    _, *parameters = signature(pick(LOSSES, "loss", loss).load()).parameters
    return tuple(dict.fromkeys(("lr", *pick(MODELS, "model", model).tuned, *LOSSES[loss].tuned, *parameters)))


def check_setting(cell: Cell, counts: ClassCounts, setting: Hyper) -> None:
    """Refuse a declared setting that makes a class-balanced loss plain focal. Raises ValueError naming the cell."""
    one_minus_beta = setting.get("one_minus_beta")
    if isinstance(one_minus_beta, float) and is_plain_focal(counts, one_minus_beta):
        low, high = one_minus_beta_range(counts)
        raise ValueError(
            f"cell {cell.model}, {cell.loss}, {cell.sampling}: at one_minus_beta={one_minus_beta:g} all class weights agree "
            f"within 1 %, which is the focal loss; choose it between {low:.2g} and {high:.2g}, or change class_unit"
        )


def _for_model(model: str, overrides: Mapping[str, Mapping], names: Sequence[str]) -> dict:
    merged = dict(overrides.get("*", {})) | dict(overrides.get(model, {}))
    return {name: value for name, value in merged.items() if name in names}


def _below_plain_focal(span: Range, counts: ClassCounts) -> Range:
    """The part of a range in which the weights differ: they come together as one_minus_beta grows, so bisect its end."""
    if is_plain_focal(counts, span.low):
        return replace(span, high=span.low)
    low, high = span.low, span.high
    while is_plain_focal(counts, high) and high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_plain_focal(counts, middle) else (middle, high)
    return replace(span, high=low if is_plain_focal(counts, high) else high)
