"""A grid by its name or from a user's own Python file, which may add models, losses and samplings of its own."""

import difflib
import re
import sys
import types
from collections.abc import Iterable
from dataclasses import fields

from bench.grids import GRIDS, Grid, Tuning
from bench.spaces import Range
from bench.storage import on_disk
from trials.parts import unknown
from trials.spec import Cell, Preparation, Recipe

MODULE = "user_grid"


def load_grid(name: str) -> tuple[Grid, str]:
    """The grid and the text of its file, "" for a built-in one. Raises ValueError for an unknown name or not one grid."""
    if not name.endswith(".py"):
        if name not in GRIDS:
            raise ValueError(unknown("grid", name, GRIDS) + "; or the path of a .py file")
        return GRIDS[name], ""
    path = on_disk(name)
    if not path.is_file():
        raise ValueError(f"--grid {name}: no such file; built-in grids: {', '.join(sorted(GRIDS))}")
    text = path.read_text()
    return load_grid_text(text, name), text


def load_grid_text(text: str, name: str = "grid.py") -> Grid:
    """Run a grid file as the module `user_grid`, so that its parts can be named "user_grid:function", and return its one grid.

    A grid file is a program that its user trusts: it runs on the driver and on every worker.
    """
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    try:
        exec(compile(text, name, "exec"), module.__dict__)
    except Exception as error:
        raise ValueError(f"{name}{_line_of(error, name)}: {_told(error)}") from error
    grids = {id(value): value for value in vars(module).values() if isinstance(value, Grid)}
    own = [grid for grid in grids.values() if grid not in GRIDS.values()]
    if len(own) != 1:
        found = ", ".join(sorted(grid.name for grid in own)) or "none"
        raise ValueError(f"{name} must define exactly one Grid of its own; found {found}")
    return own[0]


def _told(error: Exception) -> str:
    """What went wrong in the file, and what was probably meant: a keyword of one of our records, or a name that is there."""
    text = str(error) or type(error).__name__
    if found := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text):
        kinds = {kind.__name__: kind for kind in (Grid, Cell, Recipe, Preparation, Tuning, Range)}
        if found[1] in kinds:
            return unknown(f"key of {found[1]}", found[2], [field.name for field in fields(kinds[found[1]])])
    if isinstance(error, KeyError):
        text = f"there is no key {text}"
    known: Iterable[str] = ()
    if lacking := re.search(r"cannot import name '(\w+)' from '([\w.]+)'", text):
        text, meant, known = f"{lacking[2]} has no {lacking[1]!r}", lacking[1], dir(sys.modules[lacking[2]])
    elif isinstance(error, NameError):
        meant, known = error.name, vars(sys.modules[MODULE])
    elif isinstance(error, AttributeError):
        meant, known = error.name, dir(error.obj)
    close = difflib.get_close_matches(meant, known, 1) if known else ()
    return f"{text}; did you mean {close[0]!r}?" if close else text


def _line_of(error: Exception, name: str) -> str:
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = f" line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
