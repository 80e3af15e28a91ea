"""A digest of a live object: its source without comments, defaults, closures, values and everything
it refers to.

It is equal across processes and machines: no address, hash seed or file name is part of it.
Standard library only.
"""

import ast
import copyreg
import hashlib
import sys
import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from trials.identity.source_text import (
    CLASS_LINE,
    TEXT,
    definitions,
    global_names,
    hash_texts,
    is_dunder,
    is_ours,
    is_users,
    is_written,
    names_in_body,
    plain_source,
    source_of,
    text_of,
)
from trials.records.registry import Entry

PLAIN_TYPES = (type(None), bool, int, float, complex, str, bytes, type(...))


class DigestBuilder:
    """Digests an object and everything it refers to, each object once."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._done: dict[int, str] = {}
        # Keeps temporary objects alive, so that their ids are not reused.
        self._alive: list[Any] = []

    def of(self, value: Any) -> str:
        """A plain value's repr, or any other object's digest; a reference back to an enclosing
        object is given by name.
        """
        if type(value) in PLAIN_TYPES:
            return f"{type(value).__name__} {value!r}"
        key = id(value)
        if key in self._open:
            return f"again {name_of(value)}"
        if key not in self._done:
            self._alive.append(value)
            self._open.add(key)
            self._done[key] = hash_texts(self._describe(value))
            self._open.remove(key)
        return self._done[key]

    def all(self, values: Any) -> list[str]:
        """The digest of each value."""
        return [self.of(value) for value in values]

    def _describe(self, value: Any) -> list[str]:
        kind = type(value)
        if isinstance(value, types.ModuleType):
            return self.module(value) if is_users(value.__name__) else ["module", value.__name__]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, Entry):
            return self._part(value)
        if kind in (list, tuple):
            return [kind.__name__, *self.all(value)]
        if kind in (set, frozenset):
            return [kind.__name__, *sorted(self.all(value))]
        if kind in (dict, types.MappingProxyType):
            return ["mapping", *(text for pair in value.items() for text in self.all(pair))]
        if isinstance(value, staticmethod | classmethod):
            return [kind.__name__, self.of(value.__func__)]
        if isinstance(value, property):
            return ["property", *self.all((value.fget, value.fset, value.fdel))]
        return tensor(value) or self._instance(value)

    def _function(self, function: types.FunctionType) -> list[str]:
        module = str(function.__globals__.get("__name__"))
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        closure = [text for name, cell in cells.items() for text in (name, self._content(cell))]
        if not is_users(module):
            return ["function", f"{module}.{function.__qualname__}", *closure]
        parts = ["function", source_of(function), *closure]
        parts += self.all((function.__defaults__, function.__kwdefaults__, vars(function)))
        return parts + self._context(module, global_names(function.__code__), function.__globals__)

    def _class(self, kind: type) -> list[str]:
        if not is_users(kind.__module__):
            return ["class", name_of(kind)]
        found = definitions(text_of(sys.modules[kind.__module__])).get(
            (kind.__name__, CLASS_LINE), ()
        )
        members = sorted(
            (name, value) for name, value in vars(kind).items() if is_written(name, value)
        )
        parts = [
            "class",
            kind.__name__,
            *map(ast.unparse, found),
            *self.all((type(kind), *kind.__bases__)),
        ]
        parts += [text for name, value in members for text in (name, self.of(value))]
        names = {
            name for node in found if isinstance(node, ast.ClassDef) for name in names_in_body(node)
        }
        return parts + self._context(kind.__module__, names, vars(sys.modules[kind.__module__]))

    def _context(self, module: str, names: set[str], values: Mapping[str, Any]) -> list[str]:
        """What code in a grid file uses from that file, by these names; for code in another user
        module, the whole module.
        """
        if TEXT not in values:
            return [self.of(sys.modules[module])] if module in sys.modules else []
        known = sorted(name for name in names if name in values and not is_dunder(name))
        return [text for name in known for text in (name, self.of(values[name]))]

    def _content(self, cell: types.CellType) -> str:
        try:
            return self.of(cell.cell_contents)
        except ValueError:  # not filled yet
            return "empty"

    def _part(self, part: Entry) -> list[str]:
        """A registry entry: its function and numbers, without its description."""
        parts = []
        for field in fields(part):
            value = getattr(part, field.name)
            is_target = field.name == "target" or (isinstance(value, str) and ":" in value)
            if field.name != "about":
                parts += [field.name, *(self._target(value) if is_target else self.all((value,)))]
        return parts

    def _target(self, target: Any) -> list[str]:
        """The function that an entry names, with its module if that is installed; for a built-in
        function only the name.
        """
        if isinstance(target, str) and is_ours(target.partition(":")[0]):
            return [target]
        try:
            found = Entry(target).load()
        except ValueError:
            return [f"{target} is not there"]
        home = home_of(found) if isinstance(found, types.FunctionType | type) else ""
        is_installed = home in sys.modules and not is_ours(home) and not is_users(home)
        return [self.of(found), *(self.module(sys.modules[home]) if is_installed else ())]

    def _instance(self, value: Any) -> list[str]:
        """Any other object, by what pickle would store; if it cannot be pickled, by its class and
        attributes.
        """
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced = reduce(value) if reduce else value.__reduce_ex__(2)
        except Exception:  # a foreign class may raise anything
            return ["object", self.of(type(value)), self.of(getattr(value, "__dict__", None))]
        if isinstance(reduced, str):
            return ["object", name_of(value), reduced, self.of(getattr(value, "__wrapped__", None))]
        made, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        return ["made", *self.all((made, arguments, state, *(items or ()), *(pairs or ())))]

    def module(self, module: types.ModuleType) -> list[str]:
        """A module's source, and the user modules that its names come from."""
        homes = {home_of(value) for value in list(vars(module).values())} - {module.__name__}
        others = sorted(home for home in homes if is_users(home))
        return [
            "module",
            module.__name__,
            plain_source(module),
            *self.all(sys.modules[home] for home in others),
        ]


def tensor(value: Any) -> list[str]:
    """Type, shape and bytes of a torch tensor; empty for any other value."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return []
    content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return [str(value.dtype), str(tuple(value.shape)), hashlib.sha256(content).hexdigest()]


def home_of(value: Any) -> str:
    """The module in which a value was defined; "" if unknown."""
    found = (
        value.__name__
        if isinstance(value, types.ModuleType)
        else getattr(value, "__module__", None)
    )
    return found if isinstance(found, str) else ""


def name_of(value: Any) -> str:
    """Module and qualified name of a function or class, or of an object's class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}"
