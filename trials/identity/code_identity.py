"""Digests of the code that a trial runs: one of our own training code, and one of each part that a
grid file defines.

A part is the model, loss or sampling of a cell. live_source.py defines what a digest covers.
Standard library and numpy.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from trials.data.sampling import SAMPLINGS
from trials.identity.live_source import DigestBuilder
from trials.identity.source_text import hash_texts
from trials.losses import LOSSES
from trials.models.registry import MODELS
from trials.process.versions import own_version
from trials.records.registry import Entry
from trials.records.spec import FINAL, PRETRAIN, Cell, TrialSpec

OWN = "segbench"
DIGITS = 16
REGISTRIES: dict[str, Mapping[str, Entry]] = {
    "model": MODELS,
    "loss": LOSSES,
    "sampling": SAMPLINGS,
}
# The registries without a grid file's entries: this module is imported before a grid file runs.
BUILT_IN = {kind: dict(parts) for kind, parts in REGISTRIES.items()}
# Digests by id() of the entry. The entry is stored too, so that its id is not reused.
_KNOWN: dict[int, tuple[Entry, str]] = {}
MAX_KNOWN = 256


def code_of(spec: TrialSpec) -> dict[str, str]:
    """The digests of the code that a trial runs in this process: "segbench", and a key such as
    "loss tversky" for each part of its cell that is not built in.

    A pretraining has only a model. A name that is not registered has no digest.
    """
    return code_of_cell(spec.cell, spec.phase)


def code_of_cell(cell: Cell, phase: str = FINAL) -> dict[str, str]:
    """The digests of the code that a cell's trials run in one phase."""
    kinds = ("model",) if phase == PRETRAIN else tuple(REGISTRIES)
    code = {OWN: own_code()}
    for kind in kinds:
        name = getattr(cell, kind)
        part = REGISTRIES[kind].get(name)
        if part is not None and part != BUILT_IN[kind].get(name):
            code[f"{kind} {name}"] = part_digest(part)
    return code


def part_digest(part: Entry) -> str:
    """A digest of a registry entry's code and values, computed once: later changes by training do
    not count.
    """
    if id(part) not in _KNOWN:
        if len(_KNOWN) >= MAX_KNOWN:
            _KNOWN.clear()
        try:
            _KNOWN[id(part)] = (part, hash_texts([DigestBuilder().of(part)])[:DIGITS])
        except RecursionError:
            raise ValueError(
                f"{part.target}: its values are nested too deep for a code digest; flatten them"
            ) from None
    return _KNOWN[id(part)][1]


@functools.cache
def own_code() -> str:
    """The version of this package and a digest of the source of its training code, as "0.1.0
    0123456789abcdef".
    """
    return f"{own_version()} {folder_digest(Path(__file__).parents[1])}"


def folder_digest(folder: Path) -> str:
    """A digest of the relative path and content of every Python file below a folder."""
    files = sorted(folder.rglob("*.py"))
    return hash_texts(
        [
            text
            for file in files
            for text in (file.relative_to(folder).as_posix(), file.read_text("utf-8"))
        ]
    )[:DIGITS]


def changed_parts(recorded: Mapping[str, str], code: Mapping[str, str]) -> tuple[str, ...]:
    """The keys, sorted, in which two trials' code digests differ, including parts that only one of
    them has.
    """
    return tuple(
        sorted(key for key in recorded.keys() | code.keys() if recorded.get(key) != code.get(key))
    )
