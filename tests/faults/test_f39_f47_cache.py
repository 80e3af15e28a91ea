"""The cache: what a user gets for each fault that the place of the prepared data, or a file in it,
can have.
"""

import os
import resource
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nifti_toys import asymmetric, dataset_of, save

import trials.data.prepared.cache as cache_module
from benchmarks.write_faults import KINDS, sweep
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.set_checks import without_bad_cases
from trials.records.spec import Cube
from trials.storage.atomic import NotWritten, remove_abandoned, write_whole

SMALL = Cube(edge=8)


@pytest.fixture
def dataset(tmp_path):
    return dataset_of(tmp_path / "data")


@pytest.fixture
def prepared(dataset, tmp_path) -> Path:
    return prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)


def cube(prepared: Path, case: str = "case_00001", kind: str = "image") -> Path:
    return next((prepared.parent / "cases").glob(f"{case}-*.{kind}.npy"))


def temporary(prepared: Path) -> list[Path]:
    return list((prepared.parent / "cases").glob(".*"))


@contextmanager
def files_of_at_most(size: int):
    """The system refuses to let a file grow beyond size, as a full disk would."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_f39_cache_disk_full(dataset, prepared, tmp_path):
    save(dataset.cases[1].image, asymmetric(seed=9))
    before = {path: path.read_bytes() for path in prepared.parent.rglob("*.npy")}

    with (
        files_of_at_most(700),
        pytest.raises(
            NotWritten, match=r"MB are free there; free some space .*case_00001-\w+.image.npy"
        ),
    ):
        prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert {path: path.read_bytes() for path in prepared.parent.rglob("*.npy")} == before
    assert not temporary(prepared)


def test_f39_a_cache_that_cannot_hold_the_cubes_is_refused_before_any_work(dataset, tmp_path):
    free = shutil.disk_usage(tmp_path).free
    many = replace(dataset, cases=dataset.cases * (free // (3 * 512**3 * 3) + 1))

    with pytest.raises(
        ValueError,
        match=r"cases need [\d.]+ MB, [\d.]+ MB more than are free; make room, or choose",
    ):
        prepare_dataset(many, Cube(edge=512), tmp_path / "cache", workers=1)


def test_f39_a_cache_that_cannot_be_written_is_no_fault_of_a_case(dataset, tmp_path):
    without_bad_cases(dataset, tmp_path / "cache", workers=1)
    (checked,) = (tmp_path / "cache").glob("phantoms-checked-*")
    (checked / "case_00001.json").unlink()
    (checked / "case_00001.json").mkdir()

    with pytest.raises(
        NotWritten, match=r"a folder has this name; move it elsewhere: .*case_00001.json"
    ):
        without_bad_cases(dataset, tmp_path / "cache", workers=1)


def test_f39_a_file_in_the_place_of_the_cache_is_named(dataset, tmp_path):
    (tmp_path / "cache").write_text("not a folder")

    with pytest.raises(
        ValueError, match=r"cache/phantoms-checked-\w+ cannot be made .*; choose another cache"
    ):
        without_bad_cases(dataset, tmp_path / "cache", workers=1)


def test_f40_killed_while_writing_the_cache(dataset, prepared, tmp_path):
    kept = cube(prepared, "case_00000").stat().st_mtime_ns
    save(dataset.cases[1].image, asymmetric(seed=9))
    left = {
        killed_writing(path)
        for path in (cube(prepared), cube(prepared).with_name("case_00001.json"))
    }
    young = killed_writing(prepared / "manifest.json", hours=0)

    again = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert len(left) == 2
    assert unfinished(tmp_path / "cache") == {young}
    assert cube(again, "case_00000").stat().st_mtime_ns == kept
    assert (
        open_cache(again).cases["case_00001"].images[0].digest
        != open_cache(prepared).cases["case_00001"].images[0].digest
    )


def killed_writing(path: Path, hours: float = 2) -> Path:
    """What a process left that was killed so many hours ago while it wrote a file."""
    before = unfinished(path.parent)
    child = os.fork()
    if not child:
        write_whole(path, lambda file: (file.write(b"half"), os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    (left,) = unfinished(path.parent) - before
    os.utime(left, (left.stat().st_atime, left.stat().st_mtime - 3600 * hours))
    return left


def unfinished(folder: Path) -> set[Path]:
    return set(folder.rglob(".*"))


@pytest.mark.parametrize("clock", [1.0, 2.0**32])
def test_f40_what_a_killed_driver_left_in_a_run_folder_is_swept_whatever_the_clock_says(
    tmp_path, monkeypatch, clock
):
    names = (
        "run.json",
        "report.html",
        "scores.parquet",
        "trials/a/result.json",
        "trials/a/best.pt",
    )
    (tmp_path / "trials" / "a").mkdir(parents=True)
    old = {killed_writing(tmp_path / name) for name in names}
    young = {killed_writing(tmp_path / name, hours=0) for name in names}
    (tmp_path / ".hidden").write_text("not ours")
    monkeypatch.setattr(time, "time", lambda: clock)

    remove_abandoned(tmp_path)

    assert len(old) == len(young) == 5
    assert unfinished(tmp_path) == {*young, tmp_path / ".hidden"}


def in_child(work) -> int:
    """Start work in a process of its own; it ends with 0 if nothing is raised."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def test_f41_two_processes_prepare_the_same_data_at_once(dataset, tmp_path):
    children = [
        in_child(lambda: prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))
        for _ in range(2)
    ]

    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    (folder,) = {path.parent for path in (tmp_path / "cache").rglob("manifest.json")}
    cache = open_cache(folder)
    assert all(cache.image(case).shape == (1, 8, 8, 8) for case in cache.cases)
    assert not cache.made_again
    assert len(list((folder.parent / "cases").glob("*.npy"))) == 6


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_f42_a_flipped_bit_in_the_cache(prepared, kind):
    victim = cube(prepared, kind=kind)
    sound = victim.read_bytes()
    victim.write_bytes(bytes([*sound[:-9], sound[-9] ^ 4, *sound[-8:]]))
    cache = open_cache(prepared)

    opened = getattr(cache, kind)("case_00001")

    assert victim.read_bytes() == sound
    assert opened.tobytes() == sound[-opened.nbytes :]
    assert cache.made_again == [victim.name]


