"""Reading a run folder: whole, damaged, with trials of another grid."""

import dataclasses
import json
import shutil

import pandas as pd
import pytest
from made_up import MadeUp, all_results, complete, specification, write_result, write_run

from reports.build import build_report
from reports.load.run_folder import read_run
from reports.table import load_run, write_tables
from trials.data.prepared.node_copy import transfer
from trials.records.codec import from_json, record_hash
from trials.records.result import TrialResult
from trials.records.spec import FINAL, TUNE, Cell
from trials.storage.atomic import read_bytes
from trials.storage.checksum import add_checksum


def test_a_run_reads_back_every_result_sorted_by_trial(tmp_path):
    made = MadeUp(tunings=1)

    run = read_run(write_run(tmp_path, made))

    assert list(run.results) == sorted(all_results(made), key=lambda result: result.trial)
    assert run.cells == made.cells
    assert run.seeds == (0, 1)
    assert run.labels == (1, 2, 3)
    assert len(run.finals) == 8


def test_one_call_loads_a_run_for_a_notebook_finished_or_not_and_refuses_another_folder(tmp_path):
    made = MadeUp()
    results = all_results(made)
    write_tables(read_run(write_run(tmp_path / "finished", made)))
    unfinished = write_run(tmp_path / "unfinished", made, results[:3])

    finished = load_run(tmp_path / "finished")
    part = load_run(str(unfinished))

    pd.testing.assert_frame_equal(
        finished, pd.read_parquet(tmp_path / "finished" / "scores.parquet")
    )
    assert not (unfinished / "scores.parquet").exists()
    assert set(part.trial) == {result.trial for result in results[:3]}
    pd.testing.assert_frame_equal(
        part, finished[finished.trial.isin(part.trial)].reset_index(drop=True)
    )
    with pytest.raises(
        ValueError,
        match=r"^.*/elsewhere/run.json does not exist; name the folder that a run wrote$",
    ):
        load_run(tmp_path / "elsewhere")


def test_a_result_reads_as_the_records_module_reads_it(tmp_path):
    made = MadeUp()
    path = write_result(tmp_path, complete(made, made.cells[0], 0))
    write_run(tmp_path, made, [])

    run = read_run(tmp_path)

    assert run.results == (from_json(TrialResult, path.read_text()),)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[: len(text) // 2], "result.json"),
        (lambda text: text.replace('"true_voxels": 1000', '"true_voxels": "many"', 1), "scores[0]"),
        (lambda text: text.replace('"label": 0', '"label": true', 1), "scores[0]"),
        (lambda text: text.replace('"state": "COMPLETE"', '"state": 7'), "TrialResult.state 7"),
        (lambda text: text.replace('"peak_gib"', '"peak_mib"'), "peak_mib"),
        (lambda text: "[]", "result.json"),
    ],
)
def test_a_damaged_result_is_an_error_by_name(tmp_path, spoil, words):
    made = MadeUp()
    path = write_result(tmp_path, complete(made, made.cells[0], 0))
    write_run(tmp_path, made, [])
    path.write_text(spoil(path.read_text()))

    with pytest.raises(ValueError, match="run the grid again to repeat this trial") as error:
        read_run(tmp_path)

    assert str(path) in str(error.value)
    assert words in str(error.value)


def test_a_copied_trial_folder_is_an_error(tmp_path):
    made = MadeUp()
    out = write_run(tmp_path, made)
    trial = read_run(out).results[0].trial
    shutil.copytree(out / "trials" / trial, out / "trials" / "copy")

    with pytest.raises(ValueError, match="but its folder is named for another"):
        read_run(out)


def test_results_of_another_grid_seed_or_split_are_left_out_and_named(tmp_path):
    made = MadeUp(seeds=(0,))
    spec = specification(made, made.cells[0], 0, FINAL)
    others = (
        dataclasses.replace(spec, seed=9),
        dataclasses.replace(spec, splits="stratified"),
        dataclasses.replace(spec, cell=Cell(model="other", loss="focal", sampling="none")),
    )
    strangers = [
        dataclasses.replace(complete(made, made.cells[0], 0), spec=one, trial=record_hash(one))
        for one in others
    ]
    tuned_elsewhere = complete(made, made.cells[0], 5, TUNE)

    run = read_run(write_run(tmp_path, made, [*all_results(made), *strangers, tuned_elsewhere]))

    assert set(run.other_trials) == {result.trial for result in strangers}
    assert len(run.results) == 4 + 1


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(
        ValueError, match=r"run\.json does not exist; name the folder that a run wrote"
    ):
        read_run(tmp_path)


def test_a_run_json_without_a_key_names_it(tmp_path):
    out = write_run(tmp_path, MadeUp())
    record = json.loads((out / "run.json").read_text())
    del record["seeds"]
    (out / "run.json").write_text(json.dumps(record))

    with pytest.raises(ValueError, match="has no 'seeds'"):
        read_run(out)


def test_the_report_of_a_run_in_a_bucket_is_that_of_a_folder(bucket, tmp_path):
    made = MadeUp(models=("unet3d",), losses=("focal",), num_test=3, edge=16)
    folder = write_run(tmp_path / "run", made)
    transfer(folder, bucket / "run", [path for path in folder.rglob("*") if path.is_file()])

    local, remote = build_report(folder), build_report(bucket / "run")

    assert read_bytes(remote) == local.read_bytes()
    assert read_bytes(bucket / "run" / "scores.parquet") == (folder / "scores.parquet").read_bytes()


def test_a_grid_file_that_is_no_text_is_named_with_the_way_out(tmp_path):
    out = write_run(tmp_path, MadeUp(), [])
    (out / "grid.py").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(
        ValueError, match=rf"^{out / 'grid.py'} is not a text file \(.*\); delete it"
    ):
        read_run(out)


def sealed_files(out):
    """A made-up run whose files bear their digests, as a run writes them."""
    made = MadeUp(tunings=1, models=("unet3d",), losses=("focal",), num_test=2, ceiling=0.9)
    write_run(out, made)
    importance = {"cell": dataclasses.asdict(made.cells[0]), "importance": {"lr": 1.0}}
    (out / "studies.json").write_text(json.dumps({"studies": [importance]}, indent=1))
    (out / "run.json").write_text(json.dumps(json.loads((out / "run.json").read_text()), indent=1))
    for path in (out / "run.json", out / "studies.json", out / "ceiling.json"):
        path.write_text(add_checksum(path.read_text()))
    return out


@pytest.mark.parametrize(
    ("file", "number", "other"),
    [
        ("run.json", '"cases": 8', '"cases": 9'),
        ("studies.json", '"lr": 1.0', '"lr": 0.5'),
        ("ceiling.json", '"pred_voxels": 1000', '"pred_voxels": 1001'),
    ],
)
def test_a_number_changed_in_a_file_that_the_page_prints_is_seen_by_the_files_digest(
    tmp_path, file, number, other
):
    path = sealed_files(tmp_path) / file
    build_report(tmp_path, "none")
    assert number in path.read_text()
    path.write_text(path.read_text().replace(number, other, 1))

    with pytest.raises(
        ValueError,
        match=rf"{file}.*does not match its checksum.*; (delete it and|run the grid again)",
    ):
        build_report(tmp_path, "none")
