"""What changed in a registry entry between two texts of a grid file: the lines that differ, without
comments.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from trials.identity.source_text import parse_source

REGISTRIES = {"model": "MODELS", "loss": "LOSSES", "sampling": "SAMPLINGS"}
SHOWN, LONGEST, SHORTEST = 3, 90, 6
BEFORE_A_WORD, AFTER_A_WORD = re.compile(r"[\w.=]*$"), re.compile(r"^[\w.]*")


def describe_changes(before: str, now: str, kind: str, name: str) -> list[str]:
    """The first few differences in an entry, as '"missed=0.7" -> "missed=0.6"'; empty if the texts
    do not differ there.
    """
    old, new = lines_of_part(before, kind, name), lines_of_part(now, kind, name)
    found = [text for pair in differing_lines(old, new) for text in describe_difference(*pair)]
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def lines_of_part(text: str, kind: str, name: str) -> list[str]:
    """The lines of the statements in which a grid file registers an entry, and of those whose names
    they use, directly or not.
    """
    statements = parse_source(text).body
    binding: dict[str, set[int]] = defaultdict(set)
    for i, statement in enumerate(statements):
        for bound in names_bound(statement):
            binding[bound].add(i)
    registering = {i for i, one in enumerate(statements) if REGISTRIES[kind] in names_used(one)}
    naming = {i for i in registering if name in constants(statements[i])}
    todo, selected = naming or registering, set[int]()
    while todo:
        selected |= todo
        todo = {
            i for one in todo for used in names_used(statements[one]) for i in binding[used]
        } - selected
    return [line for i in sorted(selected) for line in ast.unparse(statements[i]).splitlines()]


def names_used(node: ast.AST) -> set[str]:
    """Every name that a statement reads."""
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
    }


def names_bound(node: ast.stmt) -> set[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(one.asname or one.name).partition(".")[0] for one in node.names}
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


def constants(node: ast.AST) -> set[object]:
    """The string constants of a statement."""
    return {
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def differing_lines(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of corresponding lines of two texts that differ; "" if one text has no such line."""
    for what, start, end, other_start, other_end in SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if what != "equal":
            removed, added = old[start:end], new[other_start:other_end]
            for i in range(max(len(removed), len(added))):
                yield (
                    (removed[i].strip() if i < len(removed) else ""),
                    (added[i].strip() if i < len(added) else ""),
                )


def describe_difference(old: str, new: str) -> list[str]:
    """One difference as text."""
    if not old or not new:
        return [f'"{shorten(old or new)}" {"removed" if old else "added"}']
    narrow = trim_common(old, new)
    return [
        " -> ".join(
            f'"{shorten(text)}"'
            for text in (narrow if min(map(len, narrow)) >= SHORTEST else (old, new))
        )
    ]


def trim_common(old: str, new: str) -> tuple[str, str]:
    """Both lines without their common start and end, which are cut at whole words."""
    start = num_alike(old, new)
    start -= len(BEFORE_A_WORD.search(old[:start])[0])  # type: ignore[index]
    rest = old[start:], new[start:]
    end = num_alike(rest[0][::-1], rest[1][::-1])
    end -= len(AFTER_A_WORD.search(rest[0][len(rest[0]) - end :])[0])  # type: ignore[index]
    return rest[0][: len(rest[0]) - end], rest[1][: len(rest[1]) - end]


def num_alike(one: str, other: str) -> int:
    """The length of the common start of two texts."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def shorten(text: str) -> str:
    """A text of at most LONGEST characters."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
