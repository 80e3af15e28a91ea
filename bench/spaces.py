"""Hyperparameters: search ranges and default settings, as data, and which values they may take."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from typing import Any

from trials.data.sampling import ClassCounts
from trials.losses import LOSSES, is_plain_focal, one_minus_beta_range
from trials.models.registry import MODELS
from trials.records.record import record
from trials.records.registry import pick
from trials.records.spec import Cell, Hyper

# Valid values of a parameter: the rule as text and as a function.
LIMITS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "lr": ("greater than 0", lambda value: value > 0),
    "gamma": ("0 or greater", lambda value: value >= 0),
    "one_minus_beta": ("greater than 0 and at most 1", lambda value: 0 < value <= 1),
    "frozen_stages": ("0 or greater", lambda value: value >= 0),
    "weight_decay": ("0 or greater", lambda value: value >= 0),
    "clip_gradient": ("greater than 0", lambda value: value > 0),
    "oversample_share": ("in 0..1", lambda value: 0 <= value <= 1),
}


@record
class Range:
    """A search range, uniform, or uniform in the logarithm with log=True; integer=True draws whole
    numbers.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What a grid declares for one model: default settings, search ranges, the numbers of its
    recipe that can be searched, and its optimizer.
    """

    hyper: Hyper = field(default_factory=dict)
    spaces: Mapping[str, Range] = field(default_factory=dict)
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    optimizer: str = "adam"


SPACES: Mapping[str, Range] = {
    "lr": Range(low=1e-5, high=1e-2, log=True),
    "gamma": Range(low=0.0, high=5.0),
    "frozen_stages": Range(low=1, high=3, integer=True),
}
DEFAULTS: Mapping[str, float] = {"lr": 1e-4, "gamma": 2.0, "frozen_stages": 2.0}
# Stochastic gradient descent takes steps a hundred times as large as Adam's: nnU-Net's is 0.01.
SPACES_BY_OPTIMIZER: Mapping[str, Mapping[str, Range]] = {
    "sgd": {"lr": Range(low=1e-3, high=1e-1, log=True)}
}
DEFAULTS_BY_OPTIMIZER: Mapping[str, Mapping[str, float]] = {"sgd": {"lr": 1e-2}}


def cell_space(
    cell: Cell, counts: ClassCounts, weights: str, given: ModelSettings
) -> dict[str, Range]:
    """The search ranges of a cell: lr, what its loss tunes, frozen_stages if the model starts from
    pretrained weights, and every other parameter of its loss or recipe for which the grid gives a
    range.

    one_minus_beta ranges from 1 / the largest to 1 / the smallest class count of the training
    split, where the weights differ (Cui et al. 2019, section 4), and excludes values at which the
    loss is the plain focal loss. Raises ValueError naming a parameter without a range.
    """
    low, high = one_minus_beta_range(counts)
    ranges = {
        **SPACES,
        **SPACES_BY_OPTIMIZER.get(given.optimizer, {}),
        "one_minus_beta": Range(low=low, high=high, log=True),
        **given.spaces,
    }
    names = tuned_names(cell, weights, given)
    if missing := [name for name in names if name not in ranges]:
        raise ValueError(
            f"cell {cell.model}, {cell.loss}, {cell.sampling}: {missing[0]} is tuned but has no "
            "range; "
            f"add one in Grid.spaces: {{'*': {{{missing[0]!r}: Range(low=..., high=...)}}}}"
        )
    found = {name: ranges[name] for name in names}
    if "one_minus_beta" in found:
        found["one_minus_beta"] = _below_plain_focal(found["one_minus_beta"], counts)
    return found


def default_hyper(
    cell: Cell, counts: ClassCounts, weights: str, given: ModelSettings
) -> dict[str, float | tuple[float, ...]]:
    """The setting of a cell's first trial. one_minus_beta is the geometric mean of the ends of its
    range.

    A default comes from the grid, this file, the recipe or the loss function. Raises ValueError
    naming a tuned parameter without a default, or one whose default is not a number.
    """
    names = tuned_names(cell, weights, given)
    middle = math.sqrt(math.prod(one_minus_beta_range(counts)))
    settable = [*names, *_of_loss(cell.loss), *given.numbers]
    known = {
        **_of_loss(cell.loss),
        **given.numbers,
        **DEFAULTS,
        **DEFAULTS_BY_OPTIMIZER.get(given.optimizer, {}),
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
                f"got {setting[name]}; set it in Grid.hyper: {{'*': {{{name!r}: ...}}}}"
            )
    return {name: value for name, value in setting.items() if value is not None}


def tuned_names(cell: Cell, weights: str, given: ModelSettings) -> tuple[str, ...]:
    """The parameters that are searched in a cell. frozen_stages is searched only if the model
    starts from pretrained weights.
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
    """The parameters of a cell that a grid can set besides the numbers of its recipe: the tuned
    ones and all other arguments of its loss.
    """
    return tuple(
        dict.fromkeys(
            ("lr", *pick(MODELS, "model", model).tuned, *LOSSES[loss].tuned, *_of_loss(loss))
        )
    )


