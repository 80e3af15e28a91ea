"""Reads a YAML file from an untrusted source safely.

Refused before any value is built: files above 1 MiB, tags, aliases that expand to more than 10,000
nodes, nesting beyond 50 levels, and duplicate keys, of which YAML readers silently keep the last.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trials.records.faults import why_no_file

LARGEST, MOST_NODES, DEEPEST = 2**20, 10_000, 50


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises ValueError, in one line with file and line number, for anything
    that is refused.
    """
    if why := why_no_file(path):
        raise ValueError(f"{path} {why}; give a cluster file")
    if path.stat().st_size > LARGEST:
        raise ValueError(
            f"{path}: a cluster file must have at most {LARGEST:,} bytes; got "
            f"{path.stat().st_size:,}; check the path"
        )
    try:
        text = path.read_text(encoding="utf-8")
        refuse_unsafe_syntax(path, text)
        refuse_duplicate_keys(path, yaml.compose(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as wrong:
        raise ValueError(f"{path} is not YAML: {' '.join(str(wrong).split())}") from None
    value = parse_value(path, text)
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a mapping of keys to values; check the path")
    return value


def parse_value(path: Path, text: str) -> Any:
    """The file's value. Raises ValueError for a value that YAML accepts but Python cannot
    represent, such as a 45th of May.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as wrong:
        raise ValueError(
            f"{path} holds an invalid value: {' '.join(str(wrong).split())}; put it in quotes"
        ) from None


def refuse_unsafe_syntax(path: Path, text: str) -> None:
    """Raise ValueError for a tag, for aliases that expand too far, and for deep nesting. Reads only
    the stream of events.
    """
    open_nodes: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    total = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            raise ValueError(
                f"{path} line {line}: tags are not allowed; got {event.tag!r}; write the "
                "plain value"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes |= {anchor: total - before + 1} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            sizes[event.anchor] = 1
        if isinstance(event, yaml.AliasEvent) and event.anchor not in sizes:
            raise ValueError(
                f"{path} line {line}: *{event.anchor} refers to no value that ends before it; "
                "write the value instead"
            )
        if isinstance(event, yaml.NodeEvent):
            total += sizes[event.anchor] if isinstance(event, yaml.AliasEvent) else 1
        if total > MOST_NODES:
            raise ValueError(
                f"{path} line {line}: aliases expand to more than {MOST_NODES:,} nodes; "
                "write fewer aliases"
            )
        if len(open_nodes) > DEEPEST:
            raise ValueError(
                f"{path} line {line}: nested more than {DEEPEST} levels; check the path"
            )


def refuse_duplicate_keys(path: Path, root: yaml.Node | None) -> None:
    """Raise ValueError for the first duplicate key of a mapping, with both lines."""
    for mapping in mappings(root):
        seen: dict[str, int] = {}
        for key, _ in mapping.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ValueError(
                        f"{path}: the key {key.value!r} is in line {seen[key.value]} and again "
                        f"in line {line}; keep one"
                    )
                seen[key.value] = line


def mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping below a node, each once even if it has aliases."""
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop(0)
        if node is None or id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
