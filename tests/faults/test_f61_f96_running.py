"""Faults of a run that other files do not show: a worker lost for good, leftovers, a trial asked
for twice.
"""

import errno
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from made_up import MadeUp, failure, write_run
from nifti_toys import asymmetric, dataset_of, save

import trials.storage.object_store
import trials.storage.spool
from bench.cli import main
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import GridFacts, resolve
from bench.grid.validate import check_grid
from bench.grids import DEMO, product
from bench.run_folder.lock import (
    NAME,
    STALE_SECONDS,
    acquire_lock,
    find_lock,
    hold_lock,
    this_process,
)
from bench.tuning.driver import RETRIES_OF_LOST_WORKERS, hindrances
from bench.tuning.searcher import GridSearcher
from trials.data.datasets.opening import find_dataset
from trials.data.sampling import ClassCounts
from trials.identity.code_identity import code_of, code_of_cell
from trials.records.codec import from_json, to_json
from trials.records.faults import WARNING
from trials.records.job import Job, result_path
from trials.records.result import COMPLETE, FAILED, TrialResult
from trials.records.result_file import read_results, result_text, write_result
from trials.storage.atomic import NotWritten
from trials.storage.spool import read_spooled, write_or_spool
from trials.training.attempt import attempt
from trials.training.attempt_log import start_attempt

CELLS = product(("unet3d",), ("focal",), ("none",))
GRID = replace(DEMO, cells=CELLS, tuning=None, seeds=(0, 1))
CODE = code_of_cell(CELLS[0])


@pytest.fixture
def queue() -> TrialQueue:
    """Two final trials of one cell, with made-up facts of the data."""
    recipe = GRID.recipes["3d"]
    counts = ClassCounts(voxels=(1000, 100, 10, 5), slices=(9, 5, 2, 1), cases=(3, 3, 2, 1))
    key = (recipe.preparation, recipe.class_unit)
    facts = GridFacts(
        splits="sequential", digests={recipe.preparation: "0"}, counts={key: counts}, weights={}
    )
    return TrialQueue(resolve(GRID, facts), {})


def plain_job(due, out) -> Job:
    """A job that could not train, since there is no cache."""
    return Job(
        trial=due.trial,
        spec=due.spec,
        out=str(out),
        cache=str(out / "gone"),
        train=(),
        val=(),
        code=code_of(due.spec),
    )


@dataclass
class Disk:
    """The disk of a run folder, which can be made full. What a node keeps lies on another one."""

    out: Path
    is_full: bool = False


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    disk, fsync = Disk(tmp_path / "run"), os.fsync

    def told(handle):
        if disk.is_full and disk.out in Path(os.readlink(f"/proc/self/fd/{handle}")).parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", told)
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(trials.storage.spool, "FULL_SECONDS", 0.0)
    return disk


def test_f71_a_result_that_finds_no_place_is_no_failure_and_is_brought_when_there_is_room(
    queue, disk
):
    searcher = GridSearcher(queue, lambda due: plain_job(due, disk.out), disk.out)
    first, second = (from_json(Job, searcher.suggest(name)["job"]) for name in ("first", "second"))
    results = [
        TrialResult(trial=job.trial, spec=job.spec, state=COMPLETE, val_score=0.5, code=CODE)
        for job in (first, second)
    ]

    disk.is_full = True
    for made in (
        lambda: write_or_spool(result_path(disk.out, first.trial), result_text(results[0])),
        lambda: attempt(first),
    ):
        with pytest.raises(
            NotWritten,
            match=r"No space left on device; .* MB are free there; free some space and rerun",
        ):
            made()
    searcher.on_trial_complete("first", error=True)
    assert read_results(disk.out) == {}
    assert "No space left" in hindrances(searcher.hindered)
    assert searcher.suggest("third") is None

    disk.is_full = False
    write_result(disk.out, results[1])
    searcher.on_trial_complete("second", {})
    assert searcher.suggest("fourth")["job"] == to_json(first)
    assert attempt(first) == results[0]
    searcher.on_trial_complete("fourth", {})
    assert searcher.suggest("fifth") == GridSearcher.FINISHED
    assert read_results(disk.out) == {result.trial: result for result in results}
    assert not searcher.hindered


def test_f71_a_result_that_waits_here_is_brought_where_its_worker_was_lost_for_good(queue, disk):
    searcher = GridSearcher(queue, lambda due: plain_job(due, disk.out), disk.out)
    job = from_json(Job, searcher.suggest("first")["job"])
    result = TrialResult(trial=job.trial, spec=job.spec, state=COMPLETE, val_score=0.5, code=CODE)
    disk.is_full = True
    with pytest.raises(NotWritten):
        write_or_spool(result_path(disk.out, job.trial), result_text(result))

    disk.is_full = False
    searcher.on_trial_complete("first", error=True)

    assert read_results(disk.out) == {job.trial: result}


def test_f71_where_files_find_no_place_the_run_says_so_and_how_it_goes_on(queue, disk):
    searcher = GridSearcher(queue, lambda due: plain_job(due, disk.out), disk.out)
    for name in ("first", "second"):
        searcher.suggest(name)
        searcher.on_trial_complete(name, {"hindrance": "result.json: No space left on device"})

    assert searcher.suggest("third") == GridSearcher.FINISHED
    said = (
        r"trial \w{12} \(and 1 more\) has no result: result.json: No space left on device. "
        r"Nothing finished is lost"
    )
    assert re.match(said, hindrances(searcher.hindered))


