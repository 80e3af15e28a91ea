"""segbench predict: a run's own labels for its own test cases, and every refusal; and the same by
MONAI from a bundle.
"""

import json
import os
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai import bundle

from bench.cli import main
from bench.grid.user_file import load_grid_text
from bench.predictions.finals import add_ensembles
from trials.data.nifti.volume import read_labels, to_dhw
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.native_grid import native_labels
from trials.identity.code_identity import code_of
from trials.models.build import build
from trials.process.versions import own_version
from trials.records.codec import from_json, record_hash
from trials.records.job import best_path
from trials.records.result import COMPLETE, NATIVE, EnsembleScores, TrialResult
from trials.records.result_file import write_result
from trials.records.run_record import read_run_record, write_run_record
from trials.records.spec import Cell, Cube
from trials.scoring.overlap import label_counts
from trials.training.attempt import attempt
from trials.training.checkpoint import save_weights

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "trials")]
from own_parts import grid_text, own_cell, registries
from small_jobs import CELL, NESTED, RECIPE, SMALL, make_job

# Selected, since it has more seeds than the other.
SLICES = Cell(model="unet2d_resnet18", loss="focal", sampling="none")
SHORT = replace(RECIPE, epochs=1, steps_per_epoch=1, train_cases_scored=0)
TRAIN, VAL, TEST = ("case_00000", "case_00001"), "case_00008", "case_00010"


@pytest.fixture(scope="module")
def ran(small_cache, tmp_path_factory, module_on_cpu) -> tuple[Path, dict[str, TrialResult]]:
    """A run folder of three final trials with one test case: two seeds on volumes, one on slices of
    cubes that are clipped and normalised by the training cases.
    """
    place = tmp_path_factory.mktemp("ran")
    whole = open_cache(small_cache).dataset
    few = replace(
        whole, cases=tuple(case for case in whole.cases if case.case in (*TRAIN, VAL, TEST))
    )
    cube = Cube(edge=32, clip_hu=(-200.0, 300.0), normalise="train")
    clipped = prepare_dataset(few, cube, place / "cache", train=TRAIN, workers=1)
    slices = replace(SHORT, preparation=cube, batch_size=8, **SMALL["unet2d_resnet18"])
    volumes = make_job(small_cache, place / "run", recipe=SHORT)
    jobs = {
        "first": volumes,
        "second": replace(volumes, spec=replace(volumes.spec, seed=1)),
        "slices": make_job(
            clipped, place / "run", SLICES, slices, hyper={"lr": 0.01, "gamma": 2.0}
        ),
    }
    results = {name: attempt(on_few_cases(job)) for name, job in jobs.items()}
    assert {result.error for result in results.values()} == {None}
    write_run_record(
        place / "run",
        {
            "grid": "small",
            "dataset": "phantoms",
            "splits": "sequential",
            "fold": 0,
            "classes": list(whole.classes),
            "cells": [asdict(CELL), asdict(SLICES)],
            "seeds": [0, 1],
            "data": {"root": str(whole.root), "split_cases": {"test": [TEST]}, "channels": ["CT"]},
        },
    )
    return place / "run", results


def on_few_cases(job):
    return replace(job, trial=record_hash(job.spec), train=TRAIN, val=(VAL,), test=(TEST,))


def name_of(cell):
    return f"{cell.model}/{cell.loss}/{cell.sampling}"


@pytest.fixture
def scans(small_cache, tmp_path) -> Path:
    """The test case without its mask, as a folder of KiTS cases."""
    (tmp_path / "scans" / TEST).mkdir(parents=True)
    os.symlink(image_of(small_cache, TEST), tmp_path / "scans" / TEST / "imaging.nii.gz")
    return tmp_path / "scans"


def image_of(small_cache, case) -> str:
    return open_cache(small_cache).cases[case].images[0].path


def predict(ran, *arguments) -> int:
    return main(["predict", str(ran[0]), *map(str, arguments)])


@pytest.mark.parametrize("name", ["first", "slices"])
def test_a_trial_gives_its_own_test_case_the_labels_that_the_run_scored(
    name, ran, scans, small_cache, tmp_path
):
    spec = ran[1][name].spec
    flags = ["--cell", name_of(spec.cell), "--seed", spec.seed]

    assert predict(ran, scans, tmp_path / "out", *flags) == 0

    assert counts_in(tmp_path / "out", small_cache) == counts_of(ran[1][name].scores)


def counts_in(out, small_cache) -> list[list[int]]:
    volume = read_labels(out / f"{TEST}.nii.gz", 4)
    reference = native_labels(open_cache(small_cache).cases[TEST])
    return label_counts(to_dhw(volume.voxels, volume.affine), reference, 4).tolist()


