"""A part is edited and the command given again: refused by name, nothing lost, and on demand
exactly those trials run again.
"""

from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from own_parts import CELLS, EDITS, IDLE, NAMES, grid_text, own_cell, registries

from bench.execution.ready import Places, ReadyGrid, job_maker
from bench.grid.grid_changes import describe_changes
from bench.grid.resolve import GridFacts, resolve
from bench.grid.user_file import load_grid_text
from bench.run_folder.changed_code import delete_trials, dependent_trials
from bench.run_folder.continuing import resume_queue
from bench.run_folder.provenance import run_record, write_provenance
from trials.data.batches.occurrence import count_classes
from trials.data.datasets.registry import Split
from trials.data.prepared.cache import open_cache
from trials.identity.code_identity import code_of
from trials.records.codec import record_hash
from trials.records.job import result_path, trial_folder
from trials.records.result import COMPLETE, FAILED, TrialResult
from trials.records.result_file import read_results, result_text, write_result
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell, Recipe, TrialSpec
from trials.storage.atomic import NotWritten
from trials.storage.spool import read_spooled, write_or_spool
from trials.training.attempt import attempt

OPTIONS = Namespace(save_predictions=False, checkpoint_minutes=0.0)
WAYS_ON = "choose a new --out, or add --rerun-changed to run "


@dataclass
class Folder:
    """A run folder of a grid of two cells, one with a part of its own, on twelve
    prepared phantoms."""

    kind: str
    out: Path
    cache: Path

    def go_on(self, text, reruns=False):
        """What is left to do in the folder, as the command finds it; what is to be dropped; and the
        run.json to be.
        """
        grid, cache = load_grid_text(text), open_cache(self.cache)
        cases, preparation = tuple(sorted(cache.cases)), grid.recipes["3d"].preparation
        self.dataset, self.folders = cache.dataset, {preparation: self.cache}
        self.split = Split(train=cases[:8], val=cases[8:10], test=cases[10:], excluded={})
        counts = {(preparation, "voxels"): count_classes(cache, self.split.train, "voxels")}
        facts = GridFacts(
            splits="ours", digests={preparation: cache.digest}, counts=counts, weights={}
        )
        resolved = resolve(grid, facts)
        self.ready = ReadyGrid(resolved=resolved, prepared={0: self}, files={})
        record = run_record(resolved, {"splits": "ours", "classes": list(cache.classes)})
        return *resume_queue(self.out, resolved, record, text, reruns), record

    def begin(self, text):
        """The jobs of what is left, by cell, in a folder that has its run.json and grid.py."""
        queue, _, record = self.go_on(text)
        write_provenance(self.out, record, text)
        places = Places(out=self.out, cache=self.cache, data=None)
        make_job = job_maker(places, self.ready, OPTIONS, "")
        return {due.spec.cell: make_job(due) for due in queue.due()}

    def finish(self, text):
        """A folder in which every trial is finished, without its training; the results by cell."""
        results = {cell: result_of(job) for cell, job in self.begin(text).items()}
        for result in results.values():
            write_result(self.out, result)
        return results

    def files(self):
        return {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}


def result_of(job):
    """What a job's trial leaves where nobody looks at its numbers."""
    return TrialResult(trial=job.trial, spec=job.spec, state=COMPLETE, val_score=0.5, code=job.code)


def epochs_of(job, last=None):
    """Run a job, to its end or until it is stopped after an epoch; the epochs that were trained,
    and the result.
    """
    trained = []

    def on_epoch(score, reached):
        trained.append(score.epoch)
        if score.epoch == last:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        return trained, attempt(job, on_epoch)
    return trained, None


@pytest.fixture(autouse=True)
def as_it_was():
    with registries():
        yield


@pytest.fixture(params=CELLS)
def folder(request, small_cache, tmp_path):
    return Folder(request.param, tmp_path, small_cache)


@pytest.fixture
def of_loss(small_cache, tmp_path):
    return Folder("loss", tmp_path, small_cache)


