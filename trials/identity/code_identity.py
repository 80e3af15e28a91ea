"""Which code a trial runs: a digest of our own training code, and one of each part that a grid file
brought.

A part is the model, loss or sampling of a cell. What a digest is made of stands in live_source.py.
Standard library and numpy.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from trials.data.sampling import SAMPLINGS
from trials.identity.live_source import Walk
from trials.identity.source_text import hashed
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
# The registries as they are without a grid file: this module is loaded before one is run.
BUILT_IN = {kind: dict(parts) for kind, parts in REGISTRIES.items()}
# By id(), each with its entry, which keeps the id from being another's.
_KNOWN: dict[int, tuple[Entry, str]] = {}
MOST_KNOWN = 256


def code_of(spec: TrialSpec) -> dict[str, str]:
    """The digests of the code that a trial runs in this process: "segbench", and a key such as
    "loss tversky" for each part of its cell that is not one of ours.

    A pretraining has a model alone. A name that is not registered has no digest.
    """
    return code_of_cell(spec.cell, spec.phase)


def code_of_cell(cell: Cell, phase: str = FINAL) -> dict[str, str]:
    """code_of the trials of a cell in one phase."""
    kinds = ("model",) if phase == PRETRAIN else tuple(REGISTRIES)
    code = {OWN: own_code()}
    for kind in kinds:
        name = getattr(cell, kind)
        part = REGISTRIES[kind].get(name)
        if part is not None and part != BUILT_IN[kind].get(name):
            code[f"{kind} {name}"] = part_digest(part)
    return code


def part_digest(part: Entry) -> str:
    """A digest of all that a registry's entry is made of, looked into once: what training changes
    in it does not count.
    """
    if id(part) not in _KNOWN:
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
        try:
            _KNOWN[id(part)] = (part, hashed([Walk().of(part)])[:DIGITS])
        except RecursionError:
            raise ValueError(
                f"{part.target}: its values are nested too deep to record what it is made of"
            ) from None
    return _KNOWN[id(part)][1]


@functools.cache
def own_code() -> str:
    """The version of this package and a digest of the source of its training code, as "0.1.0
    0123456789abcdef".
    """
    return f"{own_version()} {folder_digest(Path(__file__).parents[1])}"


def folder_digest(folder: Path) -> str:
    """A digest of every Python file below a folder: its path there and its content."""
    files = sorted(folder.rglob("*.py"))
    return hashed(
        [
            text
            for file in files
            for text in (file.relative_to(folder).as_posix(), file.read_text("utf-8"))
        ]
    )[:DIGITS]


def other_parts(recorded: Mapping[str, str], code: Mapping[str, str]) -> tuple[str, ...]:
    """The keys in which two trials' codes differ, sorted: a part that only one of them names is
    such a difference.
    """
    return tuple(
        sorted(key for key in recorded.keys() | code.keys() if recorded.get(key) != code.get(key))
    )
