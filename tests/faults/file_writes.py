"""Finds in a source whatever writes, renames or copies a file by itself, instead of through
trials/storage/atomic.py.
"""

import ast
import re
from collections.abc import Iterator, Mapping

ROOMS = ("bench.", "trials.", "reports.")
# By the last part of the call's name, whatever it is a method of.
WRITERS = {
    *(
        "write_text",
        "write_bytes",
        "touch",
        "tofile",
        "to_filename",
        "savefig",
        "write_html",
        "write_image",
        "write_csv",
    ),
    *(
        "to_csv",
        "to_parquet",
        "to_feather",
        "to_pickle",
        "to_excel",
        "to_hdf",
        "to_json",
        "to_html",
        "write_table",
    ),
    *("save", "savez", "savez_compressed", "savetxt", "save_file", "memmap", "open_memmap"),
    *("symlink_to", "hardlink_to", "mkstemp", "mktemp", "NamedTemporaryFile"),
}
# By the whole name, since others have methods of these names that write nothing.
OF_MODULES = {
    *(
        f"os.{name}"
        for name in (
            "replace",
            "rename",
            "renames",
            "link",
            "symlink",
            "truncate",
            "mkfifo",
            "mknod",
        )
    ),
    *(
        f"shutil.{name}"
        for name in ("copy", "copy2", "copyfile", "copyfileobj", "copytree", "move", "make_archive")
    ),
}
OPENERS = {"open", "fdopen", "ZipFile", "GzipFile", "IGzipFile", "TarFile", "File"}
BUFFERS = {"BytesIO", "StringIO", "BufferOutputStream"}


def file_writes(source: str) -> Iterator[tuple[str, str]]:
    """Every call that writes a file: the last part of its name, and the call as it stands there.

    What goes to a buffer in memory, or to the file that write_whole() has opened, is none.
    """
    tree = ast.parse(source)
    modules = imported(tree)
    for function in (
        part
        for node in tree.body
        for part in (node.body if isinstance(node, ast.ClassDef) else [node])
    ):
        in_memory = buffers(function)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            name = full_name(call.func, modules)
            if (
                name.startswith(ROOMS)
                or {word.id for word in call.args if isinstance(word, ast.Name)} & in_memory
            ):
                continue
            if writes(name, call):
                yield name.rpartition(".")[2], ast.unparse(call)


def writes(name: str, call: ast.Call) -> bool:
    """Whether a call by that name writes."""
    last = name.rpartition(".")[2]
    is_method = name.startswith("?")
    if last in OPENERS:
        return opens_to_write(name, call)
    if last in ("replace", "rename") and is_method:
        # Of a path: to one place. Of a text there are two arguments, of a record or a table
        # keywords.
        return len(call.args) == 1 and not call.keywords
    if (
        last.startswith("to_")
        and not call.args
        and not {"path", "path_or_buf"} & {word.arg for word in call.keywords}
    ):
        return False
    return name in OF_MODULES or ("." in name and last in WRITERS)


def opens_to_write(name: str, call: ast.Call) -> bool:
    """Whether the mode, or the flags of os.open, let it; a mode that is only known when it runs is
    taken to.
    """
    if name == "os.open":
        return bool(re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", ast.unparse(call)))
    given = {word.arg: word.value for word in call.keywords}
    if "fileobj" in given:
        return False
    place = 0 if name.startswith("?") else 1
    mode = given.get("mode") or (call.args[place] if len(call.args) > place else ast.Constant("r"))
    told = [
        node.value
        for node in ast.walk(mode)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return not told or any(set(text) & set("wax+") for text in told)


def imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: np is numpy, and swap of `from os import replace as swap`
    is os.replace.
    """
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            found |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return found


def full_name(node: ast.expr, modules: Mapping[str, str]) -> str:
    """A called function's name from its module on; "?" stands for whatever is no module."""
    if isinstance(node, ast.Attribute):
        return (
            f"{full_name(node.value, modules) if rooted(node.value, modules) else '?'}.{node.attr}"
        )
    return modules.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def rooted(node: ast.expr, modules: Mapping[str, str]) -> bool:
    """Whether a dotted name begins with a module."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in modules


def buffers(function: ast.AST) -> set[str]:
    """The names of a function that stand for a buffer in memory, or for the file that write_whole()
    hands out.
    """
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
            found |= {
                target.id
                for target, value in pairs
                if isinstance(target, ast.Name) and is_buffer(value)
            }
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("write_whole"):
            found |= {
                name.arg
                for part in node.args
                if isinstance(part, ast.Lambda)
                for name in part.args.args
            }
    return found


def is_buffer(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in BUFFERS