def test_a_finished_run_whose_part_was_edited_is_refused_by_name_and_stays_as_it_is(
    folder,
):
    kind = folder.kind
    folder.finish(grid_text(kind))
    left = folder.files()

    for old, new, told in EDITS[kind]:
        with pytest.raises(ValueError, match=f"another {kind} '{NAMES[kind]}'") as refused:
            folder.go_on(grid_text(kind, old, new))
        assert str(refused.value).startswith(
            f"{folder.out} holds trials that ran another {kind} '{NAMES[kind]}' (1 finished): "
        )
        assert told in str(refused.value)
        assert str(refused.value).endswith(f"; {WAYS_ON}this 1 trial again")
    assert folder.files() == left


def test_rerunning_drops_the_trials_of_the_edited_part_and_no_others(folder):
    kind, (old, new, _) = folder.kind, EDITS[folder.kind][0]
    results = folder.finish(grid_text(kind))
    mine, left = results.pop(own_cell(kind)), folder.files()
    (other,) = results.values()

    queue, changed, _ = folder.go_on(grid_text(kind, old, new), reruns=True)
    assert folder.files() == left
    delete_trials(folder.out, changed)

    assert queue.next(()).trial == mine.trial
    assert queue.next({mine.trial}) is None
    assert read_results(folder.out) == {other.trial: other}
    assert folder.go_on(grid_text(kind, old, new))[1] == []


def test_an_interrupted_trial_whose_part_was_edited_is_refused_and_never_continued(folder):
    kind, (old, new, told) = folder.kind, EDITS[folder.kind][0]
    job = folder.begin(grid_text(kind))[own_cell(kind)]
    assert epochs_of(job, last=0) == ([0], None)
    (checkpoint,) = folder.out.glob("trials/*/checkpoint-*.pt")

    with pytest.raises(ValueError, match=r"\(1 interrupted\): its source differs") as refused:
        folder.go_on(grid_text(kind, old, new))
    assert told in str(refused.value)
    assert checkpoint.exists()
    changed = code_of(job.spec)
    trained, result = epochs_of(replace(job, code=changed))

    assert changed != job.code
    assert trained == [0, 1]
    assert result.code == changed
    assert result.facts["checkpoints"] == [
        f"{checkpoint.name} was written by other code ({kind} {NAMES[kind]}): training restarted"
    ]
    assert "attempts" not in result.facts


def test_an_interrupted_trial_of_the_same_code_goes_on(of_loss):
    job = of_loss.begin(grid_text("loss"))[own_cell("loss")]
    epochs_of(job, last=0)

    again = of_loss.begin(grid_text("loss", *IDLE[0]))[own_cell("loss")]
    trained, result = epochs_of(again)

    assert (trained, result.code, result.facts["attempts"]) == ([1], job.code, 2)


def test_neither_a_result_of_other_code_in_the_folder_nor_one_that_waits_on_the_node_is_taken(
    of_loss, monkeypatch, tmp_path
):
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    job = replace(of_loss.begin(grid_text("loss"))[own_cell("loss")], cache=str(tmp_path / "gone"))
    old = replace(result_of(job), code={**job.code, "loss tversky": "0123456789abcdef"})
    folder = trial_folder(job.out, job.trial)
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")
    with pytest.raises(NotWritten):
        write_or_spool(result_path(job.out, job.trial), result_text(old))
    folder.unlink()
    assert read_spooled(result_path(job.out, job.trial))
    write_result(of_loss.out, old)

    result = attempt(job)

    assert (result.state, result.code) == (FAILED, job.code)
    assert read_results(of_loss.out) == {job.trial: result}


def test_a_process_that_would_run_other_code_than_the_driver_says_so_and_leaves_the_trial(of_loss):
    job = of_loss.begin(grid_text("loss"))[own_cell("loss")]

    for part in ("segbench", "loss tversky"):
        with pytest.raises(
            ValueError,
            match=f"this process has another {part}; install the same segbench",
        ):
            attempt(replace(job, code={**job.code, part: "0123456789abcdef"}))
    assert not result_path(job.out, job.trial).exists()


@pytest.mark.parametrize(
    "edit",
    [
        ('"focal"', '"combined", "focal"'),
        ('("focal", "tversky")', '("tversky",)'),
        ("seeds=(0,)", "seeds=(0, 1)"),
        ("# Plain.", "# As it was."),
    ],
)
def test_cells_and_seeds_that_come_and_go_and_comments_are_no_other_code(of_loss, edit):
    done = of_loss.finish(grid_text("loss"))

    queue, changed, _ = of_loss.go_on(grid_text("loss", *edit))

    assert changed == []
    assert done[own_cell("loss")].trial in {one.trial for one in queue.due()} & queue.results.keys()


