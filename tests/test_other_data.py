"""A data set that is not KiTS: three channels, labels in regions that networks predict, RAS axes,
thick slices, nnU-Net's layout with its own splits, patients of two scans, a name as people write it
and a second ending, from folder to report.

Three of its cells must fail: they are results with their reasons, and the others go on. A worker is
killed and goes on from its checkpoint. One case is damaged, and left out.
"""

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SECRET, bench_run, on_one_core

from bench.cli import main
from trials.records.result_file import read_results

GRID = """
import itertools
import os
import signal
from dataclasses import replace

import torch

from bench.grids import DEMO, product
from trials.losses import LOSSES, combined
from trials.records.registry import Entry

def is_tried(logits):
    # Before any training every loss is tried on two items of 16 voxels an edge.
    return logits[:, 0].numel() <= 2 * 16**3

def broken(counts):
    same = combined(counts)
    def loss(logits, labels):
        if not is_tried(logits):
            raise RuntimeError("the loss of <this> cell is broken")
        return same(logits, labels)
    return loss

def exploding(counts):
    return lambda logits, labels: logits.square().mean() * (
        1.0 if is_tried(logits) else float("inf")
    )

def hungry(counts):
    same = combined(counts)
    def loss(logits, labels):
        if not is_tried(logits):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return same(logits, labels)
    return loss

def dying(counts):
    # At its sixth training step; a worker that goes on from the checkpoint after the fourth comes
    # to the end.
    same, steps = combined(counts), itertools.count(1)
    def loss(logits, labels):
        if logits.requires_grad and next(steps) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return same(logits, labels)
    return loss

LOSSES["hungry"] = Entry(hungry, about="wants more memory than there is")
LOSSES["dying"] = Entry(dying, about="kills its worker")
LOSSES["broken"] = Entry(broken, about="raises")
LOSSES["exploding"] = Entry("user_grid:exploding", about="is infinite")
RECIPE = replace(DEMO.recipes["3d"], epochs=2, steps_per_epoch=4)
SLICES = replace(DEMO.recipes["2d"], epochs=1, steps_per_epoch=2)
TINY = replace(
    DEMO,
    name="tiny",
    dataset="nnunet",
    targets="regions",
    hyper={"*": {"lr": 0.01}},
    # In so few steps a head learns only from features that it starts with.
    seeds=(2,),
    generate={},
    cells=(
        *product(("unet3d",), ("broken", "exploding", "hungry", "dying"), ("none",)),
        *product(("unet3d", "unet2d_resnet18"), ("combined",), ("none",)),
    ),
    tuning=None,
    recipes={"3d": RECIPE, "2d": SLICES},
)
"""


ODD = "Leber 3 (geändert)"


