"""Checkpoints: the last two, each checked by its digest; damage costs epochs, never the trial, and
code is never run.
"""

import os
import pickle
import signal
import sys
from dataclasses import dataclass, replace

import pytest
import torch
from small_jobs import SPEC
from torch.nn.functional import cross_entropy

from bench.execution.signals import Stopping
from bench.run import exit_code_of
from trials.inference.network import Network
from trials.records.codec import to_json
from trials.training.checkpoint import Checkpoints, digest, read_checkpoint, to_bytes
from trials.training.loop import fit
from trials.training.progress import Validation

RECIPE = SPEC.recipe


@dataclass
class Toy:
    """Sixteen voxels of two classes a batch, scored by the size of the weights."""

    epochs: int = 4
    steps: int = 3
    lr: float = 0.05
    rungs: tuple = ()

    def batches(self, generator):
        for _ in range(self.steps):
            images = torch.from_numpy(generator.normal(size=(2, 1, 2, 2, 2)))
            yield images.half(), (images[:, 0] > 0).byte()

    def loss(self, network, images, labels):
        return cross_entropy(network.module(images), labels.long())

    def validate(self, network):
        return Validation(score=float(network.module[0].weight.detach().abs().sum()))


def network():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1), torch.nn.Dropout(0.5))
    return Network(
        module=module, dims=3, slice_axis="axial", device=torch.device("cpu"), autocast=None
    )


def trained(folder, stop_after=None, recipe=RECIPE):
    """Train the toy in a folder, to its end or until after an epoch; returns progress, weights and
    what was noted.
    """
    kept, model = Checkpoints(folder=folder, spec=SPEC), network()

    def on_epoch(score, reached):
        if score.epoch == stop_after:
            raise KeyboardInterrupt

    try:
        progress = fit(model, Toy(), recipe, 0, kept, on_epoch)
    except KeyboardInterrupt:
        return None
    curve = [replace(score, seconds=0.0) for score in progress.curve]
    return (
        curve,
        progress.best_epoch,
        {k: v.tolist() for k, v in model.module.state_dict().items()},
        kept.notes,
    )


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("sgd", "poly"), ("adamw", "cosine"), ("adam", "fixed")]
)
def test_every_optimizer_and_schedule_resumes_bit_for_bit(tmp_path, optimizer, schedule):
    recipe = replace(RECIPE, optimizer=optimizer, schedule=schedule, clip_gradient=0.1)
    straight = trained(tmp_path / "straight", recipe=recipe)
    trained(tmp_path / "broken", stop_after=1, recipe=recipe)

    assert trained(tmp_path / "broken", recipe=recipe) == straight


def newest(folder, place=-1):
    return sorted(folder.glob("checkpoint-*.pt"))[place]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def junk(path):
    path.write_bytes(b"\x80\x04junk" * 100)


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def test_the_last_two_are_kept_and_each_holds_the_best_weights_so_far(tmp_path):
    trained(tmp_path, stop_after=2)

    paths = sorted(tmp_path.iterdir())
    assert [path.name[:17] for path in paths] == ["checkpoint-000001", "checkpoint-000002"]
    for path in paths:
        state = read_checkpoint(path)
        assert state["best_weights"].keys() == state["model"].keys()


@pytest.mark.parametrize("damage", [flip, cut, junk, empty, remove])
def test_f72_a_damaged_newest_checkpoint_gives_way_to_the_one_before_and_the_end_is_the_same(
    tmp_path, damage
):
    straight = trained(tmp_path / "straight")
    trained(tmp_path / "broken", stop_after=2)
    damage(newest(tmp_path / "broken"))

    *resumed, notes = trained(tmp_path / "broken")

    assert resumed == list(straight[:3])
    assert (
        (notes == [])
        if damage is remove
        else ("checkpoint-000002" in notes[0] and "continued from the previous one" in notes[0])
    )


