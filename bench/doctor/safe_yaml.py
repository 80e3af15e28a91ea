"""A YAML file that somebody else may have written, read without running, repeating or swallowing
anything.

Refused, before a value is built: more than 1 MiB, tags, aliases that stand for more than 10,000
nodes, depth beyond 50, and a key that stands twice in a mapping, of which YAML's readers keep the
last without a word.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trials.records.faults import why_no_file

LARGEST, MOST_NODES, DEEPEST = 2**20, 10_000, 50


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises ValueError, in one line with the file and the line in it, for
    what is refused.
    """
    if why := why_no_file(path):
        raise ValueError(f"{path} {why}; name a cluster file")
    if path.stat().st_size > LARGEST:
        raise ValueError(
            f"{path}: {path.stat().st_size:,} bytes; a cluster file has at most {LARGEST:,}; is it "
            "another file?"
        )
    try:
        text = path.read_text(encoding="utf-8")
        refuse_tricks(path, text)
        refuse_twins(path, yaml.compose(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as wrong:
        raise ValueError(f"{path} is not YAML: {' '.join(str(wrong).split())}") from None
    value = built(path, text)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no mapping of keys to values; is it another file?")
    return value


def built(path: Path, text: str) -> Any:
    """The file's value. Raises ValueError for one that YAML's own words promise and no value has,
    such as a 45th of May.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as wrong:
        raise ValueError(
            f"{path} holds a value that is none: {' '.join(str(wrong).split())}; put it in quotes"
        ) from None


def refuse_tricks(path: Path, text: str) -> None:
    """Raise ValueError for a tag, for aliases that multiply, and for depth; the file is read as a
    stream of events alone.
    """
    open_nodes: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    total = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            raise ValueError(
                f"{path} line {line}: the tag {event.tag!r} is refused; write the plain value"
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
                f"{path} line {line}: *{event.anchor} stands for nothing that ends before it; "
                "write the value out"
            )
        if isinstance(event, yaml.NodeEvent):
            total += sizes[event.anchor] if isinstance(event, yaml.AliasEvent) else 1
        if total > MOST_NODES:
            raise ValueError(
                f"{path} line {line}: more than {MOST_NODES:,} nodes once aliases are written out; "
                "is it a bomb?"
            )
        if len(open_nodes) > DEEPEST:
            raise ValueError(
                f"{path} line {line}: nested more than {DEEPEST} deep; is it a cluster file?"
            )


def refuse_twins(path: Path, root: yaml.Node | None) -> None:
    """Raise ValueError for the first key that stands twice in one mapping, with both lines."""
    for mapping in mappings(root):
        seen: dict[str, int] = {}
        for key, _ in mapping.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ValueError(
                        f"{path}: the key {key.value!r} stands in line {seen[key.value]} and again "
                        f"in line {line}; keep one"
                    )
                seen[key.value] = line


def mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping below a node, each once however often it is named."""
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