def made(cell, phase=FINAL, seed=0, number=0, **more):
    """A result that nobody trained."""
    spec = TrialSpec(
        dataset="phantoms",
        data="d",
        splits="ours",
        fold=0,
        cell=cell,
        hyper={"lr": 0.01},
        recipe=Recipe(epochs=1, batch_size=2),
        seed=seed,
        phase=phase,
        number=number,
        weights=more.pop("weights", "random"),
    )
    return TrialResult(trial=record_hash(spec), spec=spec, state=COMPLETE, val_score=0.5, **more)


def test_results_that_record_no_code_are_refused_in_one_sentence_and_can_be_run_again(of_loss):
    for result in of_loss.finish(grid_text("loss")).values():
        write_result(of_loss.out, replace(result, code={}))

    with pytest.raises(
        ValueError, match="ran an earlier version of segbench that did not record its code"
    ) as told:
        of_loss.go_on(grid_text("loss"))

    assert str(told.value).endswith(f"its code (2 finished); {WAYS_ON}these 2 trials again")
    assert len(of_loss.go_on(grid_text("loss"), reruns=True)[1]) == 2


def test_another_version_of_our_own_code_is_refused(of_loss):
    for result in of_loss.finish(grid_text("loss")).values():
        write_result(
            of_loss.out, replace(result, code={**result.code, "segbench": "0.0.9 0123456789abcdef"})
        )

    told = (
        r"another segbench \(2 finished\): its training code differs \(0.0.9 0123456789abcdef -> "
    )
    with pytest.raises(ValueError, match=told):
        of_loss.go_on(grid_text("loss"))


def test_what_follows_from_a_changed_trial_follows_it():
    tuned, other = (
        Cell(model="segresnet", loss="focal", sampling="none"),
        Cell(model="vnet", loss="focal", sampling="none"),
    )
    pretrained = made(replace(tuned, loss="restoration"), PRETRAIN)
    study = [made(tuned, TUNE, number=i, weights=f"pretrain:{pretrained.trial}") for i in range(3)]
    finals = [made(cell, FINAL, seed=seed) for cell in (tuned, other) for seed in (0, 1)]
    also = [made(other, TUNE, number=i) for i in range(3)]
    results = {one.trial: one for one in (pretrained, *study, *finals, *also)}

    assert dependent_trials(results, {pretrained.trial}) == {
        one.trial for one in (*study, *finals[:2])
    }
    assert dependent_trials(results, {study[1].trial}) == {
        one.trial for one in (study[2], *finals[:2])
    }
    assert dependent_trials(results, {also[0].trial}) == {
        one.trial for one in (*also[1:], *finals[2:])
    }
    assert dependent_trials(results, {finals[0].trial}) == set()


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("LOSSES['own'] = Entry(f)", "LOSSES['own'] = Entry(f)", []),
        (
            "def f(): return 1\nLOSSES['own'] = Entry(f)",
            "def f(): return 1\nLOSSES['own'] = Entry(f, ('k',))",
            ["\"LOSSES['own'] = Entry(f)\" -> \"LOSSES['own'] = Entry(f, ('k',))\""],
        ),
        ("LOSSES['own'] = Entry(f)\nG = 1", "LOSSES['own'] = Entry(f)\nG = 2", []),
        (
            "K = 1\nfor n in ('own',):\n    LOSSES[n] = Entry(K)",
            "K = 2\nfor n in ('own',):\n    LOSSES[n] = Entry(K)",
            ['"K = 1" -> "K = 2"'],
        ),
        (
            "LOSSES['own'] = Entry(f)",
            "def f():\n    return 1\nLOSSES['own'] = Entry(f)",
            ['"def f():" added', '"return 1" added'],
        ),
        ("", "LOSSES['own'] = 1", ["\"LOSSES['own'] = 1\" added"]),
        ("no python(", "LOSSES['own'] = 1", ["\"LOSSES['own'] = 1\" added"]),
    ],
)
def test_what_changed_is_told_by_the_lines_that_differ_in_the_part(before, now, told):
    assert describe_changes(before, now, "loss", "own") == told
