"""Two folds trained for real: each on its own part, pooled in the report, each an ensemble of its
own seeds; on labels of a data set that declares a region.
"""

import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from bench.execution.data import prepared_fold
from bench.execution.ready import Places, ReadyGrid, job_maker
from bench.execution.trial_queue import TrialQueue
from bench.grid.resolve import resolve
from bench.grids import Grid
from bench.predictions.external import open_data_of
from bench.predictions.external import test_cases as cases_of_folds
from bench.predictions.finals import add_ensembles, chosen_finals, ensemble_path, rules_of_run
from bench.run_folder.provenance import data_record, run_record, write_provenance
from reports.build import build_report
from reports.load.run_folder import read_run
from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import Split, official_regions
from trials.data.prepared.cache import open_cache
from trials.data.prepared.manifest import read_manifest
from trials.inference.trained import load_trained, score_ensemble
from trials.records.codec import from_json, to_json
from trials.records.result import EnsembleScores
from trials.scoring.regions import every_region
from trials.training.attempt import attempt

sys.path.append(str(Path(__file__).parents[2] / "trials"))
from small_jobs import CELL, RECIPE

GRID = Grid(
    name="crossed",
    dataset="phantoms",
    cells=(CELL,),
    recipes={"3d": replace(RECIPE, epochs=1, steps_per_epoch=1, train_cases_scored=0)},
    seeds=(0, 1),
    folds=(0, 1),
    hyper={"*": {"lr": 0.01}},
)
A, B, C, D = (f"case_{number:05d}" for number in (0, 1, 8, 10))
SPLITS = {
    0: Split(train=(A, B), val=(C,), test=(D,)),
    1: Split(train=(A, D), val=(B,), test=(C,)),
}


# As "growths": [2, 3] of a dataset.json.
GROWTHS = Region(name="growths", labels=(2, 3), tolerance_mm=1.0)


def with_region(folder: Path, place: Path) -> Path:
    """A copy of a prepared set whose data set declares a region."""
    shutil.copytree(folder.parent, place)
    path = place / folder.name / "manifest.json"
    manifest = replace(read_manifest(path), regions=(GROWTHS,), class_order=(2,))
    path.write_text(to_json(manifest))
    return path.parent


@pytest.fixture(scope="module")
def crossed(small_cache, tmp_path_factory, module_on_cpu) -> Path:
    """A finished run folder of two folds with two seeds each."""
    out = tmp_path_factory.mktemp("crossed")
    folder = with_region(small_cache, tmp_path_factory.mktemp("declared") / "cache")
    cache, recipe = open_cache(folder), GRID.recipes["3d"]
    caches = {recipe.preparation: (folder, cache)}
    prepared = {
        fold: prepared_fold(cache.dataset, "ours", split, "by hand", [recipe], caches, ())
        for fold, split in SPLITS.items()
    }
    resolved = resolve(GRID, *(one.facts({}) for one in prepared.values()))
    ready = ReadyGrid(resolved=resolved, prepared=prepared, files={})
    options = Namespace(save_predictions=False, checkpoint_minutes=0.0)
    make_job = job_maker(Places(out=out, cache=out, data=None), ready, options, "")
    queue = TrialQueue(resolved, {})
    while (due := queue.next(())) is not None:
        queue.add(attempt(make_job(due)))
    write_provenance(out, run_record(resolved, data_record(prepared)), "")
    return out


def test_each_fold_trains_on_its_own_part_and_the_report_pools_their_test_cases(crossed):
    run = read_run(crossed)

    assert {result.error for result in run.results} == {None}
    assert {result.spec.data for result in run.finals} == {run.record["data"]["data_digest"]}
    for result in run.finals:
        tested = {score.case for score in result.scores if score.split == "test"}
        assert tested == {*SPLITS[result.spec.fold].test}
    counts = {one.spec.fold: one.facts["class_counts"]["voxels"] for one in run.finals}
    assert counts[0] != counts[1]
    page = build_report(crossed).read_text()
    assert "Out of fold, on 2 test patients" in page


def test_networks_that_predict_labels_are_scored_by_the_declared_region_too(crossed):
    run = read_run(crossed)

    for result in run.finals:
        labels = {
            (score.case, score.label): (score.true_voxels, score.pred_voxels)
            for score in result.scores
            if score.split == "test" and score.space == "native"
        }
        declared = [score for score in result.surfaces if score.region == "growths"]
        assert [score.case for score in declared] == [*SPLITS[result.spec.fold].test]
        for score in declared:
            parts = zip(labels[score.case, 2], labels[score.case, 3], strict=True)
            assert (score.true_voxels, score.pred_voxels) == tuple(map(sum, parts))
    page = build_report(crossed).read_text()
    assert "Region growths: every metric with its" in page
    assert "Mean of classes: every metric with its" in page
    assert "etworks predict regions" not in page


def test_all_folds_and_seeds_predict_new_scans_unless_one_is_named(crossed):
    run = read_run(crossed)

    chosen = [
        [(one.spec.fold, one.spec.seed) for one in chosen_finals(run, [], seed, fold)]
        for seed, fold in ((None, None), (None, 1), (1, None))
    ]

    assert chosen == [[(0, 0), (0, 1), (1, 0), (1, 1)], [(1, 0), (1, 1)], [(0, 1), (1, 1)]]
    with pytest.raises(ValueError, match="of fold 7; complete seeds: 0 in fold 0, 0 in fold 1, 1"):
        chosen_finals(run, [], None, 7)


def test_a_test_case_is_predicted_by_the_seeds_of_its_own_fold_alone(crossed):
    add_ensembles(crossed, None)

    run = read_run(crossed)
    stored = from_json(EnsembleScores, ensemble_path(crossed, CELL).read_text())
    dataset, rules = open_data_of(run.record, Path(run.record["data"]["root"])), rules_of_run(run)
    trained = [load_trained(crossed, one, rules) for one in chosen_finals(run, [], None, 1)]
    cases = list(cases_of_folds(run.record, dataset)[1].values())
    regions = every_region(dataset.labels, official_regions("phantoms"))
    (own,) = score_ensemble(trained, cases, rules, regions)

    assert sorted({score.case for score in stored.scores}) == [C, D]
    assert tuple(score for score in stored.scores if score.case == C) == own.scores
    assert len(stored.trials) == 4
    assert "Unfinished" not in build_report(crossed).read_text()
