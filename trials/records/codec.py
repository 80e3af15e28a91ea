"""Records to JSON and back, and the hash that names a trial."""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from trials.records.record import LARGEST_WHOLE, TOO_DEEP, refusal, shown
from trials.storage.atomic import read_text
from trials.storage.checksum import check_checksum

T = TypeVar("T")
# How deep a value that no record describes may be nested: our own are five deep, and whoever prints
# hundreds gives up.
DEEPEST = 50
# What the sums and products over a table's rows can hold.
LARGEST = 1e100


def to_json(record: Any) -> str:
    """Write a dataclass record as canonical JSON: sorted keys, no spaces to argue about, NaN
    refused.
    """
    values = _adapter(record.__class__).dump_python(record, warnings=False)
    return json.dumps(values, sort_keys=True, indent=1, allow_nan=False)


def from_json(kind: type[T], text: str) -> T:
    """Rebuild the record that to_json wrote, with a checksum or without.

    Raises ValueError naming the key that is missing, unknown or of a wrong type, or for a text that
    its checksum does not fit.
    """
    text = check_checksum(text)
    if "NaN" in text or "Infinity" in text:
        json.loads(text, parse_constant=_refuse_constant)
    return _checked(kind, text, kind.__name__)


def rebuild(kind: Any, value: Any, where: str) -> Any:
    """Turn plain JSON values into the annotated type. Raises ValueError; where is what the value is
    called in it.
    """
    return _checked(kind, json.dumps(value), where)


def check_value(kind: Any, value: Any, where: str) -> None:
    """Raise ValueError unless a value is of the annotated type."""
    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(refusal(error, kind, where)) from None


def _checked(kind: Any, text: str, where: str) -> Any:
    try:
        return _adapter(kind).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(refusal(error, kind, where)) from None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_record(kind: type[T], path: Path, fix: str) -> T:
    """The record in a file. Raises ValueError naming the file, what is wrong with it and the way
    out.
    """
    try:
        return from_json(kind, read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {fix}") from None


def parsed(text: str) -> Any:
    """The plain values of a JSON text, with a checksum or without.

    Raises ValueError for what is no JSON or not what its checksum was made of, is nested too deep,
    or holds a key twice, half a character or NaN.
    """
    try:
        values = json.loads(
            check_checksum(text), parse_constant=_refuse_constant, object_pairs_hook=_each_once
        )
        if "\\ud" in text or "\\uD" in text:
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    return values


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} stands there twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def check_kinds(document: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first key, dotted or not, whose value is not of the type that
    kinds gives it; a key that is not there is none.
    """
    for name, kind in kinds.items():
        folder, _, key = name.rpartition(".")
        inner = document.get(folder) if folder else document
        if isinstance(inner, dict) and key in inner:
            rebuild(kind, inner[key], name)


def refuse_huge(document: Mapping[str, Any]) -> None:
    """Raise ValueError naming the key of a number with which no table can reckon, or of values that
    are nested too deep.
    """
    for name, value in document.items():
        if found := _huge_in(value, DEEPEST):
            keys, number = found
            raise ValueError(
                f"{'.'.join([name, *map(str, keys)])} is {shown(number)}, and no number of a run "
                "is as large"
                if number is not None
                else f"{name} is nested too deep"
            )


def _huge_in(value: Any, levels: int) -> tuple[list[Any], Any] | None:
    """The keys that lead to the first such number, and the number, None for what is too deep."""
    kind = type(value)
    if kind is int or kind is float:
        return None if abs(value) <= (LARGEST_WHOLE if kind is int else LARGEST) else ([], value)
    if kind is not dict and kind is not list and kind is not tuple:
        return None
    if not levels:
        return [], None
    for key, inner in value.items() if kind is dict else enumerate(value):
        if found := _huge_in(inner, levels - 1):
            return [key, *found[0]], found[1]
    return None


def record_hash(record: Any, digits: int = 12) -> str:
    """Name a record by its content: the first digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(to_json(record).encode()).hexdigest()[:digits]


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as recipes.unet3d.epochs."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        found |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        )
    return found
