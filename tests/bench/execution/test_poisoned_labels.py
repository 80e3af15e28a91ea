"""The test labels are poisoned and no choice changes: not a setting, not a rung, not the best of a
study.
"""

import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.execution.ready import Places, ReadyGrid, job_maker
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import GridFacts, resolve
from bench.grids import DEMO, Tuning, product
from trials.data.batches.occurrence import count_classes
from trials.data.datasets.registry import Split
from trials.data.prepared.cache import open_cache
from trials.records.result import PRUNED
from trials.records.spec import FINAL
from trials.storage.atomic import fingerprint
from trials.storage.checksum import check_checksum
from trials.training.attempt import attempt

RECIPE = replace(
    DEMO.recipes["3d"],
    epochs=2,
    steps_per_epoch=1,
    validate_every=1,
    train_cases_scored=0,
    augment=False,
)
GRID = replace(
    DEMO,
    name="poisoned",
    cells=product(("unet3d",), ("focal",), ("none",)),
    tuning=Tuning(trials=4),
    recipes={"3d": RECIPE},
    hyper={"*": {"lr": 0.03}},
)


OPTIONS = Namespace(save_predictions=False, checkpoint_minutes=0.0)


class Sample:
    """Twelve prepared phantoms with a split of ours, as a run's prepared data."""

    def __init__(self, folder: Path):
        cache = open_cache(folder)
        cases, self.dataset = tuple(sorted(cache.cases)), cache.dataset
        self.folders = {RECIPE.preparation: folder}
        self.split = Split(train=cases[:8], val=cases[8:10], test=cases[10:], excluded={})


def choices(folder: Path, out: Path):
    """Run the whole grid in this process; returns what was decided on the way and the
    final result."""
    sample, cache = Sample(folder), open_cache(folder)
    counts = {(RECIPE.preparation, "voxels"): count_classes(cache, sample.split.train, "voxels")}
    facts = GridFacts(
        splits="ours", digests={RECIPE.preparation: cache.digest}, counts=counts, weights={}
    )
    ready = ReadyGrid(resolved=resolve(GRID, facts), prepared={0: sample}, files={})
    queue = TrialQueue(ready.resolved, {})
    make_job = job_maker(Places(out=out, cache=out, data=None), ready, OPTIONS, "")
    decided = []
    while (due := queue.next(())) is not None:
        queue.add(attempt(make_job(due)))
        decided.append(
            (
                due,
                queue.results[due.trial].val_score,
                queue.results[due.trial].state,
                queue.best(ready.resolved.cells[0]),
            )
        )
    return decided, queue.results[decided[-1][0].trial]


def poison(folder: Path, place: Path) -> Path:
    """A copy of the prepared set in which the labels of the test cases are scrambled, and known by
    their new digests.
    """
    shutil.copytree(folder.parent, place)
    copy, generator = place / folder.name, np.random.default_rng(0)
    cache, text = open_cache(copy), check_checksum((copy / "manifest.json").read_text())
    for case in Sample(copy).split.test:
        path = copy.parent / "cases" / cache.cases[case].arrays[1]
        np.save(
            path,
            generator.permutation(np.load(path).ravel()).reshape((cache.preparation.edge,) * 3),
        )
        text = text.replace(cache.cases[case].digests[1], fingerprint(path))
    (copy / "manifest.json").write_text(text)
    return copy


@pytest.fixture(scope="module")
def both(small_cache, module_on_cpu, tmp_path_factory):
    place = tmp_path_factory.mktemp("poisoned")
    return choices(small_cache, place / "clean"), choices(
        poison(small_cache, place / "cache"), place / "poisoned"
    )


def test_f88_no_choice_changes(both):
    (clean, _), (poisoned, _) = both

    assert [due.spec.phase for due, *_ in clean] == ["tune"] * 4 + [FINAL]
    assert any(state == PRUNED for *_, state, _ in clean), (
        "a search that prunes nothing shows nothing of pruning"
    )
    assert poisoned == clean


def test_the_poison_would_have_been_tasted(both):
    (_, clean), (_, poisoned) = both

    validation, test = (
        [
            [s for s in one.scores if s.split == split and s.space == "prepared"]
            for one in (clean, poisoned)
        ]
        for split in ("val", "test")
    )
    assert clean.error is poisoned.error is None
    assert validation[0] == validation[1] != []
    assert test[0] != test[1]


def test_a_search_trial_is_given_no_test_case(small_cache, tmp_path):
    sample = Sample(small_cache)
    counts = {
        (RECIPE.preparation, "voxels"): count_classes(
            open_cache(small_cache), sample.split.train, "voxels"
        )
    }
    facts = GridFacts(splits="ours", digests={RECIPE.preparation: "d"}, counts=counts, weights={})
    ready = ReadyGrid(resolved=resolve(GRID, facts), prepared={0: sample}, files={})
    make_job = job_maker(Places(out=tmp_path, cache=tmp_path, data=None), ready, OPTIONS, "")
    queue = TrialQueue(ready.resolved, {})

    text = str(make_job(queue.next(())))

    assert not any(case in text for case in sample.split.test)
