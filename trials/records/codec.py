"""Records to JSON and back, and the hash that names a trial. Standard library only."""

import dataclasses
import functools
import hashlib
import json
import reprlib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from trials.storage.atomic import is_there, read_text
from trials.storage.checksum import check_checksum

T = TypeVar("T")
RECORD = object()
TOO_DEEP = "its values are nested too deep"
# How deep a value that no record describes may be nested: our own are five deep, and whoever prints
# hundreds gives up.
DEEPEST = 50
# What a table of 64-bit integers and the sums and products over its rows can hold.
LARGEST_WHOLE, LARGEST = 2**53, 1e100
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 100
SHORT.maxdict = 8


def to_json(record: Any) -> str:
    """Write a dataclass record as canonical JSON: sorted keys, no spaces to argue about, NaN
    refused.
    """
    return json.dumps(dataclasses.asdict(record), sort_keys=True, indent=1, allow_nan=False)


def from_json(kind: type[T], text: str) -> T:
    """Rebuild the record that to_json wrote, add_checksum or not.

    Raises ValueError naming the key that is missing, unknown or of a wrong type, or for a text that
    its seal does not fit.
    """
    return rebuild(kind, parsed(text), kind.__name__)


def read_record(kind: type[T], path: Path, fix: str) -> T:
    """The record in a file. Raises ValueError naming the file, what is wrong with it and the way
    out.
    """
    try:
        return from_json(kind, read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {fix}") from None


def parsed(text: str) -> Any:
    """The plain values of a JSON text, add_checksum or not; every file that we read goes through
    here.

    Raises ValueError for what is no JSON or not what was add_checksum, is nested too deep, or holds
    half a character or NaN.
    """
    try:
        values = json.loads(check_checksum(text), parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def shown(value: Any) -> str:
    """A foreign value in an error: cut where it is long, and where it is deep."""
    return SHORT.repr(value)


def read_document(
    path: Path, kinds: Mapping[str, Any], needed: Sequence[str] = ()
) -> dict[str, Any]:
    """A run folder's JSON file as it is: a mapping with the needed keys, in which each key that
    kinds names is of its type.

    A key may be dotted. Raises ValueError naming file and key.
    """
    if not is_there(path):
        raise ValueError(f"{path} does not exist; name the folder that a run wrote")
    try:
        document = parsed(read_text(path))
        if not isinstance(document, dict):
            raise ValueError(f"it must be a mapping; got {shown(document)}")
        refuse_huge(document)
        check_kinds(document, kinds, needed)
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); run the grid again to rewrite it"
        ) from None
    return document


def check_kinds(
    document: Mapping[str, Any], kinds: Mapping[str, Any], needed: Sequence[str] = ()
) -> None:
    """Raise ValueError naming the key, dotted or not, that is needed and not there, or not of the
    type that kinds gives it.
    """
    for name in (*needed, *kinds):
        folder, _, key = name.rpartition(".")
        inner = document.get(folder) if folder else document
        if isinstance(inner, dict) and key in inner:
            rebuild(kinds.get(name, object), inner[key], name)
        elif name in needed:
            raise ValueError(f"it has no {name!r}")


def refuse_huge(value: Any) -> None:
    """Raise ValueError naming the key of a number with which no table can reckon, or for values
    nested too deep to look.
    """
    try:
        found = _huge_in(value)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if found:
        raise ValueError(
            f"{'.'.join(map(str, found[0]))} is {shown(found[1])}, beyond every number of ours"
        )


def _huge_in(value: Any) -> tuple[list[Any], Any] | None:
    """The keys that lead to the first such number, and the number."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        kind = type(inner)
        if kind is dict or kind is list:
            if found := _huge_in(inner):
                return [key, *found[0]], found[1]
        elif (kind is int or kind is float) and not abs(inner) <= (
            LARGEST_WHOLE if kind is int else LARGEST
        ):
            return [key], inner
    return None


def record_hash(record: Any, digits: int = 12) -> str:
    """Name a record by its content: the first digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(to_json(record).encode()).hexdigest()[:digits]


def rebuild(kind: Any, value: Any, where: str) -> Any:
    """Turn plain JSON values into the annotated type: records, tuples, mappings, optionals and
    scalars.
    """
    if type(value) in _as_they_are(kind):
        return value
    origin, args = _anatomy(kind)
    if origin is RECORD:
        return _rebuild_record(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _rebuild_union(args, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} must be a list; got {shown(value)}")
        inner = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(inner) != len(value):
            raise ValueError(f"{where} must hold {len(inner)} values; got {shown(value)}")
        return tuple(
            rebuild(item, element, f"{where}[{i}]")
            for i, (item, element) in enumerate(zip(inner, value, strict=True))
        )
    if origin is Mapping or origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} must be a mapping; got {shown(value)}")
        plain = _as_they_are(args[1])
        return {
            args[0](key): element
            if type(element) in plain
            else rebuild(args[1], element, f"{where}.{key}")
            for key, element in value.items()
        }
    if kind in (Any, object):
        return _not_too_deep(value, where, DEEPEST)
    if (
        kind is float
        and isinstance(value, int)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    ):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where} must be {kind.__name__}; got {shown(value)}")
    return value


def _not_too_deep(value: Any, where: str, levels: int) -> Any:
    """A value that no record describes, as it is."""
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError(f"{where} is nested too deep")
        for inner in value.values() if isinstance(value, dict) else value:
            _not_too_deep(inner, where, levels - 1)
    return value


def _rebuild_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a {kind.__name__}; got {shown(value)}")
    hints = _type_hints(kind)
    if not value.keys() <= hints.keys():
        unknown = sorted(value.keys() - hints.keys())
        raise ValueError(f"{where} has unknown key {shown(unknown[0])}; known: {', '.join(hints)}")
    plain = _plain_fields(kind)
    built = {
        name: element
        if type(element) in plain[name]
        else rebuild(hints[name], element, f"{where}.{name}")
        for name, element in value.items()
    }
    try:
        return kind(**built)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None


@functools.cache
def _as_they_are(kind: Any) -> frozenset[Any]:
    """The types whose values an annotation takes unchanged: nearly all of a large run's values,
    which need no further look.
    """
    origin, args = _anatomy(kind)
    return frozenset(args if origin in (typing.Union, types.UnionType) else (kind,))


@functools.cache
def _anatomy(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation's origin and arguments; RECORD for a dataclass. Kept, since a large run asks a
    million times.
    """
    return (RECORD if dataclasses.is_dataclass(kind) else typing.get_origin(kind)), typing.get_args(
        kind
    )


@functools.cache
def _type_hints(kind: Any) -> dict[str, Any]:
    """The annotation of every field of a dataclass, in their order."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def _plain_fields(kind: Any) -> dict[str, frozenset[Any]]:
    """_as_they_are of every field of a dataclass."""
    return {name: _as_they_are(hint) for name, hint in _type_hints(kind).items()}


def _rebuild_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others:
        try:
            return rebuild(kind, value, where)
        except ValueError as error:
            refusal = error
    if len(others) > 1 and not isinstance(value, dict | list | tuple):
        raise ValueError(
            f"{where} must be {' or '.join(_type_name(kind) for kind in others)}; got "
            f"{shown(value)}"
        )
    raise refusal


def _type_name(kind: Any) -> str:
    return getattr(typing.get_origin(kind) or kind, "__name__", str(kind))
