"""One driver a run folder: the second is refused by name, a dead one's lock is taken over, by one
alone.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bench.run_folder.lock import (
    NAME,
    STALE_SECONDS,
    Owner,
    acquire_lock,
    find_lock,
    hold_lock,
    is_alive,
    is_valid,
    next_lock,
    refuse_second_driver,
    this_process,
    touch_lock,
)
from trials.records.codec import to_json

ELSEWHERE = Owner(
    host="node7",
    pid=4321,
    born="1",
    place="node7 boot",
    since="2026-11-23T10:00:00+00:00",
    token="t",
)


def leave(out, owner, silent_seconds=0.0, name=NAME):
    """Leave a lock as a driver would that gave its last sign so long ago."""
    path = out / name
    path.write_text(to_json(owner) if owner else "")
    now = path.stat().st_mtime
    os.utime(path, (now, now - silent_seconds))
    return path


def test_f80_a_second_driver_is_refused_with_host_and_process_of_the_first(tmp_path):
    with (
        hold_lock(tmp_path),
        pytest.raises(
            ValueError, match=f"in use by process {os.getpid()} on {this_process().host} since"
        ),
    ):
        acquire_lock(tmp_path)


def test_f94_a_lock_from_the_future_is_no_younger_than_this_moment(tmp_path):
    leave(tmp_path, ELSEWHERE, silent_seconds=-86400.0)

    held = find_lock(tmp_path)

    assert held.silent_seconds == 0.0
    assert is_alive(held)


def test_a_lock_goes_with_its_driver(tmp_path):
    with hold_lock(tmp_path) as lock:
        assert lock == tmp_path / "driver.lock"
        assert is_valid(lock)

    assert find_lock(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_lock_whose_process_is_gone_is_taken_over(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    leave(tmp_path, replace(this_process(), pid=gone.pid))

    with hold_lock(tmp_path) as lock:
        assert find_lock(tmp_path).owner.pid == os.getpid()
        assert list(tmp_path.iterdir()) == [lock]


def test_another_process_that_was_given_the_same_number_is_not_the_driver(tmp_path):
    leave(tmp_path, replace(this_process(), born="another time"))

    assert refuse_second_driver(tmp_path) is not None


@pytest.mark.parametrize(
    ("silent", "alive"), [(0, True), (STALE_SECONDS - 5, True), (STALE_SECONDS + 5, False)]
)
@pytest.mark.parametrize("owner", [ELSEWHERE, None])
def test_a_driver_on_another_machine_is_alive_as_long_as_it_gives_signs(
    tmp_path, silent, alive, owner
):
    leave(tmp_path, owner, silent)

    assert is_alive(find_lock(tmp_path)) == alive


def test_a_later_start_of_the_same_slurm_job_takes_over_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "hpc")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    leave(tmp_path, replace(ELSEWHERE, job="hpc 42", restart=0))

    assert is_alive(find_lock(tmp_path))  # started once: another node of the same start
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not is_alive(find_lock(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "43")
    assert is_alive(find_lock(tmp_path))


def test_a_sign_of_life_makes_a_lock_young_again(tmp_path):
    path = leave(tmp_path, ELSEWHERE, STALE_SECONDS + 5)

    touch_lock(path)

    with pytest.raises(
        ValueError,
        match=r"process 4321 on node7 .* after 180 s without one, rerun the same command",
    ):
        refuse_second_driver(tmp_path)


def test_of_many_that_take_over_at_once_one_does(tmp_path):
    leave(tmp_path, ELSEWHERE, STALE_SECONDS + 5)

    def attempt(_):
        try:
            return acquire_lock(tmp_path)
        except ValueError:
            return None

    with ThreadPoolExecutor(16) as pool:
        taken = [lock for lock in pool.map(attempt, range(16)) if lock]

    assert taken == [tmp_path / "driver.lock.1"]
    assert find_lock(tmp_path).path == taken[0]


def test_a_driver_that_was_taken_over_notices(tmp_path):
    mine = acquire_lock(tmp_path)

    leave(tmp_path, ELSEWHERE, name=next_lock(mine).name)

    assert not is_valid(mine)


@pytest.mark.parametrize(
    "name", ["driver.lock.1.2", "driver.lock.", "driver.lock.1.tmp", "driver.lock.\u00b2"]
)
def test_a_file_that_only_begins_like_a_lock_is_none(tmp_path, name):
    (tmp_path / name).write_text("")

    with hold_lock(tmp_path) as lock:
        assert lock.name == NAME
        assert is_valid(lock)


def test_a_lock_of_nested_junk_counts_as_one_without_an_owner(tmp_path):
    (tmp_path / NAME).write_text("[" * 100_000)

    assert find_lock(tmp_path).owner is None
