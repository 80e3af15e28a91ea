"""One run, stopped three ways and started again each time, ends with the scores of a plain loop
over its trials.
"""

import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, bench_run, on_one_core
from rich.console import Console

from bench.cli import main
from bench.execution.jobs import Places, job_maker
from bench.execution.ready import DataPlaces, make_ready
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import before_data, resolve
from bench.grid.user_file import load_grid
from bench.run_folder.provenance import run_record, write_provenance
from bench.run_folder.status import status_text
from reports.load.run_folder import read_run
from reports.table import write_tables
from trials.storage.atomic import ABANDONED_SECONDS
from trials.training.attempt import attempt

GRID = """
from dataclasses import replace
from bench.grids import DEMO, Tuning, product

RECIPE = replace(DEMO.recipes["3d"], epochs=2, steps_per_epoch=3)
TINY = replace(
    DEMO,
    name="tiny",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("combined", "focal", "weighted_focal"), ("none",)),
    tuning=Tuning(trials=2, epochs=1),
    recipes={"3d": RECIPE},
)
"""
TRIALS = 3 * 2 + 3


@dataclass(frozen=True)
class Stopped:
    """What a stopped driver said, its exit code, and the results that lay there then, with their
    times of writing.
    """

    pid: int
    code: int
    stdout: str
    stderr: str
    results: Mapping[Path, int]


@dataclass(frozen=True)
class Story:
    """A run's folder, how each of its drivers ended, and what others saw while the
    first one ran."""

    out: Path
    stops: Mapping[str, Stopped]
    second: int
    refusal: str
    while_running: str
    afterwards: str
    scores_by_hand: bytes


@pytest.fixture(scope="module")
def story(module_on_cpu, tmp_path_factory):
    place = tmp_path_factory.mktemp("killed")
    (place / "grid.py").write_text(GRID)
    out, stops, refusal = place / "run", {}, StringIO()
    run = start(place, out)
    wait_for_a_result(run)
    with redirect_stderr(refusal):
        second = main(["run", "--grid", str(place / "grid.py"), "--out", str(out)])
    while_running = next(
        text for text in iter(lambda: status_text(out, datetime.now()), "") if "epoch" in text
    )
    stops["Ctrl-C"] = stop(run, out, lambda: os.killpg(run.pid, signal.SIGINT))
    afterwards = status_text(out, datetime.now())
    again = start(place, out)
    wait_for_a_result(again)
    stops["kill -9"] = stop(again, out, lambda: os.kill(again.pid, signal.SIGKILL))
    left = next(out.glob("trials/*")) / ".result.json.half.unfinished"
    left.write_text("what a process leaves that is killed while it writes")
    os.utime(left, (0, left.stat().st_mtime - 2 * ABANDONED_SECONDS))
    last = start(place, out)
    wait_for_a_result(last)
    stops["Ctrl-C, SIGTERM"] = stop(last, out, lambda: send_twice(last))
    ended = bench_run("--grid", place / "grid.py", "--out", out, cwd=ROOT, under=on_one_core())
    assert ended.code == 0, ended.stderr[-3000:]
    by_hand = run_by_hand(place, place / "by_hand")
    return Story(out, stops, second, refusal.getvalue(), while_running, afterwards, by_hand)


def start(place, out):
    """Start the run as a terminal does: in a process group of its own."""
    command = [
        *on_one_core(),
        sys.executable,
        "-m",
        "bench.run",
        "--grid",
        str(place / "grid.py"),
        "--out",
        str(out),
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_a_result(run):
    """Read the run's lines until it tells of a finished trial."""
    for line in run.stderr:
        if re.match(r"\[\d+/", line):
            return


def send_twice(run):
    """Ctrl-C, and SIGTERM as soon as the driver says that it has understood."""
    os.kill(run.pid, signal.SIGINT)
    assert any("a second signal stops the run at once" in line for line in run.stderr)
    os.kill(run.pid, signal.SIGTERM)


def stop(run, out, how):
    """Stop a driver; what it said after its last line that was read."""
    how()
    stdout, stderr = run.communicate()
    results = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/result.json")}
    return Stopped(run.pid, run.returncode, stdout, stderr, results)


def run_by_hand(place, out):
    """The same grid as a loop in this process, without Ray; the bytes of its scores."""
    grid, text = load_grid(str(place / "grid.py"))
    quiet, cache = Console(file=StringIO()), place / "cache"
    data = DataPlaces(data=None, made=place / "data", cache=cache)
    ready = make_ready(resolve(grid, before_data(grid)), {}, data, quiet)
    write_provenance(out, run_record(ready.resolved, ready.prepared.record()), text)
    options = Namespace(save_predictions=False, checkpoint_minutes=1.0)
    make_job = job_maker(Places(out=out, cache=cache, data=None), ready, options, "")
    queue = TrialQueue(ready.resolved, {})
    while (due := queue.next(())) is not None:
        queue.add(attempt(make_job(due)))
    write_tables(read_run(out))
    return (out / "scores.parquet").read_bytes()


def test_f65_a_killed_run_started_again_ends_with_the_same_scores(story):
    assert (story.out / "scores.parquet").read_bytes() == story.scores_by_hand
    assert pd.read_parquet(story.out / "trials.parquet").state.tolist() == ["COMPLETE"] * TRIALS


def test_no_finished_trial_is_lost_or_run_again(story):
    number = [len(stopped.results) for stopped in story.stops.values()]

    assert number == sorted(set(number)), "each start finished something"
    assert number[-1] < TRIALS
    for stopped in story.stops.values():
        assert {path: path.stat().st_mtime_ns for path in stopped.results} == stopped.results


def test_what_a_process_left_half_written_that_was_killed_two_hours_ago_is_swept_at_the_next_start(
    story,
):
    assert not list(story.out.rglob(".result.json.half.unfinished"))


@pytest.mark.parametrize(
    ("name", "code"), [("Ctrl-C", 130), ("Ctrl-C, SIGTERM", 143), ("kill -9", -9)]
)
def test_a_stopped_driver_ends_with_its_signals_code_and_no_traceback(story, name, code):
    assert story.stops[name].code == code, story.stops[name].stderr[-3000:]
    assert "Traceback" not in story.stops[name].stderr


def test_f66_an_interrupted_run_leaves_a_report_of_what_is_there(story):
    interrupted = story.stops["Ctrl-C"]

    assert interrupted.stdout.strip() == str(story.out / "report.html")
    assert "to continue, run: python -m bench.run --grid" in interrupted.stderr


def test_a_second_signal_stops_at_once_without_a_report(story):
    assert story.stops["Ctrl-C, SIGTERM"].stdout == ""


def test_a_second_driver_of_the_same_folder_is_refused_with_the_first_ones_process(story):
    assert story.second == 2
    assert f"is in use by process {story.stops['Ctrl-C'].pid} on " in story.refusal


def test_another_shell_sees_what_runs_and_later_that_the_driver_is_gone(story):
    first = story.stops["Ctrl-C"].pid
    assert f"in use by process {first} on " in story.while_running
    assert re.search(
        r"tune unet3d \w+ none seed 0 setting \d: epoch \d of 1, for \d+ s", story.while_running
    )
    assert f"no driver is running (process {first} on " in story.afterwards
    assert "to continue, run: python -m bench.run --grid" in story.afterwards
