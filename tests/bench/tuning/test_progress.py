"""The live view, fed by hand: how much is left, and what its lines say."""

import io
import os
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from rich.console import Console
from test_trial_queue import FACTS, GRID, outcome

from bench.execution.progress_text import describe, format_time, headline
from bench.execution.progress_text import view as table
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import resolve
from bench.grids import Tuning
from bench.tuning.live_view import LiveView
from trials.records.codec import to_json
from trials.records.job import Job
from trials.records.result import COMPLETE, PRUNED, EpochScore

ALONE = replace(GRID, cells=GRID.cells[:1], tuning=None, seeds=(0, 1, 2))


@pytest.fixture
def view():
    queue = TrialQueue(resolve(ALONE, FACTS), {})
    return LiveView(queue, Console(file=io.StringIO(), width=120), slots=2)


def start(view):
    """Start the next trial as Ray would tell it."""
    due = view.queue.next(set(view.running))
    spec = due.spec
    job = Job(trial=due.trial, spec=spec, out="", cache="", train=(), val=())
    trial = SimpleNamespace(
        trial_id=job.trial,
        config={"job": to_json(job)},
        last_result={"state": "COMPLETE", "score": 0.5},
    )
    view.on_trial_start(0, [], trial)
    return trial, spec


def epoch(view, trial, number, seconds, state=""):
    view.on_trial_result(0, [], trial, {"epoch": number, "seconds": seconds, "state": state})


def test_nothing_is_promised_before_a_first_epoch(view):
    start(view)

    assert view.seconds_left() is None
    assert "ends" not in headline(view.queue, len(view.running), view.end())


def test_what_is_left_is_epochs_at_their_pace_plus_what_trials_need_beside(view):
    trial, spec = start(view)
    epochs = spec.recipe.epochs
    for number in range(1, epochs + 1):
        epoch(view, trial, number, 2.0)
    epoch(view, trial, epochs, 2.0 * epochs + 3.0, "COMPLETE")
    view.on_trial_complete(0, [], trial)
    view.queue.add(outcome(spec))

    # Two of three trials are left, on two slots: one trial's time.
    assert view.seconds_left() == pytest.approx(2.0 * epochs + 3.0)


def test_pruned_trials_shorten_what_is_left_of_the_tuning():
    grid = replace(ALONE, tuning=Tuning(trials=4, epochs=4), seeds=(0,))
    view = LiveView(TrialQueue(resolve(grid, FACTS), {}), Console(file=io.StringIO()), slots=1)
    for state, length in ((COMPLETE, 4), (PRUNED, 2)):
        trial, spec = start(view)
        for number in range(1, length + 1):
            epoch(view, trial, number, 2.0)
        view.on_trial_complete(0, [], trial)
        curve = tuple(
            EpochScore(
                epoch=i, lr=1, train_loss=1, val_loss=1, train_dice={}, val_dice={}, seconds=2
            )
            for i in range(length)
        )
        view.queue.add(replace(outcome(spec), state=state, curve=curve))

    # Two settings of four epochs, of which three in four are trained so far, and a whole final
    # trial.
    assert view.seconds_left() == pytest.approx(2.0 * (2 * 4 * 0.75 + grid.recipes["3d"].epochs))


def test_a_finished_trial_is_a_plain_line_where_there_is_no_terminal(view):
    trial, spec = start(view)
    epoch(view, trial, 1, 2.0)
    view.queue.add(outcome(spec))
    view.on_trial_complete(0, [], trial)

    line = view.console.file.getvalue()

    assert line.startswith("[1/3] 0 of 1 cells done, 0 running, ends about ")
    assert "final unet3d combined none seed 0: complete validation 0.500" in line
    assert "best on validation so far: final unet3d combined none seed 0" in line


def test_the_live_table_shows_what_runs(view):
    trial, spec = start(view)
    epoch(view, trial, 3, 1.0)
    view.console.print(table(view.queue, list(view.running.values()), view.end()))

    text = view.console.file.getvalue()
    assert "final unet3d combined none seed 0" in text
    assert f"3/{spec.recipe.epochs}" in text
    assert "final 0/3" in text


def test_what_another_shell_is_told_is_what_runs_and_when_it_ends(view):
    trial, spec = start(view)
    epoch(view, trial, 3, 1.0)

    status = view.status()

    expected = ("final unet3d combined none seed 0", 3, spec.recipe.epochs)
    assert [(one.text, one.epoch, one.epochs) for one in status.running] == [expected]
    assert status.pid == os.getpid()
    assert status.ends is not None


def test_a_date_is_told_where_the_end_is_not_today():
    now = datetime(2026, 11, 23, 22, 0)

    assert format_time(now + timedelta(hours=1), now) == "23:00:00"
    assert format_time(now + timedelta(hours=9), now) == "Tue 24 Nov 07:00"


def test_a_worker_that_was_lost_before_it_began_is_told_with_its_last_words(view, tmp_path):
    (tmp_path / "error.txt").write_text(
        "Traceback\n  of something\nActorDiedError: its node died\n\n"
    )
    trial, spec = start(view)
    del view.running[trial.trial_id]

    for file in (str(tmp_path / "error.txt"), str(tmp_path / "gone.txt"), None):
        trial.error_file = file
        view.on_trial_recover(0, [], trial)
    view.on_trial_error(0, [], trial)

    told = view.console.file.getvalue().splitlines()
    assert (
        told[0]
        == f"{describe(spec)}: its worker was lost and it is tried again (ActorDiedError: its node "
        "died)"
    )
    assert (
        told[1]
        == told[2]
        == f"{describe(spec)}: its worker was lost and it is tried again (no error was reported)"
    )
    assert told[3] == f"{describe(spec)}: its worker was lost for good (no error was reported)"


def test_a_worker_that_is_replaced_after_memory_ran_out_is_not_told_as_lost(view, tmp_path):
    trial, _ = start(view)
    error = tmp_path / "error.txt"
    error.write_text(
        "Traceback\nbench.tuning.driver.WorkerReplaced: memory ran out in this worker\n"
    )
    trial.error_file = error

    view.on_trial_recover(0, [], trial)

    printed = view.console.file.getvalue()
    assert "seed 0: memory ran out in this worker" in printed
    assert "lost" not in printed


def test_what_a_trial_does_otherwise_than_its_recipe_asks_is_told_when_it_begins(view):
    trial, _ = start(view)

    view.on_trial_result(
        0, [], trial, {"epoch": 0, "seconds": 0.0, "state": "", "note": "unet3d trained in float32"}
    )

    assert "seed 0: unet3d trained in float32" in view.console.file.getvalue()
