"""The source of a function or module without comments, found in the text it was compiled from, and
the names it uses.

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

# A module that was compiled from a text, such as a grid file, stores the text under this name.
TEXT = "__segbench_text__"
OURS = ("trials", "bench", "reports")
INSTALLED = {"site-packages", "dist-packages"}
LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
# A class does not know its line.
CLASS_LINE = 0
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


def hash_texts(texts: Sequence[str]) -> str:
    """One SHA-256 of several texts, unambiguous about where each ends."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def is_ours(module: str) -> bool:
    """Whether a module belongs to this project; the project's own digest and version cover it."""
    return module.partition(".")[0] in OURS


def is_users(module: str) -> bool:
    """Whether a module is a grid file or another user file: not part of this project, the standard
    library or an installed package.
    """
    found = sys.modules.get(module)
    if found is None or is_ours(module) or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    file = getattr(found, "__file__", None)
    return TEXT in vars(found) or (file is not None and not INSTALLED & set(Path(file).parts))


def is_dunder(name: str) -> bool:
    """Whether a name is reserved by Python, as __name__ is."""
    return name.startswith("__") and name.endswith("__")


def is_written(name: str, value: Any) -> bool:
    """Whether a class member was written in the source, not added by Python or a decorator."""
    return not is_dunder(name) or (isinstance(value, types.FunctionType) and bool(nodes_of(value)))


def text_of(module: types.ModuleType) -> str:
    """The text that a module was compiled from, "" if there is none."""
    file = getattr(module, "__file__", None) or ""
    return vars(module).get(TEXT) or (
        "".join(linecache.getlines(file)) if file.endswith(".py") else ""
    )


def plain_source(module: types.ModuleType) -> str:
    """A module's source without comments and docstrings; for an extension module, the digest of its
    file.
    """
    if text := text_of(module):
        return ast.unparse(parse_source(text))
    file = Path(getattr(module, "__file__", None) or "")
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def source_of(function: types.FunctionType) -> str:
    """A function's source without comments and docstring; its bytecode if there is no source."""
    nodes = nodes_of(function)
    return "\n".join(map(ast.unparse, nodes)) if nodes else bytecode(function.__code__)


def nodes_of(function: types.FunctionType) -> Sequence[Definition]:
    """A function's nodes in the text it was compiled from: several for lambdas on one line, none
    for a generated function.
    """
    code, values = function.__code__, function.__globals__
    is_in_text = TEXT in values and code.co_filename == values.get("__file__")
    text = values[TEXT] if is_in_text else "".join(linecache.getlines(code.co_filename))
    return definitions(text).get((code.co_name, code.co_firstlineno), ())


@functools.lru_cache(maxsize=32)
def definitions(text: str) -> Mapping[tuple[str, int], Sequence[Definition]]:
    """Every function of a text by name and first line, and every class by name; empty for a text
    that is not Python.
    """
    found: dict[tuple[str, int], list[Definition]] = defaultdict(list)
    for node in ast.walk(parse_source(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name, min(one.lineno for one in (node, *node.decorator_list))].append(node)
        elif isinstance(node, ast.Lambda):
            found["<lambda>", node.lineno].append(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name, CLASS_LINE].append(node)
    return found


def parse_source(text: str) -> ast.Module:
    """A text's syntax tree without docstrings; an empty tree for a text that is not Python."""
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
    """The module names that a class uses outside its methods: in decorators and field values."""
    plain = [
        one
        for one in node.body
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for part in (*node.decorator_list, *plain):
        yield from (one.id for one in ast.walk(part) if isinstance(one, ast.Name))


def global_names(code: types.CodeType) -> set[str]:
    """The module names that a function and its nested functions use."""
    names = {str(one.argval) for one in dis.get_instructions(code) if one.opname in LOADS}
    return names.union(
        *(global_names(one) for one in code.co_consts if isinstance(one, types.CodeType))
    )


def bytecode(code: types.CodeType) -> str:
    """A digest of a function's bytecode in this version of Python."""
    return hash_texts(
        [code.co_code.hex(), *code.co_names, *code.co_varnames, *map(_constant, code.co_consts)]
    )


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return bytecode(value)
    # The order of a set of strings differs between processes.
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
