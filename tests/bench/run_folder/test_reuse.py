"""Another run's results are taken over where spec, data and code are the same; none is trained."""

from dataclasses import replace

import pytest
from test_trial_queue import FACTS, GRID, outcome

from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import resolve
from bench.grids import Range
from bench.run_folder.continuing import refuse_other_grid
from bench.run_folder.reuse import Reuse, open_run
from trials.identity.code_identity import code_of
from trials.records.result import COMPLETE, FAILED
from trials.records.result_file import read_results, write_result
from trials.records.run_record import read_run_record, write_run_record

DATA = {"fingerprint": "f" * 16, "split_hash": {"0": "s" * 16}}
RECORD = {"grid": "toy", "dataset": "phantoms", "cells": [], "seeds": [0, 1], "data": DATA}
# Only the focal loss has a gamma.
NARROW = {**GRID.spaces["*"], "gamma": Range(low=0.1, high=0.9)}
OTHER_RANGE = replace(GRID, spaces={**GRID.spaces, "*": NARROW})


def result_of(spec, state=COMPLETE):
    return replace(outcome(spec, state), code=code_of(spec))


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A finished run of GRID: 2 pretrainings, 3 settings of each of 4 cells, 2 final trials of
    each; the second final trial of the last cell failed.
    """
    out = tmp_path_factory.mktemp("before")
    write_run_record(out, RECORD | {"commit": "abc", "started": "2026-11-01T00:00:00+00:00"})
    queue = TrialQueue(resolve(GRID, FACTS), {})
    while (due := queue.next(())) is not None:
        is_final = (due.spec.phase, due.spec.seed) == ("final", 1)
        is_last = is_final and due.spec.cell == GRID.cells[-1]
        queue.add(result_of(due.spec, FAILED if is_last else COMPLETE))
        write_result(out, queue.results[due.trial])
        (out / "trials" / due.trial / "checkpoint-1.pt").touch()
        (out / "trials" / due.trial / "best.pt").write_text(due.trial)
    (out / "cases").mkdir()
    (out / "cases" / "case_00000.npz").touch()
    return out


def start(grid, before, out):
    """A new run that reuses the one before: its queue, and what it takes over."""
    queue = TrialQueue(resolve(grid, FACTS), read_results(out))
    reuse = Reuse(out, [open_run(before, out, DATA)])
    reuse.add_to(queue)
    return queue, reuse


def test_the_same_grid_takes_over_all_but_what_failed(before, tmp_path):
    queue, reuse = start(GRID, before, tmp_path)
    reuse.copy()

    (left,) = (one for one in queue.due() if one.trial not in queue.results)
    assert (left.spec.phase, left.spec.seed, left.spec.cell) == ("final", 1, GRID.cells[-1])
    assert reuse.text(queue).splitlines() == [
        f"taken over from {before}: 21 of 22 results (1 failed or ran other code)",
        "1 trials are left to run",
    ]
    assert read_results(tmp_path).keys() == queue.results.keys()
    trial = next(iter(queue.results))
    assert {path.name for path in (tmp_path / "trials" / trial).iterdir()} == {
        "result.json",
        "best.pt",
    }
    assert (tmp_path / "cases" / "case_00000.npz").exists()
    assert not (tmp_path / "trials" / left.trial).exists()


def test_a_changed_range_takes_over_the_cells_that_it_leaves_as_they_were(before, tmp_path):
    queue, reuse = start(OTHER_RANGE, before, tmp_path)

    # Both pretrainings, the two cells of the combined loss, and the default setting of the others.
    assert len(queue.results) == 2 + 2 * (3 + 2) + 2 * 1
    assert reuse.text(queue).endswith("8 trials are left to run")
    while (due := queue.next(())) is not None:
        queue.add(reuse.take(due) or result_of(due.spec))
    # Where the default setting is selected again, its final trials are known.
    finals = {trial for trial, one in queue.results.items() if one.spec.phase == "final"}
    of_focal = [one for one in finals if queue.results[one].spec.cell.loss == "focal"]
    assert len(of_focal) == 4
    taken = sum(entry["trials"] for entry in reuse.record())
    assert taken == 14 + sum((tmp_path / "trials" / trial).exists() for trial in of_focal)


def test_the_record_names_the_run_and_adds_up_over_restarts(before, tmp_path):
    _, reuse = start(OTHER_RANGE, before, tmp_path)
    entry = {"run": str(before), "grid": "toy", "commit": "abc"}
    entry |= {"started": "2026-11-01T00:00:00+00:00", "trials": 14}

    assert reuse.record() == [entry]
    write_run_record(tmp_path, RECORD | {"reused": reuse.record()})
    assert Reuse(tmp_path, []).record() == [entry]
    assert read_run_record(tmp_path)["reused"] == [entry]


def test_other_code_is_not_taken_over(before, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.run_folder.reuse.code_of", lambda spec: {"segbench": "of today"})
    queue, reuse = start(GRID, before, tmp_path)

    assert not queue.results
    assert "0 of 22 results (22 failed or ran other code)" in reuse.text(queue)


@pytest.mark.parametrize(
    ("key", "other"), [("fingerprint", "other"), ("split_hash", {"0": "other", "1": "more"})]
)
def test_a_run_on_other_data_is_refused(before, tmp_path, key, other):
    with pytest.raises(ValueError, match=rf"same cases and splits; its data\.{key} is .*; leave"):
        open_run(before, tmp_path, DATA | {key: other})


def test_a_run_does_not_reuse_itself(before):
    with pytest.raises(ValueError, match="--reuse must be outside of --out"):
        open_run(before, before, DATA)


def test_a_changed_range_in_the_same_folder_is_refused_with_the_flag(before):
    write_run_record(before, RECORD | {"spaces": {"*": {"gamma": {"low": 0.5}}}})
    with pytest.raises(ValueError, match=f"with --reuse {before} to take over the results of all "):
        refuse_other_grid(before, RECORD | {"spaces": {"*": {"gamma": {"low": 0.1}}}})
