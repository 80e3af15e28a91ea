"""Fuzzed NIfTI headers, grid fields and JSON files: each is taken or refused in words, soon, and
without much memory.

python -m benchmarks.fuzz [NUMBER] of each kind. Hypothesis draws the values; anything but
ValueError counts as a crash.
"""

import gzip
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench.grid.validate import check_grid
from bench.grids import DEMO, Grid, Tuning
from bench.spaces import Range
from benchmarks.json_kinds import Kind, json_kinds
from benchmarks.small_data import AFFINE, SHAPE
from benchmarks.write_faults import SPEC
from trials.data.datasets.registry import Case
from trials.data.prepared.case_checks import Rules, examine_case
from trials.records.spec import Cell, Preparation, Recipe, TrialSpec
from trials.storage.checksum import add_checksum, check_checksum

HANG_SECONDS = 5.0
MEMORY_MIB = 64.0

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([10**400, -1, 0, "1e-4", "", "\0", "../..", "<script>", math.nan, 1e308]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)
# No value at all.
GONE = object()
kinds = st.sampled_from([Cell, Recipe, Preparation, Tuning, Range, TrialSpec])
# Fields that decide about size first, then any byte of the header.
patches = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([40, 42, 44, 46, 48, 70, 72]),
            st.integers(0, 65535).map(lambda n: n.to_bytes(2, "little")),
        ),
        st.tuples(
            st.sampled_from([76, 80, 84, 108, 112, 116, 280, 296, 312]),
            st.binary(min_size=4, max_size=4),
        ),
        st.tuples(st.integers(0, 351), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=4,
)


@dataclass
class Outcome:
    """What was counted: examples, crashes by their text, the longest in seconds, growth of memory
    in MiB.
    """

    examples: int = 0
    crashes: tuple[str, ...] = ()
    longest: float = 0.0
    grown_mib: float = 0.0

    def attempt(self, action: Callable[[], object]) -> None:
        """Do it, and count what it raises that a user could not mend."""
        self.examples += 1
        started = time.monotonic()
        try:
            action()
        except ValueError:
            pass
        except Exception as error:
            self.crashes = (*self.crashes, f"{type(error).__name__}: {error}"[:200])
        self.longest = max(self.longest, time.monotonic() - started)


def fuzz(number: int, strategy: st.SearchStrategy, action: Callable[[Any], object]) -> Outcome:
    """Try that many values."""
    outcome, before = Outcome(), peak_mib()

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        outcome.attempt(lambda: action(value))

    run()
    outcome.grown_mib = peak_mib() - before
    return outcome


def peak_mib() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def headers(number: int, place: Path) -> Outcome:
    """An image whose header has other bytes, packed or not, read as a case is read at the door."""
    sound = nib.Nifti1Image(
        np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8), AFFINE
    ).to_bytes()
    mask = place / "segmentation.nii.gz"
    mask.write_bytes(gzip.compress(sound, mtime=0))
    rules = Rules(classes=("background", "kidney", "tumor", "cyst"), intensity=(-200, 100))

    def action(drawn: tuple[list[tuple[int, bytes]], bool, int]) -> object:
        changes, is_packed, zeros = drawn
        content = bytearray(sound + bytes(zeros))
        for at, new in changes:
            content[at : at + len(new)] = new
        image = place / ("a.nii.gz" if is_packed else "a.nii")
        image.write_bytes(gzip.compress(bytes(content), 1, mtime=0) if is_packed else content)
        return examine_case(rules, Case(case="case", image=image, labels=mask))

    return fuzz(
        number, st.tuples(patches, st.booleans(), st.sampled_from([0, 0, 0, 2**22])), action
    )


def grid_fields(number: int) -> Outcome:
    """A field of the grid, or of a part of it, with another value."""

    def action(drawn: tuple[int, Any, Any]) -> object:
        place, kind, value = drawn
        names = [field.name for field in fields(Grid)]
        name = names[place % len(names)]
        part = replaced(kind, place, value)
        nested = {
            "cells": (part,),
            "recipes": {"3d": part},
            "tuning": part,
            "hyper": {"*": {"lr": value}},
            "spaces": {"*": part},
        }
        return check_grid(
            replace(DEMO, **{name: nested[name] if place % 3 and name in nested else value})
        )

    return fuzz(number, st.tuples(st.integers(0, 10**6), kinds, values), action)


def replaced(kind: type, place: int, value: Any) -> Any:
    """A record of that kind with one field of another value."""
    sound = {
        Cell: DEMO.cells[0],
        Recipe: DEMO.recipes["3d"],
        Preparation: Preparation(),
        Tuning: DEMO.tuning,
        Range: Range(low=1e-4, high=1e-2),
        TrialSpec: SPEC,
    }[kind]
    names = [field.name for field in fields(kind)]
    return replace(sound, **{names[place // 7 % len(names)]: value})


def json_files(number: int, place: Path) -> dict[str, Outcome]:
    """Each kind of our JSON files with another value somewhere, its seal renewed, read by all that
    read it.
    """
    return {name: json_file(number, kind) for name, kind in json_kinds(place).items()}


def json_file(number: int, kind: Kind) -> Outcome:
    """One kind of them."""
    text = kind.path.read_text()
    sound = json.loads(check_checksum(text))
    outcome = Outcome()

    def action(drawn: tuple[list[int], Any]) -> None:
        document = json.dumps(changed(sound, *drawn), indent=1)
        for reader in kind.readers:
            kind.path.write_text(add_checksum(document) if kind.is_sealed else document)
            outcome.attempt(reader)

    drawn = st.tuples(
        st.lists(st.integers(0, 99), min_size=1, max_size=6),
        st.one_of(values, scalars, st.just(GONE)),
    )
    found = fuzz(number, drawn, action)
    kind.path.write_text(text)
    return replace(
        outcome,
        examples=found.examples,
        crashes=(*outcome.crashes, *found.crashes),
        grown_mib=found.grown_mib,
    )


def changed(document: Any, steps: list[int], value: Any) -> Any:
    """A copy in which what lies at the end of the steps is another value, or GONE; a step chooses
    among keys or elements.
    """
    if not steps or not isinstance(document, dict | list) or not document:
        return None if value is GONE else value
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = keys[steps[0] % len(keys)]
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    if value is GONE and len(steps) == 1:
        del copy[key]
    else:
        copy[key] = changed(document[key], steps[1:], value)
    return copy


def main(number: int) -> int:
    """Print a table; the exit code is 1 for a crash, a hang or a header that took much memory."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        outcomes = {
            "NIfTI headers": headers(number, Path(one)),
            "grid fields": grid_fields(number),
            **json_files(number, Path(two)),
        }
    print(f"{'values of':16}{'tried':>8}{'crashes':>9}{'longest, s':>12}{'memory, MiB':>13}")
    for name, found in outcomes.items():
        print(
            f"{name:16}{found.examples:8}{len(found.crashes):9}{found.longest:12.2f}{found.grown_mib:13.1f}"
        )
        print("".join(f"    {text}\n" for text in dict.fromkeys(found.crashes)), end="")
    hung = any(found.longest > HANG_SECONDS for found in outcomes.values())
    return (
        hung
        or any(found.crashes for found in outcomes.values())
        or outcomes["NIfTI headers"].grown_mib > MEMORY_MIB
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
