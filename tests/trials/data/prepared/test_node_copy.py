"""Prepared data on a node's own disk: copied once, checked, and again only where
something changed."""

import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trials.data.prepared.cache import open_cache
from trials.data.prepared.manifest import Manifest
from trials.data.prepared.node_copy import filesystem, is_far, nearby
from trials.records.codec import from_json, to_json
from trials.records.spec import Cube
from trials.storage.atomic import write_text
from trials.storage.checksum import add_checksum
from trials.storage.spool import locked


@pytest.fixture
def shared(small_cache, tmp_path, monkeypatch):
    """A set of twelve phantoms on storage that counts as shared, and a scratch folder
    on this node."""
    folder = (
        shutil.copytree(small_cache.parents[1], tmp_path / "shared")
        / small_cache.parent.name
        / small_cache.name
    )
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    return folder


def times(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_set_is_copied_once_and_mapped_from_the_nodes_own_disk(shared, tmp_path, small_cache):
    cache = open_cache(shared)
    before = times(tmp_path / "scratch")
    again = open_cache(shared)

    assert cache.folder == again.folder
    assert cache.folder.is_relative_to(tmp_path / "scratch")
    assert times(tmp_path / "scratch") == before
    assert len([path for path in before if path.suffix == ".npy"]) == 2 * 12
    for case in cache.cases:
        assert np.array_equal(cache.image(case), open_cache(shared).image(case))
    assert Path(cache.image("case_00000").filename).is_relative_to(tmp_path / "scratch")


def test_a_set_on_this_machines_disk_is_not_copied(small_cache, monkeypatch):
    monkeypatch.delenv("SEGBENCH_SCRATCH", raising=False)

    assert not is_far(small_cache)
    assert nearby(small_cache) == small_cache
    assert filesystem(Path("/proc/self")) == "proc"


def test_a_copy_that_was_cut_short_is_completed_and_a_damaged_array_of_it_replaced(shared):
    copy = nearby(shared)
    (copy / "manifest.json").unlink()
    missing, damaged, *others = sorted((copy.parent / "cases").glob("*.npy"))
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1])
    before = times(copy.parent / "cases")

    nearby(shared)

    for path in (missing, damaged):
        assert path.read_bytes() == (shared.parent / "cases" / path.name).read_bytes()
    assert {path: times(copy.parent / "cases")[path] for path in others} == {
        path: before[path] for path in others
    }


def test_a_damaged_array_of_the_shared_set_is_named_and_not_taken(shared):
    victim = sorted((shared.parent / "cases").glob("*.npy"))[3]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)

    with pytest.raises(ValueError, match=rf"{victim.name} is damaged; prepare the data set again"):
        nearby(shared)


def test_a_set_whose_manifest_changed_is_copied_anew(shared):
    nearby(shared)
    manifest = from_json(Manifest, (shared / "manifest.json").read_text())
    write_text(
        shared / "manifest.json", add_checksum(to_json(replace(manifest, root="/elsewhere")))
    )

    assert str(open_cache(shared).dataset.root) == "/elsewhere"


def test_too_little_room_is_said_before_anything_is_copied(shared, tmp_path):
    manifest = from_json(Manifest, (shared / "manifest.json").read_text())
    huge = replace(manifest, channels=("CT",) * 10**4, preparation=Cube(edge=512))
    write_text(shared / "manifest.json", add_checksum(to_json(huge)))

    with pytest.raises(
        ValueError,
        match=r"needs \d+\.\d GiB on the node's own disk and .* set SEGBENCH_SCRATCH to a folder",
    ):
        nearby(shared)

    assert not list((tmp_path / "scratch").rglob("*.npy"))


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from trials.storage.spool import locked
        with locked(Path(sys.argv[1])):
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"])
    assert done.returncode == -9

    with locked(tmp_path / "lock"):
        pass