def test_f42_a_damaged_cube_whose_source_is_gone_says_what_to_do(dataset, prepared):
    cube(prepared).write_bytes(b"junk")
    dataset.cases[1].image.unlink()

    with pytest.raises(
        ValueError,
        match=r"image.npy is missing or damaged and cannot be made again .*; prepare the data set",
    ):
        open_cache(prepared).image("case_00001")


def test_f43_a_cache_of_another_version_or_parameter_is_not_used(
    dataset, prepared, tmp_path, monkeypatch
):
    other = prepare_dataset(
        dataset, replace(SMALL, clip_hu=(0.0, 500.0)), tmp_path / "cache", workers=1
    )
    monkeypatch.setattr(cache_module, "FORMAT", cache_module.FORMAT + 1)
    newer = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert len({prepared.parent, other.parent, newer.parent}) == 3


def test_f44_a_cube_truncated_before_it_is_opened_kills_nobody(prepared):
    victim = cube(prepared)
    sound = victim.read_bytes()
    os.truncate(victim, 200)
    cache = open_cache(prepared)

    image = cache.image("case_00001")

    assert image.tobytes() == sound[-image.nbytes :]
    assert cache.made_again == [victim.name]


def test_f44_a_cube_cut_while_it_is_mapped_kills_its_worker_and_the_next_try_makes_it_again(
    prepared,
):
    """No reader of a map can be told of this but by SIGBUS; the driver tries a trial of a dead
    worker again.
    """
    victim = cube(prepared)
    sound = victim.read_bytes()

    def work():
        image = open_cache(prepared).image("case_00001")
        os.truncate(victim, 0)
        image.sum()

    assert os.waitpid(in_child(work), 0)[1] & 0x7F == signal.SIGBUS
    cache = open_cache(prepared)
    image = cache.image("case_00001")

    assert image.tobytes() == sound[-image.nbytes :]
    assert cache.made_again == [victim.name]


def test_f44_a_cube_made_again_leaves_those_who_have_it_open_alone(dataset, prepared, tmp_path):
    image = open_cache(prepared).image("case_00001")
    before = np.array(image)
    cube(prepared).unlink()

    prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert np.array_equal(image, before)


def test_f45_a_cache_that_cannot_be_written_is_refused_once(dataset, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ValueError, match=r"cannot be made .*; choose another cache"):
        prepare_dataset(dataset, SMALL, tmp_path / "file" / "cache", workers=1)


def test_f45_a_folder_of_somebody_else_is_refused_once():
    """No NFS is mounted here: what a read-only or foreign export answers is what a folder of
    another user answers.
    """
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        dataset = dataset_of(Path(place) / "data", 2)
        if os.geteuid() == 0:
            os.seteuid(65534)
        else:
            os.chmod(place, 0o555)
        try:
            with pytest.raises(ValueError, match=r"cache.* cannot be (made|written)"):
                prepare_dataset(dataset, SMALL, Path(place) / "cache", workers=1)
        finally:
            os.seteuid(os.getuid())
            os.chmod(place, 0o755)


def test_f46_a_source_changed_after_caching(dataset, prepared, tmp_path):
    before = open_cache(prepared).image("case_00001").tobytes()
    save(dataset.cases[1].image, asymmetric(seed=77))

    again = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert open_cache(again).image("case_00001").tobytes() != before
    assert open_cache(again).digest != open_cache(prepared).digest


@pytest.mark.parametrize("clock", [1, 2**31 + 10**9])
def test_f47_a_clock_that_is_wrong_decides_nothing(dataset, prepared, tmp_path, clock):
    for case in dataset.cases:
        os.utime(case.image, (clock, clock))
    before = cube(prepared).stat().st_mtime_ns

    assert prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1) == prepared
    assert cube(prepared).stat().st_mtime_ns == before


def test_any_write_may_fail_and_nothing_finished_is_lost(tmp_path):
    failed, faults = sweep(dataset_of(tmp_path / "data", 1).root, KINDS, step=23)

    assert failed >= 6
    assert faults == []
