"""Refuses an entry of a registry that is none, by registry and name: a grid file may have added
what it likes.
"""

from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from inspect import Parameter, signature
from pathlib import Path
from symtable import symtable
from typing import Any, get_type_hints

from trials.data.datasets.registry import DATASETS, DatasetEntry
from trials.data.sampling import SAMPLINGS
from trials.losses import LOSSES
from trials.models.registry import MODELS, ModelEntry
from trials.records.codec import rebuild
from trials.records.metrics import METRICS, MetricEntry, check_metric
from trials.records.registry import Entry

# Of each registry: its parts, their kind, and what its functions are given first.
REGISTRIES: dict[str, tuple[Mapping[str, Entry], type[Entry], tuple[str, ...]]] = {
    "MODELS": (MODELS, ModelEntry, ("in_channels", "num_classes", "width")),
    "LOSSES": (LOSSES, Entry, ("the class counts",)),
    "SAMPLINGS": (SAMPLINGS, Entry, ("the class voxels of each item", "the recipe")),
    "DATASETS": (DATASETS, DatasetEntry, ("its folder",)),
    # Its function is tried on numbers instead: what it is given, `of` names.
    "METRICS": (METRICS, MetricEntry, ()),
}
# Loading these brings torch, which no plan of trials needs: that they are there is seen in their
# text.
OUR_MODELS = "trials.models."


def check_parts() -> None:
    """Refuse whatever a registry holds besides parts whose functions can be called. Raises
    ValueError.
    """
    for registry, (parts, kind, given) in REGISTRIES.items():
        for name, part in parts.items():
            try:
                check_part(part, kind, given)
            except ValueError as error:
                raise ValueError(f"{registry}[{name!r}]: {error}") from error


def check_part(part: Any, kind: type[Entry], given: tuple[str, ...]) -> None:
    """Refuse one entry: of another kind, with a field of a wrong type, or whose function does not
    take what it is given.
    """
    if not isinstance(part, kind):
        raise ValueError(
            f"an entry must be a {kind.__name__}; got {part!r}; write "
            f"{kind.__name__}('module:function')"
        )
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.name != "target":
            rebuild(hints[field.name], getattr(part, field.name), field.name)
    if isinstance(part, ModelEntry):
        check_model(part)
    if isinstance(part, MetricEntry):
        check_metric(part)
    if str(part.target).startswith(OUR_MODELS):
        check_defined(str(part.target))
    elif not takes(part.load(), len(given)):
        raise ValueError(
            f"its function must take {', '.join(given)}; it takes {signature(part.load())}"
        )


def check_model(part: ModelEntry) -> None:
    """Refuse edges that no cube can have, and functions beside the model's own that are
    not there."""
    for target in filter(None, (part.stages, part.like)):
        if target.startswith(OUR_MODELS):
            check_defined(target)
        else:
            Entry(target).load()
    if part.dims not in (2, 3):
        raise ValueError(f"dims must be 2 or 3; got {part.dims}")
    for name, least in {"multiple": 1, "smallest": 1, "smallest_alone": 1, "width": 0}.items():
        if getattr(part, name) < least:
            raise ValueError(f"{name} must be at least {least}; got {getattr(part, name)}")


def check_defined(target: str) -> None:
    """Refuse a "module:name" whose module is not there or binds no such name; nothing is imported.
    Raises ValueError.
    """
    module, _, name = target.partition(":")
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(
            f"target {target!r} names no function (no module {module}); write 'module:function'"
        )
    symbols = symtable(
        Path(spec.origin).read_text(encoding="utf-8"), spec.origin, "exec"
    ).get_symbols()
    if name not in {
        symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()
    }:
        raise ValueError(
            f"target {target!r} names no function ({module} has no {name!r}); write "
            "'module:function'"
        )


def takes(function: Any, count: int) -> bool:
    """Whether a function can be called with that many arguments by place; True where Python cannot
    tell.
    """
    try:
        kinds = [parameter.kind for parameter in signature(function).parameters.values()]
    except (TypeError, ValueError):
        return True
    by_place = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return Parameter.VAR_POSITIONAL in kinds or sum(kind in by_place for kind in kinds) >= count