def write_livers(root, num_cases=10):
    """Boxes of liver with a smaller lesion in two of three, stored x first (RAS), as nnU-Net keeps
    them: a CT, and two images made from it with noise of their own. Three slices and a corner are
    not annotated.
    """
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    affine = np.diag([1.5, 1.25, 9.0, 1.0])
    for number in range(num_cases):
        labels = np.zeros((40, 36, 24), np.uint8)
        x, y, z = generator.integers(4, 10, 3)
        labels[x : x + 18, y : y + 16, z : z + 10] = 1
        if number % 3:
            labels[x + 5 : x + 11, y + 5 : y + 11, z + 3 : z + 7] = 2
        image = (labels * 90 + generator.normal(0, 10, labels.shape)).astype(np.int16)
        inverse = 500 - 2 * image + generator.normal(0, 30, labels.shape)
        uptake = (labels == 2) * 4.0 + generator.normal(0, 1, labels.shape) ** 2
        for channel, voxels in enumerate((image, inverse, uptake)):
            nibabel.save(
                nibabel.Nifti1Image(voxels.astype(np.float32), affine),
                root / "imagesTr" / f"liver_{number:03d}_{channel:04d}.nii.gz",
            )
        labels[:, :, :3], labels[:12, :12] = 3, 3
        nibabel.save(
            nibabel.Nifti1Image(labels, affine), root / "labelsTr" / f"liver_{number:03d}.nii.gz"
        )
    description = {
        "channel_names": {"0": "CT", "1": "T1", "2": "PET"},
        "labels": {"background": 0, "organ": [1, 2], "liver": 1, "lesion": 2, "ignore": 3},
        "regions_class_order": [1, 1, 2],
        "numTraining": num_cases,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    for stored in [*root.glob("*/liver_003*")]:
        name = stored.name.replace("liver_003", ODD).removesuffix(".gz")
        stored.with_name(name).write_bytes(gzip.decompress(stored.read_bytes()))
        stored.unlink()
    names = [f"liver_{number:03d}" for number in range(num_cases) if number != 3]
    patients = {"liver_001": "liver_000", "liver_008": "liver_007"}
    lines = [f"{name},{patients.get(name, name)}" for name in (*names, ODD)]
    (root / "patients.csv").write_text("\n".join(["case,patient", *lines]))
    fold = {"train": names[2:], "val": [*names[:2], ODD]}
    (root / "splits_final.json").write_text(json.dumps([fold]))


@pytest.fixture(scope="module")
def livers(module_on_cpu, tmp_path_factory):
    place = tmp_path_factory.mktemp("livers")
    write_livers(place / "data", num_cases=11)
    (place / "data" / "imagesTr" / "liver_010_0000.nii.gz").write_bytes(b"")
    (place / "grid.py").write_text(GRID)
    where = ("--grid", place / "grid.py", "--data", place / "data", "--out", place / "out")
    flags = ("--save-predictions", "--skip-bad", "--checkpoint-minutes", "0")
    # As a job of a queue starts it: beside somebody's cluster, with a folder of its own.
    own_folder = place / ("job_of_a_queue_" * 8)
    own_folder.mkdir()
    around = {"RAY_ADDRESS": "http://127.0.0.1:8265", "TMPDIR": str(own_folder)}
    return bench_run(*where, *flags, cwd=ROOT, under=on_one_core(), **around)


def test_networks_predict_regions_and_the_report_says_so(livers):
    scores = pd.read_parquet(livers.out / "scores.parquet")
    assert set(scores.class_name) == {"background", "organ", "liver", "lesion"}
    page = (livers.out / "report.html").read_text()
    told = "networks predict regions organ (1+2), liver (1), lesion (2), each with a sigmoid"
    assert told in livers.stderr
    assert f"N{told[1:]}" in page
    assert ", mean of regions" in page
    assert "organ as label 1, liver; liver as label 1, liver; lesion as label 2, lesion" in page
    assert "mean of classes" not in page
    assert "kidney" not in page


def test_the_three_channels_reach_every_model_and_the_report_names_them(livers):
    trials = pd.read_parquet(livers.out / "trials.parquet")
    assert sorted(trials.model[trials.state == "COMPLETE"]) == ["unet2d_resnet18"] + ["unet3d"] * 2
    assert "Images have 3 channels: CT, T1 and PET." in (livers.out / "report.html").read_text()
    records = map(
        json.loads, map(Path.read_text, livers.out.parent.glob("**/cases/liver_004.json"))
    )
    assert {(len(one["images"]), len(one["mean"])) for one in records} == {(3, 3)}


def test_a_page_can_show_every_channel_and_names_the_folder(livers):
    stored = [np.load(path) for path in sorted((livers.out / "cases").glob("*.npz"))]

    assert len(stored) == 3
    for arrays in stored:
        assert arrays["other_images"].shape == (2, *arrays["image"].shape)
        assert arrays["other_sheets"].shape == (2, *arrays["sheet"].shape)
        # The second channel is the first, turned round; the veil over ignored voxels is in both.
        first, second = (one.ravel() for one in (arrays["image"], arrays["other_images"][0]))
        assert np.corrcoef(first, second)[0, 1] < -0.2
    assert "<title>tiny on data" in (livers.out / "report.html").read_text()


def test_two_scans_of_a_patient_count_as_one_in_the_score_that_selects(livers):
    scores = pd.read_parquet(livers.out / "scores.parquet")
    trials = pd.read_parquet(livers.out / "trials.parquet").query("state == 'COMPLETE'")
    rows = scores.query("split == 'val' and space == 'prepared' and label > 0 and true_voxels > 0")

    of_patients = rows.groupby(["trial", "label", "patient"]).dice.mean()
    by_hand = of_patients.groupby(["trial", "label"]).mean().groupby("trial").mean()

    assert set(rows.patient) == {"liver_007", "liver_009"}
    assert by_hand[trials.trial].tolist() == pytest.approx(trials.val_score.tolist(), abs=1e-3)
    assert "11 cases: 4 train, 3 validation, 3 test (of 4, 2 and 2 patients)" in livers.stderr
    page = (livers.out / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "2 test patients, 3 scans" in page


def test_voxels_that_are_not_annotated_count_in_no_table(livers):
    counts = pd.read_parquet(livers.out / "scores.parquet").query("space == 'native'")

    # The organ is the liver and its lesions.
    apart = counts[counts.class_name.isin(["background", "organ"])].groupby(["trial", "case"])
    true, pred = apart.true_voxels.sum(), apart.pred_voxels.sum()

    assert set(true) == set(pred) == {40 * 36 * 21 - 12 * 12 * 21}
    assert "of the voxels have the ignore label" in (livers.out / "report.html").read_text()


def test_a_region_is_scored_as_the_union_of_its_labels(livers):
    surfaces = pd.read_parquet(livers.out / "surfaces.parquet")

    parts = surfaces.pivot_table("true_voxels", ["trial", "case"], "region")

    assert list(parts.columns) == ["lesion", "liver", "organ"]
    assert (parts.organ == parts.lesion + parts.liver).all()
    page = (livers.out / "report.html").read_text()
    assert "Organ: every metric with its 95 % interval, native grid." in page
    scores = pd.read_parquet(livers.out / "scores.parquet")
    native = scores.query("space == 'native' and split == 'test' and class_name != 'background'")
    counted = native.pivot_table("true_voxels", ["trial", "case"], "class_name")
    assert counted.equals(parts.rename_axis(columns="class_name"))


def test_the_data_sets_own_split_is_used_and_told(livers):
    record = json.loads((livers.out / "run.json").read_text())
    page = (livers.out / "report.html").read_text()

    assert record["splits"] == "own"
    parts = record["data"]["fold_cases"]["0"]
    assert parts["test"] == [ODD, "liver_000", "liver_001"]
    assert [len(parts[part]) for part in ("train", "val")] == [4, 3]
    assert "its val is the test part, and a fifth of its train validates" in page
    for told in (livers.stderr, page):
        assert "files end otherwise and are used: 4, first imagesTr/Leber 3" in told


def test_a_scan_of_three_channels_gets_the_labels_that_its_trial_gave_it(livers, tmp_path):
    trials = pd.read_parquet(livers.out / "trials.parquet").query("model == 'unet2d_resnet18'")
    (tmp_path / "imagesTs").mkdir()
    for path in (livers.out.parent / "data" / "imagesTr").glob("liver_000_*"):
        (tmp_path / "imagesTs" / path.name).symlink_to(path)
    out, flags = tmp_path / "out", ("--cell", "unet2d_resnet18/combined/none")

    assert main(["predict", str(livers.out), str(tmp_path / "imagesTs"), str(out), *flags]) == 0

    of_trial = livers.out / "trials" / trials.trial.item() / "predictions"
    name = "liver_000.nii.gz"
    assert (out / name).read_bytes() == (of_trial / name).read_bytes()


def test_predictions_come_back_to_the_files_own_axes(livers):
    scores = pd.read_parquet(livers.out / "scores.parquet")
    test = scores[(scores.split == "test") & (scores.space == "native")]

    written = sorted(livers.out.glob("trials/*/predictions/*.nii.gz"))

    assert len(written) == test[["trial", "case"]].drop_duplicates().shape[0] > 0
    for path in written:
        image = nibabel.load(path)
        assert image.shape == (40, 36, 24)
        assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
        rows = test[
            (test.trial == path.parent.parent.name)
            & (test.case == path.name.removesuffix(".nii.gz"))
        ]
        (stored,) = (livers.out.parent / "data" / "labelsTr").glob(
            f"{path.name.split('.')[0]}.nii*"
        )
        reference = nibabel.load(stored)
        is_annotated = np.asarray(reference.dataobj) < 3
        background, liver, lesion = np.bincount(
            np.asarray(image.dataobj)[is_annotated], minlength=3
        )
        wanted = [background, liver + lesion, liver, lesion]
        assert rows.sort_values("label").pred_voxels.tolist() == wanted


def test_a_box_of_liver_is_learned(livers):
    scores = pd.read_parquet(livers.out / "scores.parquet")
    found = scores[
        (scores.model == "unet3d") & (scores.class_name == "liver") & (scores.split == "test")
    ]

    assert found.dice.mean() > 0.5


def test_a_run_with_failures_finishes_with_code_3_and_says_which(livers):
    assert livers.code == 3, livers.stderr[-3000:]
    assert "failed: final unet3d broken" in livers.stderr
    assert "final unet3d hungry none seed 2: memory ran out in this worker" in livers.stderr
    assert "Traceback" not in livers.stderr
    assert (
        "unet3d dying none seed 2: its worker was lost and it is tried again (The actor is dead "
        "because" in livers.stderr
    )
    assert livers.stdout == f"{livers.out / 'report.html'}\n"


def test_a_damaged_case_is_left_out_by_name_wherever_one_looks(livers):
    reason = "liver_010_0000.nii.gz: is empty"
    record = json.loads((livers.out / "run.json").read_text())["data"]

    assert "left out: liver_010; the report gives the reasons" in livers.stderr
    assert reason in record["bad_cases"]["liver_010"]
    assert all("liver_010" not in cases for cases in record["fold_cases"]["0"].values())
    assert f"liver_010: {reason}" in (livers.out / "report.html").read_text()
    assert "liver_010" not in set(pd.read_parquet(livers.out / "scores.parquet").case)


def test_f90_no_secret_of_the_environment_is_in_anything_that_the_run_left_or_said(livers):
    left = [path for path in livers.out.parent.rglob("*") if path.is_file()]

    assert SECRET not in livers.stdout + livers.stderr
    assert len(left) > 60
    assert [path.name for path in left if SECRET.encode() in path.read_bytes()] == []


def test_f63_each_failure_is_a_row_with_its_reason_and_what_was_raised_lies_beside_it(livers):
    trials = pd.read_parquet(livers.out / "trials.parquet").set_index("loss")

    assert trials.state["combined"].tolist() == ["COMPLETE"] * 2
    assert (trials.state["broken"], trials.state["exploding"]) == ("FAILED", "FAILED")
    assert trials.reason["broken"] == "exception"
    assert trials.reason["exploding"] == "diverged"
    assert "the loss of <this> cell is broken" in trials.error["broken"]
    (raised,) = livers.out.glob("trials/*/traceback.txt")
    assert raised.parent.name == trials.trial["broken"]
    assert raised.read_text().endswith("RuntimeError: the loss of <this> cell is broken\n")


def test_f60_a_trial_without_enough_memory_is_a_row_and_the_others_go_on(livers):
    trials = pd.read_parquet(livers.out / "trials.parquet").set_index("loss")

    assert (trials.state["hungry"], trials.reason["hungry"]) == ("FAILED", "oom")
    assert trials.error["hungry"].startswith(
        "out of memory at batch 2 in 2 parts, cube 32^3, peak "
    )
    assert trials.state["combined"].tolist() == ["COMPLETE"] * 2


def test_f61_a_killed_worker_is_tried_again_from_its_checkpoint_and_its_row_says_so(livers):
    rows = {
        result.spec.cell.loss: result
        for result in read_results(livers.out).values()
        if result.spec.cell.model == "unet3d"
    }
    scores = (
        pd.read_parquet(livers.out / "scores.parquet").query("model == 'unet3d'").set_index("loss")
    )
    counts = ["case", "label", "space", "pred_voxels", "overlap_voxels"]

    assert (rows["dying"].state, rows["dying"].facts["attempts"]) == ("COMPLETE", 2)
    assert "attempts" not in rows["combined"].facts
    assert (
        scores.loc["dying", counts].values.tolist()
        == scores.loc["combined", counts].values.tolist()
    )
    assert ">attempts<" in (livers.out / "report.html").read_text()


def test_the_report_shows_the_holes_and_escapes_the_message(livers):
    page = (livers.out / "report.html").read_text()

    assert "the loss of &lt;this&gt; cell is broken" in page