def counts_of(scores) -> list[list[int]]:
    return [
        [score.true_voxels, score.pred_voxels, score.overlap_voxels]
        for score in scores
        if (score.case, score.space) == (TEST, NATIVE)
    ]


def test_by_default_the_seeds_of_the_selected_configuration_predict_every_sound_scan(
    ran, scans, small_cache, tmp_path, capsys
):
    (scans / "cut").mkdir()
    start = Path(image_of(small_cache, TEST)).read_bytes()[:9000]
    (scans / "cut" / "imaging.nii.gz").write_bytes(start)
    out = tmp_path / "out"

    assert predict(ran, scans, out) == 3

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"2 scans, predicted by {name_of(CELL)}, the mean probability of 2 trials"
    assert lines[1].startswith(f"[1/2] {TEST}: predicted, ends about ")
    assert lines[2] == "[2/2] cut: failed"
    assert "imaging.nii.gz: ends early" in lines[3]
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"{TEST}.nii.gz", "labels.ctbl", "labels.txt", "predictions.json")
    ]
    scan = nibabel.load(image_of(small_cache, TEST))
    made = nibabel.load(out / f"{TEST}.nii.gz")
    assert made.shape == scan.shape
    assert np.array_equal(made.affine, scan.affine)
    assert (made.get_data_dtype(), made.header.get_xyzt_units()[0]) == (np.uint8, "mm")


def test_the_same_command_predicts_again_only_what_is_not_finished(ran, scans, tmp_path, capsys):
    shutil.copytree(scans / TEST, scans / "again")
    out, flags = tmp_path / "out", ("--seed", 0)
    predict(ran, scans, out, *flags)
    whole = (out / "again.nii.gz").read_bytes()
    (out / "again.nii.gz").write_bytes(whole[:-100])
    capsys.readouterr()

    assert predict(ran, scans, out, *flags) == 0

    told = capsys.readouterr().err
    assert "again: predicted" in told
    assert f"{TEST}: kept" in told
    assert (out / "again.nii.gz").read_bytes() == whole
    assert predict(ran, scans, out) == 2
    assert "holds predictions of other trials" in capsys.readouterr().err


def test_the_ensemble_of_the_seeds_is_scored_once_as_predict_predicts_it(
    ran, scans, small_cache, tmp_path
):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(ran[0], run)
    main(["predict", str(run), str(scans), str(out)])

    add_ensembles(run, None)

    (file,) = (run / "ensembles").iterdir()
    kept = from_json(EnsembleScores, file.read_text())
    assert kept.cell == CELL
    assert kept.trials.keys() == {ran[1]["first"].trial, ran[1]["second"].trial}
    assert counts_of(kept.scores) == counts_in(out, small_cache)
    assert {surface.case for surface in kept.surfaces} == {TEST}
    first = file.stat().st_mtime_ns
    add_ensembles(run, None)
    assert file.stat().st_mtime_ns == first


def test_an_ensemble_of_networks_that_predict_regions_predicts_labels_and_is_scored_by_region(
    ran, scans, small_cache, tmp_path, on_cpu
):
    run, out = tmp_path / "run", tmp_path / "out"
    first = make_job(small_cache, run, recipe=SHORT, regions=NESTED)
    for seed in (0, 1):
        attempt(on_few_cases(replace(first, spec=replace(first.spec, seed=seed))))
    record = read_run_record(ran[0])
    regions = {
        "classes": ["background", "kidney_and_mass", "mass", "tumor"],
        "target_regions": [asdict(region) for region in NESTED],
        "cells": [asdict(CELL)],
        "data": record["data"] | {"classes": ["background", "kidney", "tumor", "cyst"]},
    }
    write_run_record(run, record | regions)

    assert main(["predict", str(run), str(scans), str(out)]) == 0
    add_ensembles(run, None)

    volume = read_labels(out / f"{TEST}.nii.gz", 4)
    reference = native_labels(open_cache(small_cache).cases[TEST])
    counts = label_counts(to_dhw(volume.voxels, volume.affine), reference, 4, NESTED)
    (file,) = (run / "ensembles").iterdir()
    assert counts_of(from_json(EnsembleScores, file.read_text()).scores) == counts.tolist()
    assert [line.split()[-1] for line in (out / "labels.txt").read_text().splitlines()[1:]] == [
        *('"background"', '"kidney"', '"tumor"', '"cyst"')
    ]


