"""What changed in a part between two texts of a grid file, in a few words: the lines that differ,
without comments.
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


def changes(before: str, now: str, kind: str, name: str) -> list[str]:
    """The first few lines that differ in a part, as '"missed=0.7" -> "missed=0.6"'; none where the
    texts do not show it.
    """
    old, new = lines_of_part(before, kind, name), lines_of_part(now, kind, name)
    found = [text for pair in differing(old, new) for text in told(*pair)]
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def lines_of_part(text: str, kind: str, name: str) -> list[str]:
    """The lines of the statements in which a grid file registers a part, and of those whose names
    they use, directly or not.
    """
    statements = parse_source(text).body
    binding: dict[str, set[int]] = defaultdict(set)
    for i, statement in enumerate(statements):
        for bound in names_bound(statement):
            binding[bound].add(i)
    registering = {i for i, one in enumerate(statements) if REGISTRIES[kind] in names_used(one)}
    naming = {i for i in registering if name in constants(statements[i])}
    todo, chosen = naming or registering, set[int]()
    while todo:
        chosen |= todo
        todo = {
            i for one in todo for used in names_used(statements[one]) for i in binding[used]
        } - chosen
    return [line for i in sorted(chosen) for line in ast.unparse(statements[i]).splitlines()]


def names_used(node: ast.AST) -> set[str]:
    """Every name that a statement reads."""
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
    }


def names_bound(node: ast.stmt) -> set[str]:
    """The names that a statement of a module gives a meaning."""
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
    """The texts that a statement holds."""
    return {
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def differing(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Lines that stand for one another in two texts and differ; "" on the side where
    there is none."""
    for what, start, end, other_start, other_end in SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if what != "equal":
            gone, come = old[start:end], new[other_start:other_end]
            for i in range(max(len(gone), len(come))):
                yield (
                    (gone[i].strip() if i < len(gone) else ""),
                    (come[i].strip() if i < len(come) else ""),
                )


def told(old: str, new: str) -> list[str]:
    """One difference in words."""
    if not old or not new:
        return [f'"{cut(old or new)}" {"gone" if old else "added"}']
    narrow = narrowed(old, new)
    return [
        " -> ".join(
            f'"{cut(text)}"'
            for text in (narrow if min(map(len, narrow)) >= SHORTEST else (old, new))
        )
    ]


def narrowed(old: str, new: str) -> tuple[str, str]:
    """Both lines without what they begin and end with alike, down to whole words."""
    start = num_alike(old, new)
    start -= len(BEFORE_A_WORD.search(old[:start])[0])  # type: ignore[index]
    rest = old[start:], new[start:]
    end = num_alike(rest[0][::-1], rest[1][::-1])
    end -= len(AFTER_A_WORD.search(rest[0][len(rest[0]) - end :])[0])  # type: ignore[index]
    return rest[0][: len(rest[0]) - end], rest[1][: len(rest[1]) - end]


def num_alike(one: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def cut(text: str) -> str:
    """A text of bearable length."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
