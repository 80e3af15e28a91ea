"""A trial whose run folder and cache lie in a bucket, and one whose result finds no place. S3 is
moto's, on loopback.
"""

import re
from dataclasses import replace

import pytest
from small_jobs import RECIPE, comparable, make_job

from trials.data.prepared.node_copy import transfer
from trials.records.codec import from_json
from trials.records.job import result_path
from trials.records.result import TrialResult
from trials.storage.atomic import find_files, read_bytes, read_text
from trials.training.attempt import attempt


@pytest.fixture(scope="module")
def straight(small_cache, module_on_cpu, tmp_path_factory):
    """A small trial in a folder, for comparison: its job and its result."""
    recipe = replace(RECIPE, epochs=2, steps_per_epoch=1)
    job = make_job(small_cache, tmp_path_factory.mktemp("straight"), recipe=recipe)
    return job, attempt(job)


def test_f69_a_trial_in_a_bucket_outlives_an_outage_and_ends_as_in_a_folder(
    store, bucket, small_cache, straight
):
    transfer(
        small_cache.parents[1],
        bucket / "cache",
        [path for path in small_cache.parents[1].glob("*/*/*") if path.is_file()],
    )
    cache = bucket / "cache" / small_cache.parent.name / small_cache.name
    job = replace(straight[0], out=str(bucket / "run"), cache=str(cache), checkpoint_minutes=0.0)
    away = []

    def on_epoch(score, reached):
        (store.start if away else store.stop)()
        away.append(score.epoch)

    result = attempt(job, on_epoch)

    assert away == [0, 1]
    assert comparable(result) == comparable(straight[1])
    assert re.match(
        r"no checkpoint after epoch 0 \(s3://.*refuses or does not answer",
        result.facts["checkpoints"][0],
    )
    assert from_json(TrialResult, read_text(result_path(bucket / "run", job.trial))) == result
    assert not find_files(bucket / "run", "trials/*/checkpoint-*.pt")
    assert read_bytes(bucket / "run" / "trials" / job.trial / "best.pt")


def test_f69_a_store_that_stays_away_is_no_failure_of_the_trial_which_runs_once_it_is_back(
    store, bucket, small_cache, straight, tmp_path, monkeypatch
):
    files = [path for path in small_cache.parents[1].glob("*/*/*") if path.is_file()]
    transfer(small_cache.parents[1], bucket / "other", files)
    cache = bucket / "other" / small_cache.parent.name / small_cache.name
    job = replace(straight[0], out=str(tmp_path / "run"), cache=str(cache))
    store.stop()

    with monkeypatch.context() as impatient:
        impatient.setattr("trials.storage.object_store.FIRST_PAUSE_SECONDS", 1e6)
        with pytest.raises(OSError, match=r"manifest\.json: the store refuses or does not answer"):
            attempt(job)
    assert not find_files(tmp_path / "run", "trials/*/result.json")

    store.start()
    assert comparable(attempt(job)) == comparable(straight[1])


def test_a_result_that_could_not_be_written_is_delivered_by_the_next_attempt_without_training(
    straight, tmp_path, monkeypatch
):
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    job = replace(straight[0], out=str(tmp_path / "run"))
    blocked = tmp_path / "run" / "trials" / job.trial / "result.json"
    blocked.mkdir(parents=True)
    (blocked / "in the way").touch()

    with pytest.raises(OSError, match=r"result\.json"):
        attempt(job)
    (blocked / "in the way").unlink()
    blocked.rmdir()
    epochs = []
    result = attempt(job, lambda score, reached: epochs.append(score.epoch))

    assert epochs == []
    assert from_json(TrialResult, read_text(result_path(tmp_path / "run", job.trial))) == result
    assert not list((tmp_path / "scratch").glob("*/read_spooled/*"))
