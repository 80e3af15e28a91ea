"""A run that is killed and started again ends with the same scores as one that was left alone."""

import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, bench_run

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


def test_a_killed_run_started_again_ends_with_the_same_scores(place):
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


def test_an_interrupted_run_leaves_a_report_of_what_is_there(place):
    out = place / "interrupted"
    run = start(place, out)
    wait_for_results(run, 1)

    os.killpg(run.pid, signal.SIGINT)
    stdout, stderr = run.communicate()

    assert run.returncode == 130, stderr[-3000:]
    assert stdout.strip().endswith("report.html")
    assert "the same command goes on from here" in stderr
    assert "Traceback" not in stderr
    assert 1 <= len(pd.read_parquet(out / "trials.parquet")) < 6


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
