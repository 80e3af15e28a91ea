"""An object store: one PUT an object, exclusive creation, and patience while it is away. S3 is
moto's, on loopback.
"""

import logging
import time

import pytest
from small_jobs import SPEC

import trials.storage.object_store
from bench.run_folder.lock import hold_lock
from trials.storage.atomic import (
    delete,
    exists,
    find_files,
    modified_ns,
    read_bytes,
    read_text,
    to_path,
    write_text,
)
from trials.storage.object_store import StoreUnavailable, put_new, retry
from trials.training.checkpoint import Checkpoints


def test_an_object_is_written_with_one_put_and_read_back(bucket, caplog):
    path = bucket / "run" / "trials" / "a" / "result.json"

    with caplog.at_level(logging.INFO, logger="werkzeug"):
        write_text(path, "{}")
    requests = [record.getMessage() for record in caplog.records if record.name == "werkzeug"]

    assert len(requests) == 1
    assert "PUT /" in requests[0]
    assert read_text(path) == "{}"
    assert abs(modified_ns(path) / 1e9 - time.time()) < 600
    assert [str(found) for found in find_files(bucket / "run", "trials/*/result.json")] == [
        str(path)
    ]
    with pytest.raises(FileNotFoundError):
        read_bytes(bucket / "nothing")


@pytest.fixture
def away(store, bucket, monkeypatch):
    """A bucket with one checkpoint, whose store went away, for longer than anybody asks again."""
    write_text(bucket / "run" / "a.json", "{}")
    Checkpoints(folder=bucket / "run", spec=SPEC).save(0, {})
    store.stop()
    monkeypatch.setattr(trials.storage.object_store, "FIRST_PAUSE_SECONDS", 1e6)
    yield bucket
    store.start()


def test_whether_an_object_is_there(bucket):
    write_text(bucket / "run" / "a.json", "{}")

    assert [exists(bucket / name) for name in ("run/a.json", "run/b.json", "run")] == [
        True,
        False,
        False,
    ]
    for _ in range(2):
        delete(bucket / "run" / "a.json")
        assert not exists(bucket / "run" / "a.json")


@pytest.mark.parametrize(
    "ask", [exists, read_bytes, modified_ns, delete, lambda path: put_new(path, b"")]
)
def test_a_store_that_is_away_is_no_answer_to_any_question(away, ask):
    with pytest.raises(
        StoreUnavailable, match=r"run/a\.json: the store refuses or does not answer"
    ):
        ask(away / "run" / "a.json")


def test_checkpoints_that_cannot_be_read_for_an_outage_do_not_make_a_trial_begin_anew(away):
    with pytest.raises(StoreUnavailable):
        Checkpoints(folder=away / "run", spec=SPEC).load()


def test_what_cannot_be_deleted_for_an_outage_stays(away):
    Checkpoints(folder=away / "run", spec=SPEC).discard()


def test_a_lock_is_left_by_a_driver_that_ends_in_an_outage(store, bucket, monkeypatch):
    with hold_lock(bucket / "run") as lock:
        store.stop()
    store.start()

    assert exists(lock)


def test_of_two_who_store_a_new_object_one_does(bucket):
    assert [put_new(bucket / "lock", text) for text in (b"first", b"second")] == [True, False]
    assert read_bytes(bucket / "lock") == b"first"


def test_an_unknown_scheme_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"^nonsense://a/b: .*nonsense.*; name a local folder, or install"
    ):
        to_path("nonsense://a/b")


def test_a_store_that_comes_back_is_asked_until_it_answers_and_an_absent_file_is_an_answer(
    monkeypatch, capsys
):
    monkeypatch.setattr(trials.storage.object_store, "FIRST_PAUSE_SECONDS", 1e-3)
    answers = iter([ConnectionError("away"), TimeoutError("away"), "there"])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry(ask, "s3://b/a") == "there"
    assert capsys.readouterr().err.count("retrying") == 1
    with pytest.raises(
        OSError, match=r"s3://b/a: the store refuses or does not answer \(ConnectionError: away\)"
    ):
        retry(lambda: raise_(ConnectionError("away")), "s3://b/a", 0)
    with pytest.raises(FileNotFoundError):
        retry(lambda: raise_(FileNotFoundError("none")), "s3://b/a")


def raise_(error):
    raise error
