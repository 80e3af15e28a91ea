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


def kill_after_the_first_results(place, out):
    """Start the run in a session of its own and kill its driver as soon as a second result is written."""
    command = [sys.executable, "-m", "bench.run", "--grid", str(place / "grid.py"), "--out", str(out)]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        for line in run.stderr:
            if line.startswith("[2/"):
                break
        os.kill(run.pid, signal.SIGKILL)
        run.stderr.read()
    return out
