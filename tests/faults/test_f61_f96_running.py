"""Faults of a run that other files do not show: a worker lost for good, leftovers, a trial asked for twice."""

import os
from dataclasses import replace

import pytest
from nifti_toys import asymmetric, dataset_of, save

from bench.agenda import Agenda
from bench.check import check_grid
from bench.expand import Facts
from bench.grids import DEMO, product
from bench.ledger import read_results
from bench.lock import NAME, STALE_SECONDS, driving, find, myself, take
from trials.attempt import attempt, write_result
from trials.data.datasets import find_dataset
from trials.data.faults import WARNING
from trials.data.sampling import ClassCounts
from trials.job import Job
from trials.records import to_json
from trials.result import COMPLETE, FAILED, TrialResult

CELLS = product(("unet3d",), ("focal",), ("none",))
GRID = replace(DEMO, cells=CELLS, tuning=None, seeds=(0, 1))


@pytest.fixture
def agenda() -> Agenda:
    """Two final trials of one cell, with made-up facts of the data."""
    recipe = GRID.recipes["3d"]
    counts = ClassCounts(voxels=(1000, 100, 10, 5), slices=(9, 5, 2, 1), cases=(3, 3, 2, 1))
    key = (recipe.preparation, recipe.class_unit)
    return Agenda(GRID, Facts(splits="sequential", digests={recipe.preparation: "0"}, counts={key: counts}, weights={}), {})


def test_f61_a_worker_that_is_killed_too_often_is_a_row_that_says_so_and_the_others_go_on(agenda, tmp_path):
    from bench.tuning.driver import RETRIES_OF_LOST_WORKERS
    from bench.tuning.searcher import GridSearcher

    def job(due):
        return Job(trial=due.trial, spec=due.spec, out=str(tmp_path), cache="", train=(), val=())

    searcher = GridSearcher(agenda, job, tmp_path)
    searcher.suggest("first")
    searcher.on_trial_complete("first", error=True)

    (lost,) = read_results(tmp_path).values()
    assert (lost.state, "worker was lost" in lost.error) == (FAILED, True)
    assert searcher.suggest("second") is not None
    assert RETRIES_OF_LOST_WORKERS >= 2


def test_f64_a_worker_killed_after_its_result_was_written_does_not_train_again(agenda, tmp_path):
    done = next(iter(agenda.due()))
    result = TrialResult(trial=done.trial, spec=done.spec, state=COMPLETE, val_score=0.5)
    job = Job(trial=done.trial, spec=done.spec, out=str(tmp_path), cache=str(tmp_path / "gone"), train=(), val=())
    write_result(tmp_path, result)
    left = tmp_path / "trials" / done.trial / "checkpoint-000001-0123456789abcdef.pt"
    left.touch()

    assert attempt(job) == result
    assert not left.exists()

    (tmp_path / "trials" / done.trial / "result.json").write_text("torn")
    assert attempt(job).state == FAILED


def test_f67_when_the_head_is_lost_the_same_command_elsewhere_takes_over_and_runs_what_is_left(agenda, tmp_path):
    done, left = agenda.due()
    write_result(tmp_path, TrialResult(trial=done.trial, spec=done.spec, state=COMPLETE, val_score=0.5))
    lock = tmp_path / NAME
    lock.write_text(to_json(replace(myself(), host="head-1", place="head-1 boot", pid=4321)))

    with pytest.raises(ValueError, match=r"process 4321 on head-1 .* after 180 s of silence .* the same command takes over"):
        take(tmp_path)
    os.utime(lock, (0, lock.stat().st_mtime - STALE_SECONDS - 1))
    with driving(tmp_path) as mine:
        after = Agenda(GRID, agenda.facts, read_results(tmp_path))

        assert find(tmp_path).path == mine != lock
        assert after.next(set()) == left
        assert after.next({left.trial}) is None


def test_f95_an_unfinished_download_is_listed_and_ignored(tmp_path):
    root = dataset_of(tmp_path, 2).root
    (root / "case_00001" / ".imaging.nii.gz.partial").write_bytes(b"half")
    save(root / "case_00001" / "more.partial.nii.gz", asymmetric())

    found = find_dataset("phantoms", root)

    assert [case.case for case in found.cases] == ["case_00000", "case_00001"]
    assert [(fault.case, fault.code, fault.level) for fault in found.faults] == [("case_00001", "partial", WARNING)] * 2


def test_f96_a_trial_asked_for_twice_is_refused_and_equal_specs_are_one_trial(agenda):
    with pytest.raises(ValueError, match="names a cell or a seed twice; each runs once"):
        check_grid(replace(GRID, cells=CELLS + CELLS))

    names = [due.trial for due in agenda.due()]
    assert len(names) == len(set(names)) == 2
    assert names == [due.trial for due in agenda.due()]