def test_f71_a_disk_that_is_full_for_a_moment_is_asked_again(disk, monkeypatch):
    class MakesRoom:
        """Standard error, at whose first words somebody makes room."""

        def write(self, text):
            disk.is_full = False

        def flush(self):
            pass

    monkeypatch.setattr(trials.storage.spool, "FULL_SECONDS", 60.0)
    monkeypatch.setattr(trials.storage.object_store, "FIRST_PAUSE_SECONDS", 1e-3)
    monkeypatch.setattr(sys, "stderr", MakesRoom())
    disk.is_full = True

    write_or_spool(disk.out / "result.json", "whole")

    assert (disk.out / "result.json").read_text() == "whole"
    assert read_spooled(disk.out / "result.json") is None


def test_f71_a_disk_that_is_full_while_a_trial_runs_makes_no_failed_row(queue, disk):
    job = plain_job(next(iter(queue.due())), disk.out)
    disk.is_full = True

    with pytest.raises(NotWritten, match=r"No space left on device"):
        attempt(job)

    assert read_results(disk.out) == {}


def test_an_unusable_folder_on_the_nodes_own_disk_ends_a_run_before_it_begins(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "file" / "scratch"))

    assert main(["run", "--grid", "demo", "--out", str(tmp_path / "run")]) == 2

    said = capsys.readouterr().err
    assert re.fullmatch(
        r"segbench: SEGBENCH_SCRATCH: .*/scratch/segbench-\d+ cannot be created \(.*\); set .* can "
        r"write to\n",
        said,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_f61_a_worker_that_is_killed_too_often_is_a_row_that_says_so_and_the_others_go_on(
    queue, tmp_path
):
    searcher = GridSearcher(queue, lambda due: plain_job(due, tmp_path), tmp_path)
    job = from_json(Job, searcher.suggest("first")["job"])
    for _ in range(1 + RETRIES_OF_LOST_WORKERS):
        start_attempt(job)
    searcher.on_trial_complete("first", error=True)

    (lost,) = read_results(tmp_path).values()
    assert (lost.state, "worker was lost" in lost.error) == (FAILED, True)
    assert lost.facts == {"attempts": 1 + RETRIES_OF_LOST_WORKERS}
    assert searcher.suggest("second") is not None
    assert RETRIES_OF_LOST_WORKERS >= 2


def test_f64_a_worker_killed_after_its_result_was_written_does_not_train_again(queue, tmp_path):
    done = next(iter(queue.due()))
    result = TrialResult(trial=done.trial, spec=done.spec, state=COMPLETE, val_score=0.5, code=CODE)
    job = plain_job(done, tmp_path)
    write_result(tmp_path, result)
    left = tmp_path / "trials" / done.trial / "checkpoint-000001-0123456789abcdef.pt"
    left.touch()

    assert attempt(job) == result
    assert not left.exists()

    (tmp_path / "trials" / done.trial / "result.json").write_text("torn")
    assert attempt(job).state == FAILED


def test_f67_when_the_head_is_lost_the_same_command_elsewhere_takes_over_and_runs_what_is_left(
    queue, tmp_path
):
    done, left = queue.due()
    write_result(
        tmp_path,
        TrialResult(trial=done.trial, spec=done.spec, state=COMPLETE, val_score=0.5, code=CODE),
    )
    lock = tmp_path / NAME
    lock.write_text(to_json(replace(this_process(), host="head-1", place="head-1 boot", pid=4321)))

    with pytest.raises(
        ValueError,
        match=r"process 4321 on head-1 .* after 180 s without one, rerun the same command",
    ):
        acquire_lock(tmp_path)
    os.utime(lock, (0, lock.stat().st_mtime - STALE_SECONDS - 1))
    with hold_lock(tmp_path) as mine:
        after = TrialQueue(queue.resolved, read_results(tmp_path))

        assert find_lock(tmp_path).path == mine != lock
        assert after.next(set()) == left
        assert after.next({left.trial}) is None


def test_f83_a_report_without_a_finished_trial_says_so_and_ends_with_code_3(tmp_path, capsys):
    made = MadeUp()
    out = write_run(tmp_path / "run", made, [])

    assert main(["report", str(out)]) == 3
    assert "No trial has ended" in (out / "report.html").read_text()

    write_result(out, failure(made, made.cells[0], 0, "oom", "out of memory"))
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n" * 2


def test_f95_an_unfinished_download_is_listed_and_ignored(tmp_path):
    root = dataset_of(tmp_path, 2).root
    (root / "case_00001" / ".imaging.nii.gz.partial").write_bytes(b"half")
    save(root / "case_00001" / "more.partial.nii.gz", asymmetric())

    found = find_dataset("phantoms", root)

    assert [case.case for case in found.cases] == ["case_00000", "case_00001"]
    assert [(fault.case, fault.code, fault.level) for fault in found.faults] == [
        ("case_00001", "partial", WARNING)
    ] * 2


def test_f96_a_trial_asked_for_twice_is_refused_and_equal_specs_are_one_trial(queue):
    with pytest.raises(ValueError, match="names a cell, seed or fold twice; each runs once"):
        check_grid(replace(GRID, cells=CELLS + CELLS))

    names = [due.trial for due in queue.due()]
    assert len(names) == len(set(names)) == 2
    assert names == [due.trial for due in queue.due()]
