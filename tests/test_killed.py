"""A run that is killed and started again ends with the same scores as one that was left alone."""

import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, bench_run

from bench.cli import main
from bench.status import status_text

GRID = """
from dataclasses import replace
from bench.grids import DEMO, Tuning, product

RECIPE = replace(DEMO.recipes["3d"], epochs=3, steps_per_epoch=3)
TINY = replace(
    DEMO,
    name="tiny",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("combined", "focal"), ("none",)),
    tuning=Tuning(trials=2, epochs=1),
    recipes={"3d": RECIPE},
)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "grid.py").write_text(GRID)
    return folder


def test_f65_a_killed_run_started_again_ends_with_the_same_scores(place):
    straight = bench_run("--grid", place / "grid.py", "--out", place / "straight", cwd=ROOT)
    assert straight.code == 0, straight.stderr[-3000:]
    killed = kill_after_the_first_results(place, place / "killed")
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("trials/*/result.json")}

    again = bench_run("--grid", place / "grid.py", "--out", killed, cwd=ROOT)

    assert again.code == 0, again.stderr[-3000:]
    assert 2 <= len(kept) < 6
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (killed / "scores.parquet").read_bytes() == (straight.out / "scores.parquet").read_bytes()
    assert pd.read_parquet(killed / "trials.parquet").state.tolist() == ["COMPLETE"] * 6


@dataclass(frozen=True)
class Interrupted:
    """A run that got one Ctrl-C: what its driver and another shell said, and the folder as it stopped."""

    pid: int
    code: int
    stdout: str
    stderr: str
    second: int
    refusal: str
    while_running: str
    out: Path


@pytest.fixture(scope="module")
def interrupted(place):
    out = place / "interrupted"
    run = start(place, out)
    wait_for_results(run, 1)
    refusal = StringIO()
    with redirect_stderr(refusal):
        second = main(["run", "--grid", str(place / "grid.py"), "--out", str(out)])
    while_running = status_text(out, datetime.now())
    os.killpg(run.pid, signal.SIGINT)
    stdout, stderr = run.communicate()
    return Interrupted(run.pid, run.returncode, stdout, stderr, second, refusal.getvalue(), while_running, out)


def test_f66_an_interrupted_run_leaves_a_report_of_what_is_there(interrupted):
    assert interrupted.code == 130, interrupted.stderr[-3000:]
    assert interrupted.stdout.strip().endswith("report.html")
    assert "the same command goes on from here: python -m bench.run --grid" in interrupted.stderr
    assert "Traceback" not in interrupted.stderr
    assert 1 <= len(pd.read_parquet(interrupted.out / "trials.parquet")) < 6


def test_a_trial_that_ran_when_the_user_stopped_keeps_its_state_and_leaves_no_result(interrupted):
    begun = [folder for folder in (interrupted.out / "trials").iterdir() if not (folder / "result.json").exists()]

    assert begun
    assert all(any(folder.iterdir()) for folder in begun)


def test_a_second_driver_of_the_same_folder_is_refused_with_the_first_ones_process(interrupted):
    assert interrupted.second == 2
    assert f"is driven by process {interrupted.pid} on " in interrupted.refusal


def test_another_shell_sees_what_runs_and_later_that_the_driver_is_gone(interrupted):
    assert f"driven by process {interrupted.pid} on " in interrupted.while_running
    assert re.search(r"tune unet3d \w+ none seed 0 setting \d: epoch \d of 1, for \d+ s", interrupted.while_running)

    afterwards = status_text(interrupted.out, datetime.now())

    assert f"the driver is gone (process {interrupted.pid} on " in afterwards
    assert "go on with: python -m bench.run --grid" in afterwards


def start(place, out):
    """Start the run as a terminal does: in a process group of its own."""
    command = [sys.executable, "-m", "bench.run", "--grid", str(place / "grid.py"), "--out", str(out)]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_results(run, number):
    """Read the run's lines until it tells of so many finished trials."""
    for line in run.stderr:
        if line.startswith(f"[{number}/"):
            return


def kill_after_the_first_results(place, out):
    """Kill a run's driver as soon as a second result is written."""
    run = start(place, out)
    wait_for_results(run, 2)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    return out
