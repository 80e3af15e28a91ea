"""The demo, run once as a new user runs it: what it trains, how well, what it leaves, and that it
goes on where it was.
"""

import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from conftest import README, ROOMS, ROOT, bench_run, called, on_one_core

from bench.grid.expand import count_trials
from bench.grid.resolve import before_data, resolve
from bench.grids import DEMO
from trials.records.codec import from_json
from trials.records.job import best_path
from trials.records.result import Ceilings, TrialResult

SCORE_COLUMNS = [
    *(
        "trial",
        "phase",
        "dataset",
        "model",
        "loss",
        "sampling",
        "seed",
        "fold",
        "split",
        "case",
        "patient",
        "label",
        "class_name",
    ),
    *("space", "true_voxels", "pred_voxels", "overlap_voxels", "dice", "iou"),
]

PLANNED = count_trials(resolve(DEMO, before_data(DEMO)))


def results(out: Path) -> list[TrialResult]:
    return [
        from_json(TrialResult, path.read_text())
        for path in sorted(out.glob("trials/*/result.json"))
    ]


def test_the_demo_ends_well_and_prints_the_report(demo):
    assert demo.stdout.strip().splitlines()[-1] == str(demo.out / "report.html")
    assert (demo.out / "report.html").stat().st_size > 100_000
    assert "ends about" in demo.stderr
    assert "Traceback" not in demo.stderr


def test_every_planned_trial_is_complete(demo):
    done = results(demo.out)

    phases = [result.spec.phase for result in done]
    assert {phase: phases.count(phase) for phase in set(phases)} == count_trials(
        resolve(DEMO, before_data(DEMO))
    )
    assert {result.state for result in done} == {"COMPLETE"}
    assert {result.spec.cell for result in done if result.spec.phase == "final"} == set(DEMO.cells)


def test_the_score_table_has_its_columns_and_every_case(demo):
    scores = pd.read_parquet(demo.out / "scores.parquet")

    assert list(scores.columns) == SCORE_COLUMNS
    final = scores[scores.phase == "final"]
    counts = final.groupby(["trial", "space", "split"]).case.nunique().unstack()
    assert set(counts["test"]) == {16}
    assert set(counts["val"]) == {8}
    assert set(scores[scores.phase == "tune"].split) == {"val"}
    assert sorted(scores.label.unique()) == [0, 1, 2, 3]
    csv = pd.read_csv(demo.out / "scores.csv")
    assert len(csv) == len(scores)
    assert csv.overlap_voxels.tolist() == scores.overlap_voxels.tolist()


def dice_in_unseen_patients(out: Path) -> pd.DataFrame:
    """Mean Dice on the native grid over the test cases that hold the class: a row for each final
    trial, a column a class.
    """
    scores = pd.read_parquet(out / "scores.parquet").query(
        "phase == 'final' and split == 'test' and space == 'native'"
    )
    return (
        scores[scores.true_voxels > 0]
        .groupby(["model", "trial", "class_name"])
        .dice.mean()
        .unstack()
    )


@pytest.mark.parametrize("model", sorted({cell.model for cell in DEMO.cells}))
def test_each_models_best_cell_finds_kidneys_in_unseen_patients(demo, model):
    assert dice_in_unseen_patients(demo.out).loc[model].kidney.max() >= 0.75


def test_one_cell_finds_both_tumours_and_cysts_in_unseen_patients(demo):
    means = dice_in_unseen_patients(demo.out)

    assert ((means.tumor >= 0.45) & (means.cyst >= 0.2)).any()


def test_the_trial_table_tells_what_each_trial_cost(demo):
    trials = pd.read_parquet(demo.out / "trials.parquet")

    assert len(trials) == sum(PLANNED.values())
    for column in ("seconds", "peak_gib", "num_parameters", "multiply_adds"):
        assert (trials[column] > 0).all(), column
    assert trials.versions.str.contains("torch").all()


def test_pretraining_learned_and_its_frozen_tensors_are_still_there(demo):
    done = results(demo.out)
    pretrained = next(result for result in done if result.spec.phase == "pretrain")
    tuned = [
        result
        for result in done
        if result.spec.phase == "final" and result.spec.cell.model == "segresnet"
    ]

    assert pretrained.curve[-1].train_loss < 0.8 * pretrained.curve[0].train_loss
    before = torch.load(best_path(demo.out, pretrained.trial), weights_only=True)["state_dict"]
    for result in tuned:
        after = torch.load(best_path(demo.out, result.trial), weights_only=True)["state_dict"]
        names = [
            name
            for name in after
            if name.startswith("convInit.") and result.spec.hyper["frozen_stages"] >= 1
        ]
        assert names
        assert all(torch.equal(before[name], after[name]) for name in names)


