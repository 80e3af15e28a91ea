"""Where code stands in the text it was made from: a function's or a module's source without
comments, and the names it uses.

Standard library only.
"""

import ast
import dis
import functools
import hashlib
import json
import linecache
import sys
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Under this name a module that was made from a text, such as a grid file, keeps the text.
TEXT = "__segbench_text__"
OURS = ("trials", "bench", "reports")
INSTALLED = {"site-packages", "dist-packages"}
LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
# Classes do not know the line they stand in.
CLASS_LINE = 0
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


def hashed(texts: Sequence[str]) -> str:
    """One digest of several texts, whatever they hold."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def is_ours(module: str) -> bool:
    """Whether a module belongs to this project, whose own digest and version cover it."""
    return module.partition(".")[0] in OURS


def is_users(module: str) -> bool:
    """Whether a module is a grid file or another file of the user's: not ours, of the standard
    library or installed.
    """
    found = sys.modules.get(module)
    if found is None or is_ours(module) or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    file = getattr(found, "__file__", None)
    return TEXT in vars(found) or (file is not None and not INSTALLED & set(Path(file).parts))


def is_dunder(name: str) -> bool:
    """Whether Python itself gives a name its meaning."""
    return name.startswith("__") and name.endswith("__")


def is_written(name: str, value: Any) -> bool:
    """Whether a class's member was written in its source, or has a name of its own: not what Python
    or a decorator added.
    """
    return not is_dunder(name) or (isinstance(value, types.FunctionType) and bool(nodes_of(value)))


def text_of(module: types.ModuleType) -> str:
    """The text that a module was made from, "" where there is none."""
    file = getattr(module, "__file__", None) or ""
    return vars(module).get(TEXT) or (
        "".join(linecache.getlines(file)) if file.endswith(".py") else ""
    )


def plain_source(module: types.ModuleType) -> str:
    """A module's source without comments and docstrings; of one that is compiled the digest of its
    file.
    """
    if text := text_of(module):
        return ast.unparse(parsed(text))
    file = Path(getattr(module, "__file__", None) or "")
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def source_of(function: types.FunctionType) -> str:
    """A function's source without comments and docstring; its bytecode where there is no source."""
    nodes = nodes_of(function)
    return "\n".join(map(ast.unparse, nodes)) if nodes else bytecode(function.__code__)


def nodes_of(function: types.FunctionType) -> Sequence[Definition]:
    """Where a function stands in the text it was compiled from: several for lambdas of one line,
    none for generated ones.
    """
    code, values = function.__code__, function.__globals__
    is_in_text = TEXT in values and code.co_filename == values.get("__file__")
    text = values[TEXT] if is_in_text else "".join(linecache.getlines(code.co_filename))
    return definitions(text).get((code.co_name, code.co_firstlineno), ())


@functools.lru_cache(maxsize=32)
def definitions(text: str) -> Mapping[tuple[str, int], Sequence[Definition]]:
    """Every function of a text by its name and first line, and every class by its name; none for a
    text that is no Python.
    """
    found: dict[tuple[str, int], list[Definition]] = defaultdict(list)
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name, min(one.lineno for one in (node, *node.decorator_list))].append(node)
        elif isinstance(node, ast.Lambda):
            found["<lambda>", node.lineno].append(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name, CLASS_LINE].append(node)
    return found


def parsed(text: str) -> ast.Module:
    """A text's tree without docstrings; an empty one for a text that is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and ast.get_docstring(node, False):
            node.body[:1] = (
                [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass()]
            )
    return tree


def names_in_body(node: ast.ClassDef) -> Iterator[str]:
    """The names that a class takes from its module outside its methods: in decorators, and for the
    values of its fields.
    """
    plain = [
        one
        for one in node.body
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for part in (*node.decorator_list, *plain):
        yield from (one.id for one in ast.walk(part) if isinstance(one, ast.Name))


def global_names(code: types.CodeType) -> set[str]:
    """The names that a function takes from its module, those of the functions inside it
    among them."""
    names = {str(one.argval) for one in dis.get_instructions(code) if one.opname in LOADS}
    return names.union(
        *(global_names(one) for one in code.co_consts if isinstance(one, types.CodeType))
    )


def bytecode(code: types.CodeType) -> str:
    """What Python runs of a function, in this version of Python."""
    return hashed(
        [code.co_code.hex(), *code.co_names, *code.co_varnames, *map(_constant, code.co_consts)]
    )


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return bytecode(value)
    # The order of a set of texts is another one in each process.
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