def _of_loss(name: str) -> dict[str, float | tuple[float, ...] | None]:
    """The arguments of a loss besides the class counts, with their defaults; None for an argument
    without one.
    """
    _, *parameters = signature(pick(LOSSES, "loss", name).load()).parameters.values()
    return {one.name: None if one.default is Parameter.empty else one.default for one in parameters}


def check_setting(cell: Cell, counts: ClassCounts, setting: Hyper) -> None:
    """Raise ValueError naming the cell if a declared setting makes its class-balanced loss the
    plain focal loss.
    """
    one_minus_beta = setting.get("one_minus_beta")
    if isinstance(one_minus_beta, float) and is_plain_focal(counts, one_minus_beta):
        low, high = one_minus_beta_range(counts)
        raise ValueError(
            f"cell {cell.model}, {cell.loss}, {cell.sampling}: at "
            f"one_minus_beta={one_minus_beta:g} all class weights agree "
            f"within 1 %, which is the plain focal loss; choose a value between {low:.2g} and "
            f"{high:.2g}, or change class_unit"
        )


def _below_plain_focal(bounds: Range, counts: ClassCounts) -> Range:
    """The part of a range in which the class weights differ. They converge as one_minus_beta grows,
    so the upper end is found by bisection.
    """
    if is_plain_focal(counts, bounds.low):
        return replace(bounds, high=bounds.low)
    low, high = bounds.low, bounds.high
    while is_plain_focal(counts, high) and high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_plain_focal(counts, middle) else (middle, high)
    return replace(bounds, high=low if is_plain_focal(counts, high) else high)


def check_number(where: str, name: str, value: Any, fix: str) -> None:
    """Raise ValueError for a value that is not a finite number within the limits of its parameter;
    fix is an alternative to correcting it.
    """
    rule, fits = LIMITS.get(name, ("a number", lambda value: True))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not fits(value):
        raise ValueError(
            f"{where} must be {rule} and finite; got {value!r}; write a valid number, {fix}"
        )


def check_range(where: str, name: str, bounds: Range) -> None:
    """Raise ValueError for a range whose ends are in the wrong order, outside the limits, or
    invalid for its scale.
    """
    for end in (bounds.low, bounds.high):
        check_number(
            f"{where}: an end of the range", name, end, "or set the parameter in Grid.hyper only"
        )
        if bounds.integer and end != int(end):
            raise ValueError(
                f"{where}: the ends of an integer range must be whole numbers; got {end!r}"
            )
    if bounds.low >= bounds.high:
        raise ValueError(
            f"{where}: low must be below high; got {bounds.low:g} and {bounds.high:g}; to fix the "
            "parameter, set it in Grid.hyper instead"
        )
    if bounds.log and bounds.low <= 0:
        raise ValueError(
            f"{where}: low must be greater than 0 in a logarithmic range; got low={bounds.low:g}"
        )
