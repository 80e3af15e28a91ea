"""What a record is: a frozen dataclass whose values are checked when one is made, and refused in
one line.
"""

import dataclasses
import functools
import re
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import core_schema

from trials.records.registry import unknown

T = TypeVar("T")
CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
# What a table of 64-bit integers and the sums over its rows can hold.
LARGEST_WHOLE = 2**53
Count = Annotated[int, Field(ge=0, le=LARGEST_WHOLE)]
Amount = Annotated[float, Field(ge=0, le=LARGEST_WHOLE)]
TOO_DEEP = "its values are nested too deep"
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 100
SHORT.maxdict = 8
WORDS = {
    "int_type": "int",
    "float_type": "float",
    "string_type": "str",
    "bool_type": "bool",
    "mapping_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
}
BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
POSITIONAL = "unexpected_positional_argument"
# How pydantic names the members of a union in the place of an error.
MEMBER = re.compile(r"(int|float|str|bool)|`?(tuple|list|dict|Mapping)\[.*\]`?")


class OneOf:
    """Of a field's annotation: the only words that it takes."""

    def __init__(self, *words: str):
        self.words = words

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.literal_schema([*self.words])


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
def record(kind: type[T]) -> type[T]:
    """Make a class a record: a frozen dataclass with keyword arguments, whose constructor raises
    ValueError for a value that its field does not allow.
    """
    made = dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)(kind)
    check = made.__init__

    @functools.wraps(check)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            check(self, *args, **values)
        except ValidationError as error:
            raise ValueError(refusal(error, made, made.__name__)) from None

    made.__init__ = init  # type: ignore[method-assign]
    return cast(type[T], made)


def shown(value: Any) -> str:
    """A foreign value in an error: cut where it is long, and where it is deep."""
    return SHORT.repr(value)


def refusal(error: ValidationError, kind: Any, where: str) -> str:
    """The first thing that is wrong with a value that was to be of a kind, in one line; where is
    what the value is called.
    """
    errors = error.errors(include_url=False)
    # A key that is spelled wrong is lacking too: the one that came says more.
    first = next((one for one in errors if one["type"] in (*UNKNOWN, POSITIONAL)), errors[0])
    what, keys, found = first["type"], without_tags(kind, first["loc"]), first["input"]
    members = [i for i, key in enumerate(keys) if isinstance(key, str) and MEMBER.fullmatch(key)]
    place = placed(where, keys[: members[0]] if members else keys)
    if what == POSITIONAL:
        return f"{where} takes values by name alone: {', '.join(fields_of(kind))}"
    if what == "missing":
        lacking = [one["loc"][-1] for one in errors if one["type"] == what]
        return f"{placed(where, keys[:-1])} lacks {', '.join(map(repr, lacking))}"
    if what in UNKNOWN:
        holder = kind_at(kind, keys[:-1])
        return unknown(f"key of {placed(where, keys[:-1])}", keys[-1], fields_of(holder))
    if what == "literal_error":
        return unknown(place, found, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    if what == "union_tag_invalid":
        tags = re.findall(r"'([^']*)'", first["ctx"]["expected_tags"])
        return unknown(f"{place}.kind", first["ctx"]["tag"], tags)
    if what == "model_attributes_type":
        names = [f"a {one.__name__}" for one in members_at(kind, keys)]
        return f"{place} must be {' or '.join(names)}; got {shown(found)}"
    if what == "value_error":
        return f"{place}{' ' if keys else ': '}{first['ctx']['error']}"
    if what == "json_invalid":
        reason = first["ctx"]["error"]
        return TOO_DEEP if "recursion" in reason else f"it is no JSON: {reason}"
    if members:
        kinds = dict.fromkeys(
            str(one["loc"][members[0]]).strip("`").partition("[")[0] for one in errors
        )
        return f"{place} must be {' or '.join(kinds)}; got {shown(found)}{quotes(found)}"
    if keys and keys[-1] == "[key]":
        place = f"a key of {placed(where, keys[:-2])}"
    return f"{place} must be {rule(first)}; got {shown(found)}{quotes(found)}"


def rule(error: Any) -> str:
    """What a value should have been, in words."""
    what = error["type"]
    if what in BOUNDS:
        word, key = BOUNDS[what]
        return f"{word} {error['ctx'][key]}".removesuffix(".0")
    if what == "tuple_type":
        return "a list" if "array" in error["msg"] else "a tuple"
    if what in ("dataclass_type", "dataclass_exact_type"):
        return f"a {error['ctx']['class_name']}"
    told = error["msg"]
    return WORDS.get(what) or told.removeprefix("Input should ").removeprefix("be ")


def quotes(found: object) -> str:
    """The fix for a number that came as text."""
    is_number = isinstance(found, str) and re.fullmatch(r"[\d.eE+-]+", found)
    return f"; write {found} without quotes" if is_number else ""


def placed(where: str, keys: tuple[int | str, ...]) -> str:
    """A value's name: where.key[0]."""
    return where + "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys if key != "[key]"
    )


def kind_at(kind: Any, keys: tuple[int | str, ...]) -> Any:
    """The record that lies at these keys of a kind; None where no record does."""
    return next(iter(members_at(kind, keys)), None)


def members_at(kind: Any, keys: tuple[int | str, ...]) -> list[Any]:
    """The records of which one lies at these keys of a kind."""
    for key in keys:
        kind = one_step(kind, key)
    return [one for one in members_of(kind) if dataclasses.is_dataclass(one)]


def one_step(kind: Any, key: int | str) -> Any:
    """The kind of what lies at a key of a kind, None where nothing does."""
    inside = [inner(one, key) for one in members_of(kind)]
    return next((one for one in inside if one is not None), None)


def without_tags(kind: Any, keys: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The place of an error without the names by which pydantic tells the records of a union
    apart.
    """
    kept: list[int | str] = []
    for key in keys:
        tagged = {tag_of(one): one for one in members_of(kind) if dataclasses.is_dataclass(one)}
        if len(tagged) > 1 and key in tagged:
            kind = tagged[key]
        else:
            kept.append(key)
            kind = one_step(kind, key)
    return tuple(kept)


def tag_of(kind: Any) -> Any:
    """The `kind` by which a record of a union is told from the others."""
    return next((one.default for one in dataclasses.fields(kind) if one.name == "kind"), None)


def members_of(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the kind alone."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def inner(kind: Any, key: int | str) -> Any:
    """The kind of what a record, a tuple or a mapping holds at a key, None for anything else."""
    if dataclasses.is_dataclass(kind):
        return typing.get_type_hints(kind).get(str(key))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(key, int):
        return args[0] if args[-1] is Ellipsis else args[key]
    return args[1] if origin in (Mapping, dict) else None


def fields_of(kind: Any) -> list[str]:
    """The names of a record's fields, in their order."""
    return [field.name for field in dataclasses.fields(kind)] if kind else []
