"""Hostile values in NIfTI headers, grids and each kind of JSON file that we read: accepted, or
refused by a ValueError, within seconds.

SEGBENCH_FUZZED=1000 draws so many values of each kind.
"""

import gzip
import json
import math
import os
import resource
from contextlib import suppress
from dataclasses import fields, replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from json_kinds import json_kinds

from bench.grid.validate import check_grid
from bench.grids import DEMO, Grid
from bench.spaces import Range
from benchmarks.small_data import AFFINE, SHAPE
from trials.data.datasets.registry import Case
from trials.data.prepared.case_checks import Rules, examine_case
from trials.records.spec import Cube, Spacing
from trials.storage.checksum import add_checksum, check_checksum

EXAMPLES = os.environ.get("SEGBENCH_FUZZED")
MEMORY_MIB = 64.0
# No value at all: the key is taken away.
GONE = object()
KINDS = (
    *("result.json", "run.json", "status.json", "driver.lock", "studies.json", "external/*.json"),
    *("ceiling.json", "manifest.json", "dataset.json", "phantoms.json", "kits23.json"),
    *(f"{stage}/case_*.json" for stage in ("examined", "measured", "prepared")),
)

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
# Fields that decide about size first, then any byte of the header.
patches = st.one_of(
    st.tuples(st.sampled_from([40, 42, 44, 46, 48, 70, 72]), st.binary(min_size=2, max_size=2)),
    st.tuples(
        st.sampled_from([76, 80, 84, 108, 112, 116, 280, 296, 312]),
        st.binary(min_size=4, max_size=4),
    ),
    st.tuples(st.integers(0, 351), st.binary(min_size=1, max_size=8)),
)


def fuzzed(examples: int):
    """The same values each time, and at most five seconds for each."""
    return settings(
        max_examples=int(EXAMPLES or examples),
        deadline=5000,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def peak_mib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_fuzzed_header_is_taken_or_refused_in_words_without_much_memory(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    sound, mask = nib.Nifti1Image(voxels, AFFINE).to_bytes(), tmp_path / "segmentation.nii.gz"
    mask.write_bytes(gzip.compress(sound, mtime=0))
    rules = Rules(classes=("background", "kidney", "tumor", "cyst"), intensity=(-200, 100))

    @fuzzed(60)
    @given(
        st.lists(patches, min_size=1, max_size=4), st.booleans(), st.sampled_from([0, 0, 0, 2**22])
    )
    def check(changes, is_packed, zeros):
        content = bytearray(sound + bytes(zeros))
        for at, new in changes:
            content[at : at + len(new)] = new
        image = tmp_path / ("a.nii.gz" if is_packed else "a.nii")
        image.write_bytes(gzip.compress(content, 1, mtime=0) if is_packed else content)
        with suppress(ValueError):
            examine_case(rules, Case(case="case", image=image, labels=mask))

    before = peak_mib()
    check()

    assert peak_mib() - before < MEMORY_MIB


# A part of a grid, and how the grid holds it.
PARTS = (
    (DEMO.cells[0], lambda part: {"cells": (part,)}),
    (DEMO.recipes["3d"], lambda part: {"recipes": {"3d": part}}),
    *(
        (
            preparation,
            lambda part: {"recipes": {"3d": replace(DEMO.recipes["3d"], preparation=part)}},
        )
        for preparation in (Cube(), Spacing(mm=(2.0, 1.0, 1.0)))
    ),
    (DEMO.tuning, lambda part: {"tuning": part}),
    (Range(low=1e-4, high=1e-2), lambda part: {"spaces": {"*": {"lr": part}}}),
    (DEMO, lambda part: {field.name: getattr(part, field.name) for field in fields(Grid)}),
)


@fuzzed(60)
@given(st.sampled_from(PARTS), st.integers(0, 99), values)
def test_a_fuzzed_grid_is_taken_or_refused_in_words(part, place, value):
    sound, held_by = part
    names = [field.name for field in fields(sound)]

    with suppress(ValueError):
        changed_part = replace(sound, **{names[place % len(names)]: value})
        check_grid(replace(DEMO, **held_by(changed_part)))


def changed(document, steps, value):
    """A copy with another value at the end of the steps, each of which chooses a key or element."""
    if not steps or not isinstance(document, dict | list) or not document:
        return None if value is GONE else value
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key, copy = keys[steps[0] % len(keys)], document.copy()
    if value is GONE and len(steps) == 1:
        del copy[key]
    else:
        copy[key] = changed(document[key], steps[1:], value)
    return copy


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return json_kinds(tmp_path_factory.mktemp("kinds"))


def test_every_kind_is_fuzzed(kinds):
    assert set(KINDS) == set(kinds)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_our_json_files_is_taken_or_refused_in_words(kinds, name):
    kind = kinds[name]
    text = kind.path.read_text()
    sound = json.loads(check_checksum(text))

    @fuzzed(3)
    @given(st.lists(st.integers(0, 99), min_size=1, max_size=6), values | st.just(GONE))
    def check(steps, value):
        document = json.dumps(changed(sound, steps, value), indent=1)
        for read in kind.readers:
            kind.path.write_text(add_checksum(document) if kind.is_sealed else document)
            with suppress(ValueError):
                read()

    check()
    kind.path.write_text(text)
