"""What another shell is told of a run: its counts by phase, what runs, and whether anybody drives
it.
"""

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event

import pytest

from bench.run_folder.heartbeat import beating
from bench.run_folder.lock import NAME, driving, myself
from bench.run_folder.status import Running, Status, status_text, write_status
from trials.records.codec import to_json
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
    (tmp_path / "run.json").write_text(
        json.dumps(record | {"planned": {"pretrain": 0, "tune": 4, "final": 2}})
    )
    ends = [
        ("tune", "COMPLETE"),
        ("tune", "COMPLETE"),
        ("tune", "PRUNED"),
        ("final", "FAILED"),
        ("final", "FAILED"),
    ]
    for number, (phase, state) in enumerate(ends):
        folder = tmp_path / "trials" / str(number)
        folder.mkdir(parents=True)
        reason = "interrupted" if number == 4 else None
        (folder / "result.json").write_text(
            json.dumps({"spec": {"phase": phase}, "state": state, "reason": reason})
        )
    return tmp_path


def row(text, phase):
    return next(line.split()[1:] for line in text.splitlines() if line.startswith(phase))


def test_a_driven_run_tells_its_counts_what_runs_and_when_it_ends(out):
    write_status(out, STATUS)

    with driving(out):
        text = status_text(out, NOW)

    assert f"driven by process {os.getpid()} on {myself().host}" in text
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
    (out / NAME).write_text(to_json(replace(myself(), born="another time")))

    text = status_text(out, NOW)

    assert "the driver is gone (process 77 on node1, last sign 2026-11-23T12:00:00)" in text
    assert "go on with: python -m bench.run --grid tiny" in text
    assert row(text, "tune ") == ["4", "2", "1", "0", "0", "1"]
    assert "ends about" not in text


def test_a_run_with_nothing_left_is_finished(out):
    (out / "trials" / "4" / "result.json").write_text(
        json.dumps({"spec": {"phase": "final"}, "state": "COMPLETE"})
    )
    (out / "trials" / "5").mkdir()
    (out / "trials" / "5" / "result.json").write_text(
        json.dumps({"spec": {"phase": "tune"}, "state": "COMPLETE"})
    )

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

    with driving(tmp_path) as lock, beating(lock, look, changed):
        changed.set()
        assert told.wait(5)

    assert len(asked) >= 3
    assert json.loads((tmp_path / "status.json").read_text())["updated"] == asked[-1].isoformat()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("status.json", "junk", "Expecting value"),
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
            '{"spec": {"phase": "tune"}, "state": ["x"]}',
            "state must be str",
        ),
        (
            "trials/0/result.json",
            add_checksum('{"spec": {"phase": "tune"},\n "state": "COMPLETE"\n}').replace(
                "tu", "to"
            ),
            "digest",
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
