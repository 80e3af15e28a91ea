"""One run, stopped three ways and started again each time, the last time with an edited loss, ends
with the scores of a plain loop over its trials.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from by_hand import run_by_hand
from conftest import ROOT, bench_run, on_one_core
from event_files import scalars

from bench.cli import main
from bench.run_folder.status import status_text
from reports.load.run_folder import read_run
from reports.table import write_tables
from trials.identity.code_identity import code_of_cell
from trials.losses import LOSSES
from trials.records.result_file import read_results
from trials.records.spec import Cell
from trials.storage.atomic import ABANDONED_SECONDS

# Its own loss waits while a file is there: the first driver then cannot end before it is stopped.
GRID = """
import time
from dataclasses import replace
from pathlib import Path

from bench.grids import DEMO, LOSSES, Entry, Tuning, product

def squared(counts, missed=MISSED):
    def loss(logits, labels):
        # A loss is tried once on logits of this edge before any training.
        while logits.shape[-1] != 16 and Path("HELD").exists():
            time.sleep(0.1)
        probs = logits.softmax(1)
        errors = [probs[:, k] - missed * (labels == k) for k in range(logits.shape[1])]
        return sum(error.square().mean() for error in errors)
    return loss

LOSSES["squared"] = Entry(squared)
RECIPE = replace(DEMO.recipes["3d"], epochs=2, steps_per_epoch=3)
TINY = replace(
    DEMO,
    name="tiny",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("squared", "focal", "weighted_focal"), ("none",)),
    tuning=Tuning(trials=2, epochs=1),
    recipes={"3d": RECIPE},
)
"""
TRIALS = 3 * 2 + 3
OWN = Cell(model="unet3d", loss="squared", sampling="none")
WAITS = r"tune unet3d squared none seed 0 setting \d: epoch 0 of 1, for \d+ s"
SAME_CODE = (
    '<li class="pass"><span class="state">passed</span><span class="claim">All trials ran '
    "the same code</span>"
)


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
class Edited:
    """What the same command answers after an edit of the loss, and the files and finished losses
    that lie there before and after it.
    """

    code: int
    refusal: str
    before: Mapping[Path, bytes]
    after: Mapping[Path, bytes]
    losses: Mapping[Path, str]


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
    edited: Edited
    scores_by_hand: bytes


@pytest.fixture(scope="module")
def story(module_on_cpu, tmp_path_factory):
    place = tmp_path_factory.mktemp("killed")
    write_grid(place, "0.7")
    out, stops, refusal = place / "run", {}, StringIO()
    run = start(place, out)
    wait_for_a_result(run)
    (held := place / "held").touch()
    with redirect_stderr(refusal):
        second = main(["run", "--grid", str(place / "grid.py"), "--out", str(out)])
    # Ends with StopIteration where the driver ends first.
    states = iter(lambda: run.poll() is None and status_text(out, datetime.now()), False)
    while_running = next(text for text in states if re.search(WAITS, text))
    stops["Ctrl-C"] = stop(run, out, lambda: (os.killpg(run.pid, signal.SIGINT), held.unlink()))
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
    edited = edit(place, out)
    arguments = ("--grid", place / "grid.py", "--out", out, "--rerun-changed")
    ended = bench_run(*arguments, "--track", "tensorboard", cwd=ROOT, under=on_one_core())
    assert ended.code == 0, ended.stderr[-3000:]
    run_by_hand(place, place / "by_hand")
    write_tables(read_run(place / "by_hand"))
    by_hand = (place / "by_hand" / "scores.parquet").read_bytes()
    yield Story(out, stops, second, refusal.getvalue(), while_running, afterwards, edited, by_hand)
    LOSSES.pop("squared", None)


def write_grid(place, missed):
    """Write the grid with a default of its own loss."""
    text = GRID.replace("MISSED", missed).replace("HELD", str(place / "held"))
    (place / "grid.py").write_text(text)


def edit(place, out):
    """Edit the loss in the grid file and give the same command."""
    write_grid(place, "0.6")
    losses = {
        out / "trials" / trial / "result.json": result.spec.cell.loss
        for trial, result in read_results(out).items()
    }
    before, refusal = files(out), StringIO()
    with redirect_stderr(refusal):
        code = main(["run", "--grid", str(place / "grid.py"), "--out", str(out)])
    return Edited(code, refusal.getvalue(), before, files(out), losses)


def files(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


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
        "--track",
        "tensorboard",
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
    heard = []
    for line in run.stderr:
        heard.append(line)
        if re.match(r"\[\d+/", line):
            return
    pytest.fail("the run ended before a trial did: " + "".join(heard))


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


def test_f65_a_killed_run_started_again_ends_with_the_same_scores(story):
    assert (story.out / "scores.parquet").read_bytes() == story.scores_by_hand
    assert pd.read_parquet(story.out / "trials.parquet").state.tolist() == ["COMPLETE"] * TRIALS


def test_a_tracker_holds_each_final_trial_once_with_every_epoch(story):
    folders = sorted((story.out / "tensorboard").glob("*/*/*/final-*"))

    assert len(folders) == 3
    for folder in folders:
        shown = scalars(folder)
        assert sorted(shown["train/loss"]) == [1, 2]
        assert "final/test_dice/kidney" in shown


def test_no_finished_trial_is_lost_or_run_again(story):
    number = [len(stopped.results) for stopped in story.stops.values()]

    assert number == sorted(set(number)), "each start finished something"
    assert number[-1] < TRIALS
    for stopped in story.stops.values():
        for path, written in stopped.results.items():
            if story.edited.losses[path] != "squared":
                assert path.stat().st_mtime_ns == written
            else:
                assert written == story.stops["Ctrl-C, SIGTERM"].results[path]


def test_an_edited_loss_is_refused_and_changes_nothing(story):
    edited, out = story.edited, story.out
    finished = sum(loss == "squared" for loss in edited.losses.values())
    trials = "this 1 trial" if finished == 1 else f"these {finished} trials"

    assert edited.code == 2
    assert edited.refusal.endswith(
        f"segbench: {out} holds trials that ran another loss 'squared' ({finished} finished): its "
        'source differs ("missed=0.7" -> "missed=0.6"); choose a new --out, or add '
        f"--rerun-changed to run {trials} again\n"
    )
    assert edited.after == edited.before


def test_on_demand_the_trials_of_the_edited_loss_alone_are_run_again(story):
    again = {
        loss
        for path, loss in story.edited.losses.items()
        if path.read_bytes() != story.edited.before[path]
    }

    assert again == {"squared"}
    # What a worker recorded is what this process finds in the file.
    results = read_results(story.out).values()
    codes = [result.code for result in results if result.spec.cell == OWN]
    assert codes == [code_of_cell(OWN)] * 3
    assert "missed=0.6" in (story.out / "grid.py").read_text()
    assert SAME_CODE in (story.out / "report.html").read_text()


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
    assert re.search(WAITS, story.while_running)
    assert f"no driver is running (process {first} on " in story.afterwards
    assert "to continue, run: python -m bench.run --grid" in story.afterwards