def test_provenance_says_what_ran(demo):
    record = json.loads((demo.out / "run.json").read_text())

    assert record["grid"] == "demo"
    assert record["planned"] == PLANNED
    assert len(record["data"]["fold_cases"]["0"]["test"]) == 16
    assert (demo.out / "grid.py").read_text() == (ROOT / "bench" / "grids.py").read_text()
    assert any(
        "unet2d_resnet18 starts from random weights" in note for note in record["weights_notes"]
    )


def test_the_same_command_again_runs_nothing_and_changes_no_score(demo):
    before = (demo.out / "scores.parquet").read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in demo.out.glob("trials/*/result.json")}

    again = bench_run("--grid", "demo", cwd=demo.out.parents[1])

    assert again.code == 0, again.stderr
    assert (demo.out / "scores.parquet").read_bytes() == before
    assert {
        path: path.stat().st_mtime_ns for path in demo.out.glob("trials/*/result.json")
    } == stamps


def test_the_readmes_grid_runs_from_the_wheel_beside_files_named_like_our_packages(
    demo, environment, tmp_path
):
    grid = re.search(r"```python\n(# my_grid.py.*?)```", README, re.DOTALL)[1]
    (tmp_path / "my_grid.py").write_text(grid)
    for room in ROOMS:
        (tmp_path / f"{room}.py").write_text("raise SystemExit('a file of the user was imported')")
    out = demo.out.parent / "mine"

    segbench = [*on_one_core(), environment / "bin" / "segbench"]
    printed = called([*segbench, "run", "--grid", "my_grid.py", "--out", out], tmp_path)

    assert printed == f"{out / 'report.html'}\n"
    found = Counter((one.state, one.spec.phase, one.spec.cell.loss) for one in results(out))
    # Each loss is tuned by two trials.
    assert found == {
        ("COMPLETE", phase, loss): number
        for phase, number in (("tune", 2), ("final", 1))
        for loss in ("tversky", "combined")
    }
    assert len({one.spec.hyper.get("missed") for one in results(out)}) == 3
    assert "tversky" in (out / "report.html").read_text()


def mean_dice_by_label(scores) -> pd.Series:
    rows = pd.DataFrame([asdict(score) for score in scores]).query("true_voxels > 0 and label > 0")
    dice = 2 * rows.overlap_voxels / (rows.true_voxels + rows.pred_voxels)
    return dice.groupby(rows.label).mean()


def test_no_cell_scores_beyond_the_ceiling_of_its_preparation(demo):
    ceilings = from_json(Ceilings, (demo.out / "ceiling.json").read_text()).ceilings
    tops = {one.data: mean_dice_by_label(one.scores) for one in ceilings}
    prepared = {result.trial: result.spec.data for result in results(demo.out)}
    scores = pd.read_parquet(demo.out / "scores.parquet").query(
        "split == 'test' and space == 'native' and true_voxels > 0"
    )
    means = scores[scores.label > 0].groupby(["trial", "label"]).dice.mean().unstack()

    assert {one.preparation.kind for one in ceilings} == {"cube", "spacing"}
    assert all((row <= tops[prepared[trial]]).all() for trial, row in means.iterrows())
    assert 'id="attainable"' in (demo.out / "report.html").read_text()


def test_every_final_trial_measured_the_surfaces_of_every_test_patient(demo):
    surfaces = pd.read_parquet(demo.out / "surfaces.parquet")

    assert len(surfaces) == len(DEMO.cells) * 16 * 5
    assert not surfaces.duplicated(["trial", "case", "region"]).any()


def test_the_demo_leaves_its_studies_for_optuna_dashboard(demo):
    path = str(demo.out / "optuna.journal")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))

    trials = [
        trial
        for study in optuna.get_all_study_summaries(storage)
        for trial in storage.get_all_trials(study._study_id)
    ]

    tuned = [result for result in results(demo.out) if result.spec.phase == "tune"]
    assert {trial.user_attrs["segbench"]["trial"]: trial.value for trial in trials} == {
        result.trial: result.val_score for result in tuned
    }
