"""A training worker that is killed and started again leaves the weights of one that was left alone,
and says what happened.
"""

import os
import signal
import subprocess
import sys
from dataclasses import replace

from conftest import ROOT
from small_jobs import RECIPE, comparable, make_job

from trials.records.codec import to_json
from trials.records.job import best_path
from trials.training.attempt import attempt

WORKER = """
import sys, time
from trials.training.attempt import attempt
from trials.records.job import Job
from trials.records.codec import from_json

def tell(score, reached):
    if score.epoch == 1:
        print("second epoch", flush=True)
        time.sleep(600)

attempt(from_json(Job, sys.stdin.read()), tell)
"""


def test_f61_f64_a_killed_worker_goes_on_from_its_checkpoint_to_the_same_weights(
    small_cache, tmp_path, on_cpu
):
    recipe = replace(RECIPE, steps_per_epoch=1)
    straight, killed = (
        make_job(small_cache, tmp_path / name, recipe=recipe, checkpoint_minutes=0.0)
        for name in ("straight", "killed")
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    worker.stdin.write(to_json(killed))
    worker.stdin.close()
    assert worker.stdout.readline() == "second epoch\n"
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    epochs = []

    whole, resumed = (
        attempt(straight),
        attempt(killed, lambda score, reached: epochs.append(score.epoch)),
    )

    assert epochs == [1, 2]
    assert comparable(resumed) == comparable(whole)
    assert (whole.facts.get("attempts"), resumed.facts.get("attempts")) == (None, 2)
    assert (
        best_path(killed.out, killed.trial).read_bytes()
        == best_path(straight.out, straight.trial).read_bytes()
    )
