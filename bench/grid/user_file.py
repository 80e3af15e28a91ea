"""A grid by its name or from a user's own Python file, which may add models, losses and samplings
of its own.
"""

import ast
import difflib
import linecache
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

# Loaded before a grid file adds to the registries: it tells the file's parts from ours.
import trials.identity.code_identity  # noqa: F401
from bench import grids
from bench.grid.validate import check_entries
from bench.grids import GRIDS, Cell, Cube, Grid, Range, Recipe, Tuning
from trials.identity.source_text import TEXT
from trials.records.comparisons import Family
from trials.records.registry import unknown
from trials.storage.probe import to_local_path

MODULE = "user_grid"
ROOMS = ("bench", "trials", "reports")
# What a grid file makes of ours: a field of one of them is told with all that there are.
RECORDS = (Grid, Cell, Recipe, Cube, Tuning, Family, Range)


def load_grid(name: str) -> tuple[Grid, str]:
    """The grid and the text of its file, "" for a built-in one. Raises ValueError for an unknown
    name or not one grid.
    """
    if not name.endswith(".py"):
        if name not in GRIDS:
            raise ValueError(unknown("grid", name, GRIDS) + "; or the path of a .py file")
        return GRIDS[name], ""
    path = to_local_path(name)
    if not path.is_file():
        raise ValueError(f"--grid {name}: no such file; built-in grids: {', '.join(sorted(GRIDS))}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is no text in UTF-8 (byte {error.start}); name a Python file that defines one "
            "Grid"
        ) from None
    return load_grid_text(text, name), text


def load_grid_text(text: str, name: str = "grid.py") -> Grid:
    """Run a grid file as the module `user_grid`, so that its parts can be named
    "user_grid:function", and return its one grid.

    A grid file is a program that its user trusts: it runs on the driver and on every worker.
    """
    module = types.ModuleType(MODULE)
    module.__file__ = name
    # What a trial's parts are made of is read from the text that was run, whatever becomes of its
    # file meanwhile.
    vars(module)[TEXT] = text
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    sys.modules[MODULE] = module
    try:
        exec(compile(text, name, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{name}{_line_of(error, name)}: {_told(error, name, text)}") from error
    found = {id(value): value for value in vars(module).values() if isinstance(value, Grid)}
    own = [grid for grid in found.values() if grid not in GRIDS.values()]
    if len(own) != 1:
        names = ", ".join(sorted(grid.name for grid in own)) or "none"
        raise ValueError(f"{name} must define exactly one Grid of its own; found {names}")
    return own[0]


def load_own_parts(name: str | None) -> None:
    """Add what a grid file adds to the registries; nothing for None. Raises ValueError for an entry
    that is none.
    """
    if name:
        load_grid(name)
        check_entries()


def _told(error: BaseException, name: str, text: str) -> str:
    """What went wrong in the file, in one line, and what was probably meant: a key that is there,
    or a name that is known.
    """
    told = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, SystemExit):
        return (
            f"it leaves by sys.exit({error.code!r}); a grid file defines one Grid and comes to "
            "its end"
        )
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.msg
    if isinstance(error, AttributeError) and type(error.obj) in RECORDS:
        return unknown(f"key of {type(error.obj).__name__}", error.name, _fields(type(error.obj)))
    if isinstance(error, KeyError) and error.args:
        where, known = _looked_into(text, error.args[0])
        return (
            unknown(f"key of {where}", error.args[0], known) if known else f"there is no key {told}"
        )
    if isinstance(error, ImportError):
        return _not_imported(error, told)
    if isinstance(error, NameError):
        return told + _meant(error.name, vars(sys.modules[MODULE]))
    return told + (_meant(error.name, dir(error.obj)) if isinstance(error, AttributeError) else "")


def _not_imported(error: ImportError, told: str) -> str:
    """A module or a name that is not there; of one of ours, where all that a grid file needs is."""
    module = error.name or ""
    lacking = re.search(r"cannot import name '(\w+)'", told)
    if module == grids.__name__ and lacking:
        told = f"{module} has no {lacking[1]!r}{_meant(lacking[1], grids.__all__)}"
        return f"{told}; known: {', '.join(grids.__all__)}"
    if module.partition(".")[0] not in ROOMS:
        return told
    what = f"{module} has no {lacking[1]!r}" if lacking else f"there is no module {module}"
    return f"{what}; a grid file imports from {grids.__name__} alone: {', '.join(grids.__all__)}"


def _meant(name: str | None, known: Iterable[str]) -> str:
    """The name that was probably meant, among those that there are."""
    close = difflib.get_close_matches(name, known, 1) if name else ()
    return f"; did you mean {close[0]!r}?" if close else ""


def _fields(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _looked_into(text: str, key: object) -> tuple[str, list[object]]:
    """How the file writes the mapping in which it looked a key up, and the keys which that has;
    none where it is no name.
    """
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and node.slice.value == key
        ):
            found = _value_of(node.value)
            if isinstance(found, Mapping) and key not in found:
                return ast.unparse(node.value), list(found)
    return "", []


def _value_of(node: ast.expr) -> Any:
    """What a name of the file, or an attribute of one, stands for; None for any other
    expression."""
    if isinstance(node, ast.Name):
        return vars(sys.modules[MODULE]).get(node.id)
    return (
        getattr(_value_of(node.value), node.attr, None) if isinstance(node, ast.Attribute) else None
    )


def _line_of(error: BaseException, name: str) -> str:
    if isinstance(error, SyntaxError) and error.filename == name:
        return f" line {error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = f" line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
