"""What another shell is told of a run: its counts by phase, what runs, and whether anybody drives
it.
"""

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event

import pytest

from bench.run_folder.lock import NAME, hold_lock, this_process
from bench.run_folder.status import Running, Status, send_heartbeats, status_text, write_status
from trials.records.codec import to_json
from trials.records.result import TrialResult
from trials.records.result_file import write_result
from trials.records.run_record import write_run_record
from trials.records.spec import Cell, Recipe, TrialSpec
from trials.storage.checksum import add_checksum

NOW = datetime(2026, 11, 23, 12, 0, 10)
STATUS = Status(
    host="node1",
    pid=77,
    started="2026-11-23T10:00:00",
    updated="2026-11-23T12:00:00",
    running=(
        Running(
            phase="tune",
            text="tune vnet focal none seed 0 setting 1",
            epoch=2,
            epochs=8,
            seconds=30.0,
        ),
    ),
    best="best on validation so far: tune vnet",
    ends="2026-11-24T07:30:00",
)


@pytest.fixture
def out(tmp_path):
    """A run of four tuning and two final trials: two are done, one is pruned, one has failed, one
    was interrupted.
    """
    record = {
        "grid": "tiny",
        "started": "2026-11-23T10:00:00",
        "command": "python -m bench.run --grid tiny",
    }
    write_run_record(tmp_path, record | {"planned": {"pretrain": 0, "tune": 4, "final": 2}})
    ends = [
        ("tune", "COMPLETE"),
        ("tune", "COMPLETE"),
        ("tune", "PRUNED"),
        ("final", "FAILED"),
        ("final", "FAILED"),
    ]
    for number, (phase, state) in enumerate(ends):
        leave(tmp_path, number, phase, state, "interrupted" if number == 4 else None)
    return tmp_path


def leave(out, number, phase, state, reason=None):
    """Write the result of one trial."""
    spec = TrialSpec(
        dataset="phantoms",
        data="d",
        splits="s",
        fold=0,
        cell=Cell(model="vnet", loss="focal", sampling="none"),
        hyper={"lr": 0.01},
        recipe=Recipe(epochs=8, batch_size=2),
        seed=0,
        phase=phase,
    )
    write_result(out, TrialResult(trial=str(number), spec=spec, state=state, reason=reason))


def row(text, phase):
    return next(line.split()[1:] for line in text.splitlines() if line.startswith(phase))


def test_a_driven_run_tells_its_counts_what_runs_and_when_it_ends(out):
    write_status(out, STATUS)

    with hold_lock(out):
        text = status_text(out, NOW)

    assert f"in use by process {os.getpid()} on {this_process().host}" in text
    assert text.split("phase")[1].split("\n")[0].split() == [
        "planned",
        "done",
        "pruned",
        "failed",
        "running",
        "pending",
    ]
    assert row(text, "tune ") == ["4", "2", "1", "0", "1", "0"]
    assert row(text, "final") == ["2", "0", "0", "1", "0", "1"]
    assert "tune vnet focal none seed 0 setting 1: epoch 2 of 8, for 40 s" in text
    assert "ends about 2026-11-24 07:30:00" in text


def test_a_run_whose_driver_is_gone_says_so_and_shows_nothing_as_running(out):
    write_status(out, STATUS)
    (out / NAME).write_text(to_json(replace(this_process(), born="another time")))

    text = status_text(out, NOW)

    assert "no driver is running (process 77 on node1, last heartbeat 2026-11-23T12:00:00)" in text
    assert "to continue, run: python -m bench.run --grid tiny" in text
    assert row(text, "tune ") == ["4", "2", "1", "0", "0", "1"]
    assert "ends about" not in text


def test_a_run_with_nothing_left_is_finished(out):
    leave(out, 4, "final", "COMPLETE")
    leave(out, 5, "tune", "COMPLETE")

    assert status_text(out, NOW).splitlines()[1] == "finished"


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"run\.json does not exist"):
        status_text(tmp_path, NOW)


def test_an_event_is_told_at_once(tmp_path):
    changed, told = Event(), Event()
    asked = []

    def look():
        asked.append(NOW + timedelta(seconds=len(asked)))
        if len(asked) == 2:
            told.set()
        return replace(STATUS, updated=asked[-1].isoformat())

    with hold_lock(tmp_path) as lock, send_heartbeats(lock, look, changed):
        changed.set()
        assert told.wait(5)

    assert len(asked) >= 3
    assert json.loads((tmp_path / "status.json").read_text())["updated"] == asked[-1].isoformat()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("status.json", "junk", "it is no JSON: expected value"),
        ("status.json", "[" * 100_000, "nested too deep"),
        (
            "status.json",
            to_json(replace(STATUS, updated="yesterday")),
            "updated must be a date and time",
        ),
        (
            "status.json",
            to_json(replace(STATUS, ends="2026-11-24T07:30:00+00:00")),
            "ends must be a date and time",
        ),
        ("trials/0/result.json", "[" * 100_000, "nested too deep"),
        (
            "trials/0/result.json",
            '{"trial": 7}',
            "TrialResult.trial must be str; got 7",
        ),
        (
            "trials/0/result.json",
            add_checksum('{"spec": {"phase": "tune"},\n "state": "COMPLETE"\n}').replace(
                "tu", "to"
            ),
            "checksum",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(out, file, text, words):
    (out / file).write_text(text)

    with pytest.raises(
        ValueError,
        match=rf"^{out / file} is damaged \(.*{words}.*\); (delete it|run the grid again)",
    ):
        status_text(out, NOW)
