"""What is searched, and from which default the search starts: pure data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature

from trials.data.sampling import ClassCounts
from trials.losses import LOSSES, is_plain_focal, one_minus_beta_range
from trials.models.registry import MODELS
from trials.records.record import record
from trials.records.registry import pick
from trials.records.spec import Cell, Hyper


@record
class Range:
    """An interval that is searched evenly, or evenly in the logarithm; integer draws
    whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a grid says of the settings of one model: defaults, ranges, and the numbers of its
    recipe that may be searched.
    """

    hyper: Hyper = field(default_factory=dict)
    spaces: Mapping[str, Range] = field(default_factory=dict)
    numbers: Mapping[str, float | None] = field(default_factory=dict)


SPACES: Mapping[str, Range] = {
    "lr": Range(low=1e-5, high=1e-2, log=True),
    "gamma": Range(low=0.0, high=5.0),
    "frozen_stages": Range(low=1, high=3, integer=True),
}
DEFAULTS: Mapping[str, float] = {"lr": 1e-4, "gamma": 2.0, "frozen_stages": 2.0}


def cell_space(cell: Cell, counts: ClassCounts, weights: str, given: Given) -> dict[str, Range]:
    """The ranges of a cell: of lr always, of what its loss tunes, of frozen_stages where the model
    starts from weights, and of whatever else of its loss or its recipe the grid gives a range.

    one_minus_beta runs between one over the largest and one over the smallest class count of the
    training split, where the weights differ (Cui et al. 2019, section 4), and never into settings
    that are plain focal. Raises ValueError naming a parameter that has no range.
    """
    low, high = one_minus_beta_range(counts)
    ranges = {**SPACES, "one_minus_beta": Range(low=low, high=high, log=True), **given.spaces}
    names = tuned_names(cell, weights, given)
    if missing := [name for name in names if name not in ranges]:
        raise ValueError(
            f"cell {cell.model}, {cell.loss}, {cell.sampling}: {missing[0]} is tuned and has no "
            "range; "
            f"give it one in Grid.spaces: {{'*': {{{missing[0]!r}: Range(low=..., high=...)}}}}"
        )
    found = {name: ranges[name] for name in names}
    if "one_minus_beta" in found:
        found["one_minus_beta"] = _below_plain_focal(found["one_minus_beta"], counts)
    return found


def default_hyper(
    cell: Cell, counts: ClassCounts, weights: str, given: Given
) -> dict[str, float | tuple[float, ...]]:
    """The setting that a cell's first trial has; one_minus_beta is the geometric mean of its
    range's ends.

    A default is the grid's own, or that of this file, of the recipe, or of the loss's function.
    Raises ValueError naming a parameter that is tuned and has none, or one that is no number.
    """
    names = tuned_names(cell, weights, given)
    middle = math.sqrt(math.prod(one_minus_beta_range(counts)))
    settable = [*names, *_of_loss(cell.loss), *given.numbers]
    known = {
        **_of_loss(cell.loss),
        **given.numbers,
        **DEFAULTS,
        "one_minus_beta": middle,
        **given.hyper,
    }
    setting = {
        name: known.get(name)
        for name in dict.fromkeys(settable)
        if name in names or name in given.hyper
    }
    for name in names:
        if not isinstance(setting[name], int | float):
            raise ValueError(
                f"cell {cell.model}, {cell.loss}, {cell.sampling}: {name} is tuned, so its default "
                "must be one number; "
                f"got {setting[name]}; give it one in Grid.hyper: {{'*': {{{name!r}: ...}}}}"
            )
    return {name: value for name, value in setting.items() if value is not None}


def tuned_names(cell: Cell, weights: str, given: Given) -> tuple[str, ...]:
    """The parameters that are searched in a cell; stages can only be frozen where there are weights
    worth keeping.
    """
    of_model = [
        name
        for name in pick(MODELS, "model", cell.model).tuned
        if name != "frozen_stages" or weights != "random"
    ]
    of_grid = [
        name for name in given.spaces if name in given.numbers or name in _of_loss(cell.loss)
    ]
    return tuple(dict.fromkeys(("lr", *LOSSES[cell.loss].tuned, *of_model, *of_grid)))


def settable_names(model: str, loss: str) -> tuple[str, ...]:
    """What a grid may set in a cell besides its recipe's numbers: what is tuned, and whatever else
    its loss takes.
    """
    return tuple(
        dict.fromkeys(
            ("lr", *pick(MODELS, "model", model).tuned, *LOSSES[loss].tuned, *_of_loss(loss))
        )
    )


def _of_loss(name: str) -> dict[str, float | tuple[float, ...] | None]:
    """The arguments of a loss besides the class counts, with their defaults, None where there is
    none.
    """
    _, *parameters = signature(pick(LOSSES, "loss", name).load()).parameters.values()
    return {one.name: None if one.default is Parameter.empty else one.default for one in parameters}


def check_setting(cell: Cell, counts: ClassCounts, setting: Hyper) -> None:
    """Refuse a declared setting that makes a class-balanced loss plain focal. Raises ValueError
    naming the cell.
    """
    one_minus_beta = setting.get("one_minus_beta")
    if isinstance(one_minus_beta, float) and is_plain_focal(counts, one_minus_beta):
        low, high = one_minus_beta_range(counts)
        raise ValueError(
            f"cell {cell.model}, {cell.loss}, {cell.sampling}: at "
            f"one_minus_beta={one_minus_beta:g} all class weights agree "
            f"within 1 %, which is the focal loss; choose it between {low:.2g} and {high:.2g}, or "
            "change class_unit"
        )


def _below_plain_focal(span: Range, counts: ClassCounts) -> Range:
    """The part of a range in which the weights differ: they come together as one_minus_beta grows,
    so bisect its end.
    """
    if is_plain_focal(counts, span.low):
        return replace(span, high=span.low)
    low, high = span.low, span.high
    while is_plain_focal(counts, high) and high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_plain_focal(counts, middle) else (middle, high)
    return replace(span, high=low if is_plain_focal(counts, high) else high)