@pytest.mark.parametrize("cell", [CELL, SLICES])
def test_monai_runs_a_bundle_of_a_configuration_and_gives_the_labels_of_predict(
    cell, ran, scans, small_cache, tmp_path
):
    folder, wanted, out = (tmp_path / name for name in ("bundle", "wanted", "out"))
    flags, config = ["--cell", name_of(cell)], str(folder / "configs" / "inference.json")

    assert main(["export", "bundle", str(ran[0]), str(folder), *flags]) == 0
    places = {"dataset_dir": image_of(small_cache, TEST), "output_dir": str(out)}
    bundle.run(config_file=config, bundle_root=str(folder), **places)

    predict(ran, scans, wanted, *flags)
    name = Path(image_of(small_cache, TEST)).name.partition(".")[0]
    assert (out / f"{name}.nii.gz").read_bytes() == (wanted / f"{TEST}.nii.gz").read_bytes()
    for name in ("labels.txt", "labels.ctbl", "predictions.json"):
        assert (out / name).read_text() == (wanted / name).read_text()
    metadata = str(folder / "configs" / "metadata.json")
    needed = json.loads(Path(metadata).read_text())["required_packages_version"]
    assert needed == {"segbench": own_version()}
    bundle.verify_net_in_out("network_def", metadata, config, device="cpu")
    loaded = bundle.load(
        folder.name, bundle_dir=tmp_path, workflow_type="inference", device="cpu"
    ).state_dict()
    first = ran[1]["first" if cell == CELL else "slices"].trial
    stored = torch.load(best_path(ran[0], first), weights_only=True)["state_dict"]
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("unfinished", "1 final trials have no result; run its grid to the end, or name"),
        ("own part", "and its grid.py defines loss mine; use segbench predict"),
        ("folder", "must be missing or empty, or a new folder; it holds notes"),
    ],
)
def test_what_no_bundle_can_hold_is_refused_before_anything_is_written(
    fault, told, ran, tmp_path, capsys
):
    run, out, first = tmp_path / "run", tmp_path / "out", ran[1]["first"]
    shutil.copytree(ran[0], run)
    flags = [] if fault == "unfinished" else ["--cell", name_of(CELL), "--seed", "0"]
    if fault == "own part":
        write_result(run, replace(first, code={**first.code, "loss mine": "0123456789abcdef"}))
    elif fault == "folder":
        out.mkdir()
        (out / "notes").touch()

    assert main(["export", "bundle", str(run), str(out), *flags]) == 2

    assert told in capsys.readouterr().err
    assert fault == "folder" or not out.exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("no weights", "best.pt is missing: the trial's weights are needed"),
        ("other weights", "best.pt is not the file that the trial wrote; restore it"),
        ("other code", "so its network may be another one; use that version"),
        ("no trial", "has no complete final trial; run its grid to the end first"),
        ("no cell", "unknown configuration 'unet3d/focal/none'"),
        ("no seed", "has no complete final trial of seed 7; complete seeds: 0, 1"),
    ],
)
def test_what_cannot_predict_is_an_error_before_anything_is_written(
    fault, told, ran, scans, tmp_path, capsys
):
    run, first = tmp_path / "run", ran[1]["first"]
    shutil.copytree(ran[0], run)
    weights, flags = best_path(run, first.trial), []
    if fault == "no weights":
        weights.unlink()
    elif fault == "other weights":
        shutil.copy(best_path(run, ran[1]["second"].trial), weights)
    elif fault == "other code":
        write_result(run, replace(first, code={"segbench": "0.0.9 0123456789abcdef"}))
    elif fault == "no trial":
        shutil.rmtree(run / "trials")
    else:
        flags = ["--cell", "unet3d/focal/none"] if fault == "no cell" else ["--seed", "7"]

    assert main(["predict", str(run), str(scans), str(tmp_path / "out"), *flags]) == 2

    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_of_a_grid_file_is_built_by_the_file_that_the_run_kept(
    ran, scans, tmp_path, capsys
):
    run, cell, text = tmp_path / "run", own_cell("model"), grid_text("model")
    spec = replace(ran[1]["first"].spec, cell=cell, recipe=SHORT)
    with registries():
        load_grid_text(text)
        code, tensors = code_of(spec), build(cell.model, 4, width=4).state_dict()
    digest = save_weights(best_path(run, record_hash(spec)), tensors)
    result = TrialResult(
        trial=record_hash(spec),
        spec=spec,
        state=COMPLETE,
        code=code,
        facts={"weights_sha256": digest},
    )
    write_result(run, result)
    write_run_record(run, read_run_record(ran[0]) | {"cells": [asdict(cell)]})
    (run / "grid.py").write_text(text)
    wanted = [str(run), str(scans), str(tmp_path / "out"), "--cell", name_of(cell)]

    with registries():
        assert main(["predict", *wanted]) == 0
    (run / "grid.py").write_text(grid_text("model", "slope = 0.1", "slope = 0.2"))
    with registries():
        assert main(["predict", *wanted]) == 2

    assert "ran another model net than" in capsys.readouterr().err