def test_training_begins_anew_where_both_are_damaged_and_the_result_is_told_so(tmp_path):
    straight = trained(tmp_path / "straight")
    trained(tmp_path / "broken", stop_after=2)
    flip(newest(tmp_path / "broken"))
    cut(newest(tmp_path / "broken", 0))

    *resumed, notes = trained(tmp_path / "broken")

    assert resumed == list(straight[:3])
    assert len(notes) == 3
    assert notes[-1] == "no valid checkpoint was left: training restarted"


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_seen(tmp_path):
    kept = Checkpoints(folder=tmp_path, spec=SPEC)
    kept.save(0, {"model": {"weight": torch.zeros(2)}})
    path = newest(tmp_path)
    sound = path.read_bytes()

    for place in range(0, 8 * len(sound), 997):
        spoilt = bytearray(sound)
        spoilt[place // 8] ^= 1 << place % 8
        path.write_bytes(spoilt)
        with pytest.raises(ValueError, match="is damaged"):
            read_checkpoint(path)


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "wrap", [pickle.dumps, lambda evil: to_bytes({"model": evil, "spec": to_json(SPEC)})]
)
def test_f74_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, wrap):
    content = wrap(Evil(tmp_path / "ran"))
    (tmp_path / f"checkpoint-000009-{digest(content)}.pt").write_bytes(content)
    kept = Checkpoints(folder=tmp_path, spec=SPEC)

    assert kept.load() is None
    assert "checkpoint-000009" in kept.notes[0]
    assert "is not a segbench checkpoint" in kept.notes[0]
    assert not (tmp_path / "ran").exists()


def test_f73_a_checkpoint_of_another_trial_is_refused_by_what_differs(tmp_path):
    Checkpoints(folder=tmp_path, spec=replace(SPEC, hyper={"lr": 0.01, "gamma": 3.0})).save(0, {})

    with pytest.raises(
        ValueError,
        match=r"must belong to trial \w{12}; it is from a trial with another hyper\.gamma; delete",
    ):
        Checkpoints(folder=tmp_path, spec=SPEC).load()


def test_a_checkpoint_that_cannot_be_written_is_noted_and_training_goes_on(tmp_path):
    straight = trained(tmp_path / "straight")
    (tmp_path / "blocked").write_text("a file where the folder should be")

    *reached, notes = trained(tmp_path / "blocked")

    assert reached == list(straight[:3])
    assert [note.partition(" (")[0] for note in notes] == [
        f"no checkpoint after epoch {epoch}" for epoch in range(4)
    ]


def test_short_epochs_share_a_checkpoint_and_whoever_stops_a_trial_leaves_one(tmp_path):
    kept = Checkpoints(folder=tmp_path, spec=SPEC, minutes=60.0)
    seen = []

    def on_epoch(score, reached):
        seen.append(len(list(tmp_path.iterdir())))
        if score.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network(), Toy(), RECIPE, 0, kept, on_epoch)

    assert seen == [0, 0, 0]
    assert [path.name[:17] for path in tmp_path.iterdir()] == ["checkpoint-000002"]


def test_f66_a_lone_sigterm_leaves_a_checkpoint_code_143_and_the_command_that_goes_on(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["segbench", "run", "--grid", "my grid.py"])
    straight = trained(tmp_path / "straight")
    seen = []

    class Asked(BaseException):
        pass

    def on_epoch(score, reached):
        seen.append(score.epoch)
        if score.epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if stopping.code:
            raise Asked

    kept = Checkpoints(folder=tmp_path / "run", spec=SPEC, minutes=60.0)
    with Stopping() as stopping:
        stopping.gently()
        with pytest.raises(Asked):
            fit(network(), Toy(), RECIPE, 0, kept, on_epoch)

    assert seen == [0, 1]
    assert exit_code_of(tmp_path / "run", False, stopping.code) == 143
    said = capsys.readouterr().err
    assert "stopping: running trials have 30 s to finish their epoch and save it" in said
    assert "to continue, run: segbench run --grid 'my grid.py'" in said
    assert trained(tmp_path / "run") == straight


def test_discarding_takes_half_written_ones_along(tmp_path):
    trained(tmp_path, stop_after=2)
    (tmp_path / ".checkpoint-000003-00.pt.a1b2").write_bytes(b"half")

    Checkpoints(folder=tmp_path, spec=SPEC).discard()

    assert not list(tmp_path.iterdir())
