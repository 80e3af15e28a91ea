"""A built-in grid by its name, or a grid from a user's Python file, which can register models,
losses and samplings of its own.
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

# Imported before a grid file adds to the registries: it distinguishes built-in entries from those
# of the file.
import trials.identity.code_identity  # noqa: F401
from bench import grids
from bench.grid.validate import check_entries
from bench.grids import GRIDS, Cell, Cube, Grid, Range, Recipe, Tuning
from trials.identity.source_text import TEXT
from trials.records.questions import Question
from trials.records.registry import unknown
from trials.storage.foreign_text import read_foreign_text
from trials.storage.probe import to_local_path

MODULE = "user_grid"
ROOMS = ("bench", "trials", "reports")
# The records that a grid file creates: an error about a field of one of them lists all fields.
_HELPER_FOLDERS: list[str] = []
RECORDS = (Grid, Cell, Recipe, Cube, Tuning, Question, Range)


def load_grid(name: str) -> tuple[Grid, str]:
    """The grid and the text of its file, "" for a built-in one. Raises ValueError for an unknown
    name, or a file that does not define exactly one grid.
    """
    if not name.endswith(".py"):
        if name not in GRIDS:
            raise ValueError(unknown("grid", name, GRIDS) + "; or the path of a .py file")
        return GRIDS[name], ""
    path = to_local_path(name)
    if not path.is_file():
        raise ValueError(f"--grid {name}: no such file; built-in grids: {', '.join(sorted(GRIDS))}")
    try:
        text = read_foreign_text(path)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        # Behind our own: a helper must not hide a package of this project.
        sys.path.append(folder)
        _HELPER_FOLDERS.append(folder)
    return load_grid_text(text, name), text


def helper_folders() -> tuple[str, ...]:
    """The folders of the grid files of this process, from which they may import helper modules."""
    return tuple(_HELPER_FOLDERS)


def load_grid_text(text: str, name: str = "grid.py") -> Grid:
    """Execute a grid file as the module `user_grid`, so that its parts can be named
    "user_grid:function", and return its only grid.

    The user trusts this file like any program: it runs on the driver and on every worker.
    """
    module = types.ModuleType(MODULE)
    module.__file__ = name
    # The code of a trial is identified by the text that ran, even if its file changes later.
    vars(module)[TEXT] = text
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    sys.modules[MODULE] = module
    try:
        exec(compile(text, name, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{name}{_line_of(error, name)}: {_error_text(error, name, text)}"
        ) from error
    found = {id(value): value for value in vars(module).values() if isinstance(value, Grid)}
    own = [grid for grid in found.values() if grid not in GRIDS.values()]
    if len(own) != 1:
        names = ", ".join(sorted(grid.name for grid in own)) or "none"
        raise ValueError(f"{name} must define exactly one Grid of its own; found {names}")
    return own[0]


def load_own_parts(name: str | None) -> None:
    """Execute a grid file for its registry entries; does nothing for None. Raises ValueError for an
    invalid entry.
    """
    if name:
        load_grid(name)
        check_entries()


def _error_text(error: BaseException, name: str, text: str) -> str:
    """The error of a grid file in one line, with the key or the name that was probably meant."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, SystemExit):
        return (
            f"it calls sys.exit({error.code!r}); a grid file must define one Grid and run to "
            "its end"
        )
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.msg
    if isinstance(error, AttributeError) and type(error.obj) in RECORDS:
        return unknown(f"key of {type(error.obj).__name__}", error.name, _fields(type(error.obj)))
    if isinstance(error, KeyError) and error.args:
        where, known = _find_mapping(text, error.args[0])
        return (
            unknown(f"key of {where}", error.args[0], known)
            if known
            else f"there is no key {message}"
        )
    if isinstance(error, ImportError):
        return _import_error_text(error, message)
    if isinstance(error, NameError):
        return message + _suggestion(error.name, vars(sys.modules[MODULE]))
    return message + (
        _suggestion(error.name, dir(error.obj)) if isinstance(error, AttributeError) else ""
    )


def _import_error_text(error: ImportError, message: str) -> str:
    """The text of an import error; for a segbench module it lists the names that a grid file can
    import.
    """
    module = error.name or ""
    missing = re.search(r"cannot import name '(\w+)'", message)
    if module == grids.__name__ and missing:
        message = f"{module} has no {missing[1]!r}{_suggestion(missing[1], grids.__all__)}"
        return f"{message}; known: {', '.join(grids.__all__)}"
    if module.partition(".")[0] not in ROOMS:
        return message
    what = f"{module} has no {missing[1]!r}" if missing else f"there is no module {module}"
    return f"{what}; a grid file can import from {grids.__name__}: {', '.join(grids.__all__)}"


def _suggestion(name: str | None, known: Iterable[str]) -> str:
    """A hint with the known name that was probably meant; "" if none is close."""
    close = difflib.get_close_matches(name, known, 1) if name else ()
    return f"; did you mean {close[0]!r}?" if close else ""


def _fields(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _find_mapping(text: str, key: object) -> tuple[str, list[object]]:
    """The mapping in which the file looked up a missing key, as source text, and its keys; empty if
    it is not a name.
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
    """The value of a name in the file, or of an attribute of one; None for any other expression."""
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
