"""Trials in a tracker: what it shows, and that one that is down or hangs disturbs no run."""

import threading
from dataclasses import replace
from importlib.util import find_spec

import pytest
from event_files import hparams, scalars
from test_trial_queue import FACTS, GRID

from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import resolve
from bench.tuning import tracking
from bench.tuning.trackers import TRACKERS, TensorBoard, check_tracker
from bench.tuning.tracking import Feed, epoch_values, final_values, tracked
from trials.records.result import COMPLETE, NATIVE, CaseScore, EpochScore, TrialResult

CLASSES = ("background", "kidney", "tumour")
EPOCH = EpochScore(
    epoch=0,
    lr=0.01,
    train_loss=0.5,
    val_loss=None,
    train_dice={1: 0.75, 2: None},
    val_dice={1: 0.25},
    seconds=1.0,
)


@pytest.fixture
def due():
    queue = TrialQueue(resolve(replace(GRID, cells=GRID.cells[:1], tuning=None), FACTS), {})
    found = queue.next(set())
    return found.trial, found.spec


def test_an_epoch_and_the_final_scores_have_the_names_of_their_classes(due):
    trial, spec = due

    def scored(label, overlap, true=100, split="test"):
        return CaseScore(
            case=f"case_{overlap}",
            split=split,
            space=NATIVE,
            label=label,
            true_voxels=true,
            pred_voxels=100,
            overlap_voxels=overlap,
        )

    scores = (scored(1, 50), scored(1, 100), scored(1, 0, true=0), scored(2, 10, split="val"))
    result = TrialResult(trial=trial, spec=spec, state=COMPLETE, val_score=0.4, scores=scores)

    assert epoch_values(EPOCH, CLASSES) == {
        "train/loss": 0.5,
        "lr": 0.01,
        "train/dice/kidney": 0.75,
        "val/dice/kidney": 0.25,
    }
    # Dice 0.5 and 1; the case without the class does not count.
    assert final_values(result, CLASSES) == {
        "final/val_score": 0.4,
        "final/seconds": 0.0,
        "final/test_dice/kidney": 0.75,
    }


def test_a_resumed_trial_goes_on_in_its_folder_of_event_files(due, tmp_path):
    trial = tracked(*due, "small")
    first, second = TensorBoard(tmp_path), TensorBoard(tmp_path)

    first.start(trial)
    first.log(trial.trial, 1, {"val/loss": 4.0})
    first.log(trial.trial, 2, {"val/loss": 3.0})
    first.close()
    second.start(trial)
    second.log(trial.trial, 2, {"val/loss": 2.0})
    second.end(trial.trial, COMPLETE, {"final/val_score": 0.5})

    spec = due[1]
    cell = spec.cell
    where = tmp_path / "tensorboard" / cell.model / cell.loss / cell.sampling
    assert scalars(where / f"final-fold-0-seed-{spec.seed}") == {
        "val/loss": {1: 4.0, 2: 2.0},
        "final/val_score": {0: 0.5},
    }
    assert trial.settings["lr"] == spec.hyper["lr"]
    assert hparams(where / f"final-fold-0-seed-{spec.seed}") | {"trial": due[0]} == trial.settings


def test_a_tracker_that_is_down_is_told_once_and_left_alone():
    told, asked = [], []

    class Down:
        def log(self, trial, step, values):
            asked.append(step)
            raise ConnectionError("no route\nto host")

    one = Feed("mlflow", Down, told.append)
    for step in (1, 2, 3):
        one.put(lambda tracker, step=step: tracker.log("trial", step, {}))
    one.close()

    assert asked == [1]
    assert told == [
        "mlflow takes no values (ConnectionError: no route to host); the run goes on without it"
    ]


def test_a_tracker_that_hangs_holds_the_end_of_a_run_for_a_stated_time(monkeypatch):
    monkeypatch.setattr(tracking, "LAST_SECONDS", 0.0)
    told, go_on = [], threading.Event()
    one = Feed("wandb", object, told.append)

    one.put(lambda tracker: go_on.wait())
    one.close()
    go_on.set()

    assert told == ["wandb did not take all values in 0 s; left as is"]


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_without_its_package_says_how_to_install_it(name):
    if find_spec(TRACKERS[name][1]):
        check_tracker(name)
        return
    with pytest.raises(ValueError, match=rf"pip install 'segbench\[{name}\]'"):
        check_tracker(name)
